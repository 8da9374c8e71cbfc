"""A suite: presets, or variations of one preset, times seeds; read from TOML and checked."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ValidationError, field_validator, model_validator

from slm_tui import plain_text
from slm_tui.config.fields import Settings, reject, setting
from slm_tui.config.preset import problems
from slm_tui.errors import SlmTuiError, cause_of
from slm_tui.paths import check_name
from slm_tui.versions import Format, NewerVersionError

FORMAT = Format("format")
MOST_RUNS = 10_000


class SuiteError(SlmTuiError):
    """A suite is not valid, not found, or cannot be written. `problems` has one line for each."""

    def __init__(
        self, what: str, problems: "list[str] | tuple[str, ...]", remedy: str = ""
    ) -> None:
        self.problems = tuple(problems)
        super().__init__(what, "; ".join(self.problems), remedy)


class Variation(Settings):
    """One run of a suite, or one for each seed: the base with changes, or a preset of its own."""

    name: str = setting(help="Name of the variation, and of its runs")
    preset: str = setting("", help="Preset to train; empty: the base of the suite")
    note: str = setting("", max_length=500, help="What it changes and why")
    set: dict[str, Any] = setting({}, help="Settings to change, by path")

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        try:
            return check_name(name, "variation name")
        except SlmTuiError as error:
            raise ValueError(str(error)) from None


class Range(Settings):
    """Where a random search looks for the value of one setting: between two numbers, or in a list.

    Whole numbers at both ends give whole numbers.
    """

    low: float | int | None = setting(None, help="Smallest value")
    high: float | int | None = setting(None, help="Largest value")
    log: bool = setting(False, help="Whether equal ratios are equally likely")
    values: tuple[Any, ...] = setting((), help="Values to choose from, instead of a range")

    @model_validator(mode="after")
    def _check_ends(self) -> Self:
        if self.values:
            if self.low is not None or self.high is not None:
                raise reject("values", "has a range as well", "only one of them")
            return self
        if self.low is None or self.high is None:
            raise reject("low" if self.low is None else "high", "the range has no such end")
        if self.low >= self.high:
            raise reject("low", f"the range from {self.low:g} to {self.high:g} is empty")
        if self.log and self.low <= 0:
            raise reject("low", "a logarithmic range begins above 0", self.high / 1000)
        return self

    @property
    def is_whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)


class Search(Settings):
    """A random search over settings."""

    trials: int = setting(10, ge=1, le=MOST_RUNS, help="Number of combinations to try", unit="runs")
    seed: int = setting(0, ge=0, lt=2**31, help="Random seed of the search")
    halving: bool = setting(False, help="Stop the worse runs early (successive halving)")
    first_evaluation: int = setting(
        1, ge=1, help="Evaluations before a run can be stopped", unit="evaluations"
    )
    keep_one_in: int = setting(3, ge=2, le=10, help="One in this many runs continues", unit="runs")
    fields: dict[str, Range] = setting(min_length=1, help="Where to look, by path of the setting")


class Budget(Settings):
    """Limits of the whole suite; what lies beyond them is not started."""

    runs: int | None = setting(None, ge=1, help="Most runs", unit="runs")
    steps: int | None = setting(None, ge=1, help="Most steps of all runs together", unit="steps")
    minutes: float | None = setting(None, gt=0, help="No run starts after this", unit="minutes")


class Lesson(Settings):
    """What a learner reads before, during and after; `{name}` stands for a figure of the runs."""

    before: str = setting(max_length=1000, help="What to predict")
    during: str = setting(max_length=1000, help="What to look at")
    after: str = setting(max_length=2000, help="What happened")
    question: str = setting(max_length=500, help="One question")
    answer: str = setting(max_length=2000, help="Its answer")
    next: str = setting("", help="The suite of the next lesson")


class Suite(Settings):
    """Runs that belong together: variations times seeds, and what they are meant to show."""

    name: str = setting(help="Short name: letters, digits, dash, dot, underscore")
    title: str = setting("", max_length=80, help="Title shown in lists")
    group: str = setting("mine", max_length=40, help="Group heading in the list")
    description: str = setting("", max_length=2000, help="What it shows")
    expect: str = setting("", max_length=2000, help="What to expect")
    minutes: float | None = setting(None, gt=0, help="Time on two CPU cores", unit="minutes")
    base: str = setting("", help="Preset that the variations change")
    set: dict[str, Any] = setting({}, help="Settings that all runs share, by path")
    seeds: tuple[int, ...] = setting((), max_length=1000, help="Seeds of each variation")
    reference: str = setting("", help="Variation that the others are compared with")
    variations: tuple[Variation, ...] = setting((), max_length=MOST_RUNS, help="Named variations")
    grid: dict[str, tuple[Any, ...]] = setting({}, help="Values of settings; all combinations run")
    search: Search | None = setting(None, help="Random search")
    budget: Budget = setting(Budget(), help="Limits of the whole suite")
    lesson: Lesson | None = setting(None, help="Texts for learners")

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        try:
            return check_name(name, "suite name")
        except SlmTuiError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        kinds = [bool(self.variations), bool(self.grid), self.search is not None]
        if sum(kinds) != 1:
            raise reject(
                "variations", "a suite has one of variations, a grid and a search, not "
                + ("none" if not sum(kinds) else "several"),
            )  # fmt: skip
        names = [one.name for one in self.variations]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise reject("variations", f"two variations have the name {twice[0]!r}")
        if not self.base and not all(one.preset for one in self.variations):
            raise reject("base", "some variations change the base, but there is none")
        if (self.grid or self.search) and not self.base:
            raise reject("base", "is missing: the preset that the values go into")
        for path, values in self.grid.items():
            if not values:
                raise reject("grid", f"{path} has no values")
        if len(set(self.seeds)) < len(self.seeds):
            raise reject("seeds", "a seed occurs twice")
        if self.reference and self.variations and self.reference not in names:
            raise reject("reference", f"there is no variation {self.reference!r}")
        return self

    @property
    def kind(self) -> Literal["variations", "grid", "search"]:
        """How its runs are made."""
        if self.variations:
            return "variations"
        return "grid" if self.grid else "search"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in TOML; unset ones are left out."""
        return self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)

    def to_toml(self) -> str:
        """The whole suite as a TOML file."""
        import tomli_w

        return tomli_w.dumps(FORMAT.stamp(self.to_dict()), multiline_strings=False)


