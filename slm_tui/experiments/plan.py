"""The runs of a suite: every preset is validated before the first one trains."""

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slm_tui.config import library, overrides, text_location
from slm_tui.config.preset import Preset, check
from slm_tui.config.preset import parse as parse_preset
from slm_tui.errors import PresetError, SlmTuiError
from slm_tui.experiments.lesson import unknown_places
from slm_tui.experiments.suite import MOST_RUNS, Suite, SuiteError

# Settings that name or describe a preset.
_LABELS = ("name", "title", "group", "description", "base")
# Settings that choose where a run is computed and logged.
_MACHINE = ("device", "threads", "log_to", "wandb_mode", "wandb_project")
_MOST_SHOWN = 20
_APPLY_TO_ANY_TEXT = ("data.limit.", "data.split.")
_ODD = re.compile(r"[^A-Za-z0-9.]+")


@dataclass(frozen=True)
class PlannedRun:
    """A run of a suite: the preset of one variation with one seed."""

    variation: str
    seed: int
    preset: Preset

    @property
    def digest(self) -> str:
        return digest(self.preset)


@dataclass(frozen=True)
class Plan:
    """The runs of a suite in order: all variations with the first seed, then with the next."""

    suite: Suite
    runs: tuple[PlannedRun, ...]

    @property
    def variations(self) -> list[str]:
        """The names of the variations, in order."""
        return list(dict.fromkeys(run.variation for run in self.runs))

    @property
    def reference(self) -> str:
        """The variation that the others are compared with; empty: the best one."""
        return self.suite.reference


def digest(preset: Preset) -> str:
    """Identifies the settings of a preset that affect its losses: equal ones, equal digests."""
    values = {key: value for key, value in preset.to_stored().items() if key not in _LABELS}
    values["training"] = {
        key: value for key, value in values["training"].items() if key not in _MACHINE
    }
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def plan(suite: Suite, *, text: str = "", assignments: Sequence[str] = ()) -> Plan:
    """The runs of `suite`, all of them valid.

    Args:
        text: a file, directory or dataset to train on instead of the texts of the suite.
        assignments: `PATH=VALUE` changes to every run.

    Raises:
        SuiteError: names everything that is wrong with any of the runs.
    """
    _check_size(suite)
    wrong: list[str] = []
    runs: list[PlannedRun] = []
    for name, preset_name, changes in _variations(suite):
        try:
            preset = _preset(suite, name, preset_name, changes, text, assignments)
        except SlmTuiError as error:
            wrong += [f"variation {name}: {one}" for one in _lines(error)]
            continue
        runs += _with_seeds(suite, name, preset)
    wrong += _missing_texts(runs)
    if suite.lesson is not None:
        wrong += unknown_places(suite.lesson, [name for name, *_ in _variations(suite)])
    if wrong:
        more = [f"and {len(wrong) - _MOST_SHOWN} more"] if len(wrong) > _MOST_SHOWN else []
        raise SuiteError(f"suite {suite.name} cannot run", [*wrong[:_MOST_SHOWN], *more])
    runs.sort(key=lambda run: _place(suite, run))
    return Plan(suite, tuple(_within_budget(suite, runs)))


def _check_size(suite: Suite) -> None:
    """Check the number of runs first: a grid of ten settings may have billions.

    Raises:
        SuiteError: it has too many runs.
    """
    kinds = {
        "variations": len(suite.variations),
        "grid": math.prod(len(values) for values in suite.grid.values()),
        "search": suite.search.trials if suite.search is not None else 0,
    }
    count = kinds[suite.kind] * max(1, len(suite.seeds))
    if count > MOST_RUNS:
        raise SuiteError(
            f"suite {suite.name} cannot run",
            [f"it has {count:,} runs; at most {MOST_RUNS:,} are possible"],
        )


def _place(suite: Suite, run: PlannedRun) -> int:
    return suite.seeds.index(run.seed) if run.seed in suite.seeds else 0


def _variations(suite: Suite) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, preset and changes of each variation."""
    if suite.kind == "variations":
        for one in suite.variations:
            yield one.name, one.preset or suite.base, one.set
    elif suite.kind == "grid":
        paths = list(suite.grid)
        combinations = [
            dict(zip(paths, values, strict=True))
            for values in itertools.product(*(suite.grid[path] for path in paths))
        ]
        yield from ((name, suite.base, one) for name, one in named(combinations))
    else:
        from slm_tui.experiments.search import combinations_of

        assert suite.search is not None
        for number, drawn in enumerate(combinations_of(suite.search), 1):
            yield f"trial-{number:03}", suite.base, drawn


def named(combinations: Iterable[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Each combination of values with a name made of them, such as `n_layer-2_n_embd-64`."""
    result: list[tuple[str, dict[str, Any]]] = []
    taken: set[str] = set()
    for values in combinations:
        parts = [f"{path.split('.')[-1]}-{_spelled(value)}" for path, value in values.items()]
        stem = "_".join(parts)[:56].strip("-_.") or "variation"
        name, number = stem, 2
        while name in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name)
        result.append((name, values))
    return result


def _spelled(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return _ODD.sub("-", text).strip("-") or "unset"


def _preset(
    suite: Suite,
    name: str,
    preset_name: str,
    changes: dict[str, Any],
    text: str,
    assignments: Sequence[str],
) -> Preset:
    preset = library.get(preset_name)
    if text:
        preset = text_location.reading(preset, text)
    values = preset.to_dict()
    for path, value in {**suite.set, **changes}.items():
        if text and path.startswith("data.") and not path.startswith(_APPLY_TO_ANY_TEXT):
            continue  # the text of the user replaces that of the suite
        values = overrides.put(values, path, value)
    title = f"{suite.title or suite.name}: {name}"
    values |= {"name": name, "base": preset_name, "group": suite.name, "title": title[:80]}
    made, wrong = check(values)
    if made is None:
        raise SuiteError(f"variation {name} is not valid", list(map(str, wrong)))
    try:
        return overrides.apply(made, list(assignments))
    except PresetError as error:
        raise SuiteError(error.what, [error.why or str(error)]) from None


def _with_seeds(suite: Suite, name: str, preset: Preset) -> list[PlannedRun]:
    result = []
    for seed in suite.seeds or (preset.training.seed,):
        values = preset.to_dict()
        values["training"]["seed"] = seed
        result.append(PlannedRun(name, seed, parse_preset(values, f"variation {name}")))
    return result


def _lines(error: SlmTuiError) -> list[str]:
    return list(error.problems) if isinstance(error, SuiteError) else [str(error)]


def _missing_texts(runs: Iterable[PlannedRun]) -> list[str]:
    """Files and directories that do not exist, with the first variation that reads each."""
    missing: dict[str, str] = {}
    for run in runs:
        path = getattr(run.preset.data, "path", "")
        if path and not Path(path).expanduser().exists():
            missing.setdefault(path, run.variation)
    return [f"variation {name}: data.path: there is no {path}" for path, name in missing.items()]


def _within_budget(suite: Suite, runs: list[PlannedRun]) -> Iterator[PlannedRun]:
    """The runs until the budget of runs or steps is used up."""
    budget, steps = suite.budget, 0
    for number, run in enumerate(runs, 1):
        steps += run.preset.training.max_steps
        if budget.runs is not None and number > budget.runs:
            return
        if budget.steps is not None and steps > budget.steps:
            return
        yield run
