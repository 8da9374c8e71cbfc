"""Exporting a checkpoint: the format, the path, the progress, and how to use the result."""

import os
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from slm_tui.errors import ExportError, SlmTuiError
from slm_tui.export.catalog import FORMATS, WEIGHT_TYPES, ExportFormat, WeightType
from slm_tui.export.written import Usage, Written
from slm_tui.live.export_worker import ExportSnapshot, ExportWorker
from slm_tui.live.run_scanner import RunLine
from slm_tui.runs.store import Run
from slm_tui.text import visible
from slm_tui.training import checkpoint_dir
from slm_tui.tui.dialogs import Ask, Choice, Dialog, Question, copy, show_error_notice
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.line_list import LineList, Row

_WIDTH = 110
# Columns for the border and the padding of a dialog, and lines for all but the commands.
_MARGINS, _OTHER_LINES = 8, 12
_WEIGHT_HELP = {"f32": "exact", "f16": "half the size", "q8_0": "a quarter of the size"}


@dataclass(frozen=True)
class _Way:
    """A format, and how it stores weights."""

    format: ExportFormat
    weight_type: WeightType
    choice: Choice


def ask_to_export(app: App[Any], checkpoint: Path, run: RunLine) -> None:
    """Ask for the format and the path, then export the checkpoint of `run`."""
    try:
        family = Run(run.path).preset().model.kind
    except SlmTuiError as error:
        show_error_notice(app, error)
        return
    ways = {one.choice.id: one for one in _ways(family)}
    if not ways:
        what = f"a model of the family {family} cannot be exported"
        show_error_notice(app, ExportError(what, "no format holds it"))
        return
    name = f"{_file_name(run.name)}-{max(0, checkpoint_dir.step_of(checkpoint))}"

    def ask_for_path(chosen: str | None) -> None:
        if chosen is None:
            return
        way = ways[chosen]

        def export(path: str | None) -> None:
            if path is not None:
                target = Path(path).expanduser()
                app.push_screen(
                    ExportDialog(ExportWorker(way.format.name, checkpoint, target, way.weight_type))
                )

        default = str(Path.cwd() / f"{name}{way.format.suffix}")
        app.push_screen(Ask("Export to", way.format.help, default, _path_problem), export)

    question = Question(
        f"Export {name}",
        "For which program? The checkpoint stays as it is.",
        [one.choice for one in ways.values()],
        default=next(iter(ways)),
    )
    app.push_screen(question, ask_for_path)


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name)[:60].strip("-.") or "model"


def _ways(family: str) -> list[_Way]:
    ways = []
    for one in FORMATS.values():
        if family not in one.families:
            continue
        if one.name != "gguf":
            ways.append(_Way(one, WEIGHT_TYPES[0], Choice(one.name, one.name, one.help)))
            continue
        for kind in WEIGHT_TYPES:
            label, help = f"{one.name} {kind}", f"{one.help}; {_WEIGHT_HELP[kind]}"
            ways.append(_Way(one, kind, Choice(label, label, help)))
    return ways


def _path_problem(text: str) -> str:
    if not text.strip():
        return "enter a path"
    try:
        path = Path(text).expanduser()
        if os.path.lexists(path):
            return "it already exists; choose another path"
        if not path.parent.is_dir():
            return f"there is no directory {path.parent}"
    except (OSError, ValueError, RuntimeError):
        return "this is not a path"
    return ""


def _usage_rows(usage: Sequence[Usage], width: int) -> list[Row]:
    """What each command is for, and the command over as many lines as it needs."""
    rows = []
    for one in usage:
        rows.append(Row(f"#{one.command}", Content.styled(one.purpose, MUTED), selectable=False))
        wide = max(20, min(width, _WIDTH - _MARGINS) - 2)
        lines = textwrap.wrap(visible(one.command), wide, break_on_hyphens=False)
        # The cursor goes to the first line, whose key is what is copied.
        keys = [one.command, *(f"{at}#{one.command}" for at in range(1, len(lines)))]
        for at, (key, line) in enumerate(zip(keys, lines, strict=True)):
            rows.append(Row(key, Content(f"  {line}"), selectable=at == 0))
    return rows


class ExportDialog(Dialog[None]):
    """Shows the progress of an export, then the commands that use the result."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy", show=False),
        Binding("enter,space", "close", "Close", show=False),
    ]
    DEFAULT_CSS = f"""
    ExportDialog > #box {{ width: {_WIDTH}; }}
    ExportDialog #about {{ height: auto; margin: 1 0; }}
    """

    def __init__(self, worker: ExportWorker) -> None:
        super().__init__("Export", "esc cancels")
        self.worker = worker
        self._drawn: ExportSnapshot | None = None

    def compose_box(self) -> ComposeResult:
        yield Static("", id="about", markup=False)
        yield LineList(id="commands")

    def on_mount(self) -> None:
        self.query_one(LineList).display = False
        self.worker.start()
        self.set_interval(0.1, self._look)
        self._look()

    def on_unmount(self) -> None:
        self.worker.cancel()

    def _look(self) -> None:
        snapshot = self.worker.snapshot
        if snapshot is self._drawn:
            return
        self._drawn = snapshot
        about, box = self.query_one("#about", Static), self.query_one("#box")
        if snapshot.written is not None:
            self._show(snapshot.written)
        elif snapshot.error is not None:
            error = snapshot.error
            parts = [Content.styled(f"✗ {visible(error.what)}", "$text-error")]
            parts += [Content(visible(error.why))] if error.why else []
            if error.remedy:
                parts.append(Content.assemble(("→ ", "$text-success"), visible(error.remedy)))
            about.update(Content("\n").join(parts))
            box.border_subtitle = Content(" c copies · esc closes ")
        else:
            about.update(Content(f"{snapshot.stage or 'starting'}…"))

    def _show(self, written: Written) -> None:
        lines = [Content.styled(f"✓ {visible(written.summary)}", "$text-success")]
        lines += [Content.styled(f"▲ {visible(note)}", "$text-warning") for note in written.notes]
        self.query_one("#about", Static).update(Content("\n").join(lines))
        listed = self.query_one(LineList)
        rows = _usage_rows(written.usage, self.size.width - _MARGINS)
        listed.set_rows(rows)
        listed.styles.height = min(len(rows), max(4, self.size.height - _OTHER_LINES))
        listed.display = True
        listed.focus()
        subtitle = " ↑↓ · c copies the command · esc closes "
        self.query_one("#box").border_subtitle = Content(subtitle)

    def on_resize(self) -> None:
        if self.worker.snapshot.written is not None:
            self._show(self.worker.snapshot.written)

    def action_close(self) -> None:
        if self.worker.snapshot.state != "working":
            self.dismiss(None)

    def action_copy(self) -> None:
        snapshot = self.worker.snapshot
        if snapshot.error is not None:
            copy(self.app, str(snapshot.error))
        elif (command := self.query_one(LineList).key) is not None:
            copy(self.app, command)
