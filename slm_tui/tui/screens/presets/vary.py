"""Making a suite of the chosen preset: values for some settings, one run for each combination."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from textual.app import App

from slm_tui.config import library, overrides
from slm_tui.config.describe import Setting
from slm_tui.config.estimate import Calibration
from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError
from slm_tui.experiments import shelf
from slm_tui.experiments.costs import SuiteCost, cost
from slm_tui.experiments.plan import Plan, plan
from slm_tui.experiments.suite import MOST_RUNS, Suite, parse
from slm_tui.formatting import duration, runs_text, size
from slm_tui.tui.dialogs import Ask, Choice, Question, show_error_notice

SEED = "training.seed"
# More runs take too long to plan at each keystroke.
_MOST_PLANNED = 60
_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def values_of(setting: Setting, text: str) -> tuple[Any, ...]:
    """The values that `text` lists, separated by commas; none for an empty text.

    Raises:
        SlmTuiError: a value occurs twice.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    values = tuple(overrides.typed(setting, word) for word in words)
    shown = [repr(value) for value in values]
    if len(set(shown)) < len(shown):
        raise SlmTuiError("a value occurs twice")
    return values


def problem_with(preset: Preset, setting: Setting, text: str) -> str:
    """Why these values cannot be used; empty if they can."""
    try:
        values = values_of(setting, text)
        for value in values:
            changed = overrides.put(preset.to_dict(), setting.path, value)
            overrides.apply(Preset.model_validate(changed), [])
    except SlmTuiError as error:
        return str(error)
    except ValueError as error:
        from pydantic import ValidationError

        from slm_tui.config.preset import problems

        if isinstance(error, ValidationError):
            return "; ".join(str(one) for one in problems(error))
        return str(error)
    return ""


def suite_of(preset: Preset, varied: Mapping[str, tuple[Any, ...]], base: str) -> Suite:
    """The suite over all combinations of the values of `varied`; seeds are seeds of each.

    Raises:
        SuiteError: it is not valid.
    """
    name = shelf.free_name(_NAME.sub("-", f"{preset.name}-varied")[:60])
    grid = {path: list(values) for path, values in varied.items() if path != SEED}
    seeds = list(varied.get(SEED, ()))
    values: dict[str, Any] = {
        "name": name,
        "title": f"Variations of {preset.name}"[:80],
        "base": base,
        "set": _own_settings(preset, base),
        "seeds": seeds,
    }
    values |= {"grid": grid} if grid else {"variations": [{"name": preset.name}]}
    return parse(values, f"the suite {name}")


def _own_settings(preset: Preset, base: str) -> dict[str, Any]:
    """The edits of the draft: the suite has them as changes to the stored preset."""
    stored = library.get(base).to_dict()
    changed = overrides.difference(preset.to_dict(), stored)
    # A kind first: it decides which settings there are.
    changed.sort(key=lambda one: not one[0].endswith(".kind"))
    labels = {"title", "description"}
    return {path: new for path, _, new in changed if path not in labels and new is not None}


def runs_of(varied: Mapping[str, tuple[Any, ...]]) -> int:
    """How many runs the values make."""
    return math.prod(len(values) for values in varied.values()) if varied else 0


def cost_text(found: SuiteCost) -> str:
    """Runs, time and disk in one line."""
    time = f" · {duration(found.seconds)}" if found.seconds is not None else ""
    return f"{runs_text(found.runs)}{time} · {size(found.disk_bytes)} of checkpoints"


def summary(
    preset: Preset,
    varied: Mapping[str, tuple[Any, ...]],
    base: str,
    calibration: Calibration | None,
) -> str:
    """What all runs cost together; how many they are if that cannot be computed."""
    count = runs_of(varied)
    if not 0 < count <= _MOST_PLANNED:
        return runs_text(count) if count else ""
    try:
        return cost_text(cost(plan(suite_of(preset, varied, base)), calibration))
    except SlmTuiError:
        return runs_text(count)


def ask_for_values(
    app: App[Any],
    preset: Preset,
    setting: Setting,
    values: tuple[Any, ...],
    then: Callable[[tuple[Any, ...]], None],
) -> None:
    """Ask for the values of `setting`, separated by commas; an empty line stops varying it."""
    shown = ", ".join(map(str, values)) or str(overrides.get(preset.to_dict(), setting.path))
    text = f"{setting.help}.\nType values separated by commas. Empty: do not vary this setting."
    ask = Ask(f"Vary {setting.path}", text, shown, lambda line: problem_with(preset, setting, line))

    def done(line: str | None) -> None:
        if line is not None:
            then(values_of(setting, line))

    app.push_screen(ask, done)


def ask_to_start(
    app: App[Any],
    preset: Preset,
    varied: Mapping[str, tuple[Any, ...]],
    base: str,
    calibration: Calibration | None,
    then: Callable[[Plan, str], None],
) -> None:
    """Show what the variations cost; then start, queue or save the suite."""
    if runs_of(varied) > MOST_RUNS:
        show_error_notice(app, SlmTuiError(f"{runs_of(varied):,} runs are too many"))
        return
    try:
        made = plan(suite_of(preset, varied, base))
    except SlmTuiError as error:
        show_error_notice(app, error)
        return
    lines = [f"{path}: {', '.join(map(str, values))}" for path, values in varied.items()]
    text = "\n".join([*lines, "", cost_text(cost(made, calibration))])
    choices = [
        Choice("start", "Start", "add them to the queue and train now"),
        Choice("queue", "Queue", "add them to the queue only"),
        Choice("save", "Save", "save the suite for later"),
    ]
    question = Question(f"Variations of {preset.name}", text, choices, "start")
    app.push_screen(question, lambda answer: then(made, answer) if answer else None)
