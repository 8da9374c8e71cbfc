"""The list of all runs and their checkpoints, to choose one from."""

import threading
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static

from slm_tui.text import one_line
from slm_tui.tui.dialogs import Dialog
from slm_tui.tui.screens.runs_columns import (
    checkpoint_content,
    mark_content,
    state_content,
    when_text,
)
from slm_tui.tui.screens.runs_reader import (
    CheckpointLine,
    RunLine,
    RunsReader,
    evaluation_losses,
    read_checkpoints,
)
from slm_tui.tui.widgets.line_list import LineList, Row

Choices = list[tuple[RunLine, tuple[CheckpointLine, ...]]]
_LOOK_SECONDS = 0.1


class ModelPicker(Dialog[str]):
    """Every run with its checkpoints; the result is the path of the chosen checkpoint."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
    ]
    DEFAULT_CSS = """
    ModelPicker > #box { width: 84; }
    ModelPicker Input { background: $boost; }
    ModelPicker LineList > .line-list--cursor-blurred { background: $primary 45%; }
    ModelPicker #words { height: auto; color: $foreground 60%; }
    """

    def __init__(self, loaded: Path | None) -> None:
        super().__init__("Which checkpoint?", "type to filter · ↑↓ enter · esc cancels")
        self._loaded = loaded
        self._choices: Choices | None = None
        self._problem = ""
        self._shown: Choices | None = None

    def compose_box(self) -> ComposeResult:
        yield Input(placeholder="run, preset or step", classes="-plain")
        yield LineList(id="choices")
        yield Static("Reading runs…", id="words", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self.query_one(LineList).can_focus = False
        self._fit()
        threading.Thread(target=self._read, name="model-picker", daemon=True).start()
        self._timer = self.set_interval(_LOOK_SECONDS, self._look)

    def _read(self) -> None:
        """In a thread: torch may still have to be loaded."""
        try:
            lines = RunsReader().lines()
            found = [
                (line, read_checkpoints(line.path, evaluation_losses(line.path)))
                for line in lines
                if not line.error
            ]
            self._choices = [(line, checkpoints) for line, checkpoints in found if checkpoints]
        except Exception as error:  # noqa: BLE001 - shown in the dialog
            self._problem = f"{type(error).__name__}: {error}"
            self._choices = []

    def _look(self) -> None:
        if self._choices is not None:
            self._timer.stop()
            self._draw(str(self._loaded) if self._loaded else None)

    def on_resize(self) -> None:
        self._fit()

    def _fit(self) -> None:
        rows = len(self.query_one(LineList).rows)
        self.query_one(LineList).styles.height = min(max(1, rows), max(3, self.app.size.height - 7))

    def _draw(self, select: str | None = None) -> None:
        if self._choices is None:
            return
        words = self.query_one(Input).value.lower().split()
        rows: list[Row] = []
        for line, checkpoints in self._choices:
            name = f"{line.name} {line.path.name} {line.info.preset}".lower()
            fitting = [
                one
                for one in checkpoints
                if all(word in name or word in f"{one.step} {_kinds(one)}" for word in words)
            ]
            if fitting:
                rows.append(Row(f"run {line.path}", _run_content(line), selectable=False))
                rows += [Row(str(one.path), checkpoint_content(one)) for one in fitting]
        self.query_one(LineList).set_rows(rows, select=select)
        told = self._problem or ("" if rows else self._nothing(bool(words)))
        self.query_one("#words", Static).update(Content(one_line(told)))
        self._fit()

    @staticmethod
    def _nothing(filtered: bool) -> str:
        if filtered:
            return "No checkpoint matches."
        return "No checkpoints yet. Press esc, then 1, choose a preset, press t."

    def on_input_changed(self) -> None:
        self._draw()

    def on_input_submitted(self) -> None:
        key = self.query_one(LineList).key
        if key is not None:
            self.dismiss(key)

    def on_line_list_chosen(self, message: LineList.Chosen) -> None:
        self.dismiss(message.key)

    def action_move(self, by: int) -> None:
        self.query_one(LineList).action_move(by)

    def action_page(self, direction: int) -> None:
        self.query_one(LineList).action_page(direction)


def _kinds(line: CheckpointLine) -> str:
    named = (("best", line.is_best), ("last", line.is_last), ("kept", line.is_kept))
    return " ".join(name for name, there in named if there)


def _run_content(line: RunLine) -> Content:
    return Content.assemble(
        mark_content(line.mark),
        (f" {one_line(line.name, 40)}  ", "bold"),
        state_content(line),
        (f"  {when_text(line.info.created)}", "$foreground 60%"),
    )
