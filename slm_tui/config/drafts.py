"""Presets while they are edited: values that may be invalid, their problems, and undo."""

import shlex
import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from slm_tui.config import describe, library, overrides
from slm_tui.config.describe import Setting
from slm_tui.config.library import LibraryEntry
from slm_tui.config.preset import Preset, check, parse, toml_of
from slm_tui.config.problem import Problem
from slm_tui.errors import SlmTuiError

# The name is asked for when saving; the program sets the base.
_NOT_IN_THE_FORM = {"name", "base"}


@dataclass(frozen=True)
class Origin:
    """The run whose settings a draft holds.

    The new run is compared with it; or, if there is a `checkpoint`, it begins with its weights.
    """

    run: str
    name: str
    remedy: str = ""
    checkpoint: Path | None = None

    @property
    def text(self) -> str:
        """What becomes of a run with these settings."""
        if self.checkpoint is not None:
            step = self.checkpoint.resolve().name.removeprefix("step-").lstrip("0")
            return f"A run with these settings trains on from {self.name}, step {step or 0}."
        return f"A run with these settings is compared with {self.name}."


class Draft:
    """A library preset with unsaved edits. Invalid values are kept and reported.

    `saved` holds the values in the file; `reference` holds those of the base preset, which the
    form shows as defaults (the saved values if there is no base).
    """

    def __init__(self, preset: Preset, *, builtin: bool) -> None:
        self.name = preset.name
        self.builtin = builtin
        self.saved = preset.to_dict()
        self.reference = _reference(preset)
        self.values = deepcopy(self.saved)
        self.preset: Preset | None = None
        self.problems: dict[str, Problem] = {}
        # Set while the draft holds the settings of a run, and the values it had before.
        self.origin: Origin | None = None
        self._aside: dict[str, Any] = {}
        self._history: list[tuple[str, dict[str, Any], float]] = []
        # The settings of previously chosen kinds, by section and kind.
        self._previous: dict[tuple[str, Any], dict[str, Any]] = {}
        self.recheck()

    # Reading

    @property
    def is_changed(self) -> bool:
        """Whether there are unsaved edits."""
        return self.values != self.saved

    @property
    def can_train(self) -> bool:
        return self.preset is not None and not self.problems

    def settings(self) -> list[Setting]:
        """The settings in form order: the preset's own title and description come last."""
        shown = [one for one in describe.settings(self.values) if one.path not in _NOT_IN_THE_FORM]
        return sorted(shown, key=lambda one: one.section == "preset")

    def value(self, setting: Setting) -> Any:
        """The effective value: as edited, or the schema default."""
        value = overrides.get(self.values, setting.path)
        return _plain(setting.default if value is None else value)

    def default(self, setting: Setting) -> Any:
        """The value in the base preset."""
        value = overrides.get(self.reference, setting.path)
        return _plain(setting.default if value is None else value)

    def differs(self, setting: Setting) -> bool:
        return bool(self.value(setting) != self.default(setting))

    def difference(self) -> list[tuple[str, Any, Any]]:
        """`(path, value in the reference, value here)` for each setting that differs."""
        return overrides.difference(self.values, self.reference)

    # Editing

    def put(self, path: str, value: Any) -> None:
        """Set `path`; setting the current value again is not an edit."""
        changed = overrides.put(self.values, path, value)
        if changed != self.values:
            self._restore_kind(path, changed)
            self._change(path, changed)

    def _restore_kind(self, path: str, changed: dict[str, Any]) -> None:
        """Restore the settings of a kind that is chosen again."""
        section, _, last = path.partition(".")
        if last != "kind":
            return
        before = self.values.get(section)
        if isinstance(before, dict):
            self._previous[section, before.get("kind")] = deepcopy(before)
        kind = changed[section].get("kind")
        candidates = [self._previous.get((section, kind)), self.saved.get(section)]
        match = next((one for one in candidates if one and one.get("kind") == kind), None)
        if match is not None:
            changed[section] = deepcopy(match)

    def put_text(self, setting: Setting, text: str) -> None:
        """Set `setting` from typed text; empty text restores the default."""
        value = overrides.typed(setting, text)
        if value is None and not setting.optional:
            self.reset(setting)
        else:
            self.put(setting.path, value)

    def reset(self, setting: Setting) -> None:
        """Reset `setting` to the reference value."""
        self.put(setting.path, self.default(setting))

    def replace(self, values: dict[str, Any]) -> None:
        """Replace all values with `values`, which may be invalid, as one edit."""
        if values != self.values:
            self._change("", deepcopy(values))

    def take(self, preset: Preset, origin: Origin) -> None:
        """Hold the settings of the run `origin`, as one edit, under the name of this draft."""
        own = {key: self.values[key] for key in ("name", "base", "group") if key in self.values}
        aside = self._aside if self.origin is not None else self.values
        self.replace({key: value for key, value in preset.to_dict().items() if key != "base"} | own)
        self.origin, self._aside = origin, aside

    def put_back(self) -> None:
        """Hold the values from before `take` again, if that was called."""
        if self.origin is not None:
            self.origin, self.values = None, self._aside
            self._history.clear()
            self.recheck()

    @property
    def last_edit(self) -> float:
        """Time of the last edit that can be undone (monotonic seconds); 0 if there is none."""
        return self._history[-1][2] if self._history else 0.0

    def undo(self) -> str | None:
        """Undo the last edit; return its path (empty: all), or `None` if there are no edits."""
        if not self._history:
            return None
        path, self.values, _ = self._history.pop()
        if self.origin is not None and self.values == self._aside:
            self.origin = None
        self.recheck()
        return path

    def _change(self, path: str, values: dict[str, Any]) -> None:
        self._history.append((path, self.values, time.monotonic()))
        self.values = values
        self.recheck()

    def recheck(self) -> None:
        """Validate again and check that the file exists; too slow to do on every frame."""
        self.preset, wrong = check(self.values)
        if self.preset is not None:
            # As the schema reads them: `1e3` steps are 1000.
            self.values = self.preset.to_dict()
            missing = self.preset.data.problem()
            wrong = [missing] if missing is not None else []
        shown = {one.path for one in self.settings()}
        self.problems = {}
        for problem in wrong:
            path = problem.path if problem.path in shown else _nearest(problem.path, shown)
            self.problems.setdefault(path, problem)

    # Leaving the form

    def named(self, name: str) -> Preset:
        """The edited preset as a user preset called `name`.

        Raises:
            PresetError: the preset or the name is not valid.
        """
        own = {"name": name, "group": self.values.get("group", "mine")}
        if name != self.name:
            own["base"] = self.name
        if self.builtin:
            own["group"] = "mine"
        return parse({**self.values, **own}, repr(name))

    def to_train(self) -> Preset:
        """The preset to train; an edited built-in preset gets a new name.

        Raises:
            PresetError: it is not valid.
        """
        renamed = self.builtin and self.is_changed
        return self.named(library.free_name(self.name)) if renamed else self.named(self.name)

    def to_toml(self) -> str:
        """The values as a TOML file, even if they are invalid."""
        if self.preset is not None:
            return self.preset.to_toml()
        return toml_of(self.values)

    def command(self) -> str:
        """The equivalent command line."""
        words = ["slm-tui", "train", self.name]
        if self.origin is not None and self.origin.checkpoint is not None:
            words += ["--from", str(self.origin.checkpoint)]
        for setting in describe.settings(self.values):
            value = overrides.get(self.values, setting.path)
            if setting.path not in _NOT_IN_THE_FORM | {"group"} and value != overrides.get(
                self.saved, setting.path
            ):
                words += [
                    "--set",
                    f"{setting.path}={spelled(value) if value is not None else 'none'}",
                ]
        return shlex.join(words)