def parse(values: dict[str, Any], where: str) -> Suite:
    """Validate plain values from a file of any version.

    Raises:
        SuiteError: names `where` and every problem.
    """
    try:
        return Suite.model_validate(FORMAT.migrate(values, where))
    except ValidationError as error:
        raise SuiteError(f"{where} is not a valid suite", list(map(str, problems(error)))) from None
    except NewerVersionError as error:
        raise SuiteError(f"{where} cannot be read", [str(error)], error.remedy) from None
    except ValueError as error:
        raise SuiteError(f"{where} is not a valid suite", [str(error)]) from None


def from_toml(text: str, where: str = "the text") -> Suite:
    """Read a suite from TOML.

    Raises:
        SuiteError: it is not TOML, not a valid suite, or from a newer version.
    """
    try:
        values = plain_text.toml(text)
    except ValueError as error:
        raise SuiteError(f"{where} is not valid TOML", [str(error)]) from None
    return parse(values, where)


def from_file(path: Path) -> Suite:
    """Read a suite from a TOML file.

    Raises:
        SuiteError: the file cannot be read or is not a valid suite.
    """
    try:
        text = plain_text.read(path)
    except (OSError, ValueError) as error:
        raise SuiteError(f"{path} cannot be read", [cause_of(error)]) from None
    return from_toml(text, str(path))