class Drafts:
    """The drafts of all presets shown so far; they stay when another preset is selected."""

    def __init__(self) -> None:
        self._drafts: dict[str, Draft] = {}

    def of(self, entry: LibraryEntry) -> Draft | None:
        """The draft of `entry`; `None` if its file has an error."""
        if entry.preset is None:
            return None
        draft = self._drafts.get(entry.name)
        if draft is None or (draft.saved != entry.preset.to_dict() and not draft.is_changed):
            draft = self._drafts[entry.name] = Draft(entry.preset, builtin=entry.builtin)
        return draft

    def unsaved(self) -> list[Draft]:
        """The drafts with unsaved edits, of presets that still exist."""
        names = {entry.name for entry in library.entries()}
        return [one for one in self._drafts.values() if one.is_changed and one.name in names]

    def is_changed(self, name: str) -> bool:
        return name in self._drafts and self._drafts[name].is_changed

    def forget(self, name: str) -> None:
        """Drop the edits of `name`: they were saved, or the preset was deleted."""
        self._drafts.pop(name, None)


def spelled(value: Any) -> str:
    """A value as it can be typed in the form or after `--set`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.10g}" if value != int(value) else f"{value:.1f}"
    if isinstance(value, (list, tuple)):
        text = tomli_w.dumps({"v": _plain(value)}, multiline_strings=False)
        return " ".join(text.removeprefix("v = ").split()).replace("[ ", "[").replace(", ]", "]")
    return str(value).replace("\n", "\\n").replace("\t", "\\t")


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _reference(preset: Preset) -> dict[str, Any]:
    if preset.base:
        entry = library.find(preset.base)
        if entry is not None and entry.preset is not None:
            return entry.preset.to_dict()
    return preset.to_dict()


def _nearest(path: str, shown: set[str]) -> str:
    """The row that shows a problem without a row of its own: one in the same section."""
    section = path.split(".", 1)[0]
    return next((one for one in sorted(shown) if one.startswith(f"{section}.")), path)


def name_problem(name: str) -> str:
    """Why `name` cannot be used for a new user preset; empty if it can."""
    from slm_tui.paths import check_name

    try:
        check_name(name, "preset name")
    except SlmTuiError as error:
        return error.why or str(error)
    return f"a preset {name!r} already exists" if library.find(name) else ""
