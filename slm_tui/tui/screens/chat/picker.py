"""A list of all runs and their checkpoints, to choose one or several."""

import threading
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static

from slm_tui.errors import SlmTuiError
from slm_tui.live.background import Background
from slm_tui.live.run_scanner import (
    CheckpointLine,
    RunLine,
    RunScanner,
    evaluation_losses,
    read_checkpoints,
)
from slm_tui.text import one_line
from slm_tui.tui.dialogs import Dialog
from slm_tui.tui.screens.runs.columns import (
    checkpoint_content,
    mark_content,
    state_content,
    when_text,
)
from slm_tui.tui.widgets.line_list import LineList, Row

Choices = list[tuple[RunLine, tuple[CheckpointLine, ...]]]
_LOOK_SECONDS = 0.1
LEAST, MOST = 2, 4  # checkpoints side by side
Result = TypeVar("Result")


class CheckpointPicker(Dialog[Result], Generic[Result]):
    """All runs with their checkpoints, filtered by typing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
    ]
    DEFAULT_CSS = """
    CheckpointPicker > #box { width: 84; }
    CheckpointPicker Input { background: $boost; }
    CheckpointPicker LineList > .line-list--cursor-blurred { background: $primary 45%; }
    CheckpointPicker #words { height: auto; color: $foreground 60%; }
    """

    INPUT: ClassVar[type[Input]] = Input

    def __init__(self, title: str, hint: str, loaded: Path | None) -> None:
        super().__init__(title, hint)
        self._loaded = loaded
        self._choices: Choices | None = None
        self._problem = ""
        self._reader: Background[Choices | SlmTuiError | None] = Background("model-picker", None)
        self._shown: Choices | None = None

    def compose_box(self) -> ComposeResult:
        yield self.INPUT(placeholder="run, preset or step", classes="-plain")
        yield LineList(id="choices")
        yield Static("Reading runs…", id="words", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self.query_one(LineList).can_focus = False
        self._fit()
        self._reader.start(_read, lambda error: error, "the runs cannot be read")
        self._timer = self.set_interval(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        result = self._reader.snapshot
        if result is None:
            return
        self._timer.stop()
        if isinstance(result, SlmTuiError):
            self._problem, result = str(result), []
        self._choices = result
        self.runs_loaded(result)
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
                rows += [Row(str(one.path), self.content(one)) for one in fitting]
        self.query_one(LineList).set_rows(rows, select=select)
        message = self._problem or (self.words() if rows else self._nothing(bool(words)))
        self.query_one("#words", Static).update(Content(one_line(message)))
        self._fit()

    def runs_loaded(self, choices: Choices) -> None:
        """Called once, when the runs have been read."""

    def words(self) -> str:
        """The text below the list."""
        return ""

    def content(self, line: CheckpointLine) -> Content:
        """The row of a checkpoint."""
        return checkpoint_content(line)

    def take(self, key: str) -> None:
        """Called when enter is pressed on this checkpoint."""
        raise NotImplementedError

    @staticmethod
    def _nothing(filtered: bool) -> str:
        if filtered:
            return "No checkpoint matches."
        return "No checkpoints yet. Press esc, then 1, choose a preset and press t."

    def on_input_changed(self) -> None:
        self._draw()

    def on_input_submitted(self) -> None:
        key = self.query_one(LineList).key
        if key is not None:
            self.take(key)

    def on_line_list_chosen(self, message: LineList.Chosen) -> None:
        self.take(message.key)

    def action_move(self, by: int) -> None:
        self.query_one(LineList).action_move(by)

    def action_page(self, direction: int) -> None:
        self.query_one(LineList).action_page(direction)


class ModelPicker(CheckpointPicker[str]):
    """The result is the path of the chosen checkpoint."""

    def __init__(self, loaded: Path | None) -> None:
        super().__init__("Choose a checkpoint", "type to filter · ↑↓ enter · esc cancels", loaded)

    def take(self, key: str) -> None:
        self.dismiss(key)


class _MarkingInput(Input):
    """Space marks a checkpoint: no name or step contains a space."""

    async def on_key(self, event: events.Key) -> None:
        if event.key == "space":
            event.stop()
            event.prevent_default()
            await self.run_action("screen.mark")


class SeveralPicker(CheckpointPicker[tuple[str, ...]]):
    """The result is the paths of two to four checkpoints, by run in list order, within each
    run by ascending step."""

    INPUT = _MarkingInput

    def __init__(self, loaded: Path | None) -> None:
        super().__init__(
            "Choose two to four", "space marks · type to filter · ↑↓ enter · esc cancels", loaded
        )
        self._marked: set[str] = set()
        self._order: list[str] = []

    def runs_loaded(self, choices: Choices) -> None:
        self._order = [str(one.path) for _, lines in choices for one in reversed(lines)]
        self._marked = {str(path) for path in sensible(self._loaded, choices)}

    def content(self, line: CheckpointLine) -> Content:
        mark = (" ● ", "bold $text-accent") if str(line.path) in self._marked else " ○ "
        return Content.assemble(mark, checkpoint_content(line))

    def words(self) -> str:
        return f"{len(self._marked)} marked" if self._marked else ""

    def action_mark(self) -> None:
        key = self.query_one(LineList).key
        if key is None:
            return
        if key not in self._marked and len(self._marked) == MOST:
            self._say("Four are marked already; press space on one to unmark it.")
            return
        self._marked ^= {key}
        self._draw()

    def take(self, key: str) -> None:
        marked = self._marked
        if len(marked) == 1:
            marked = marked | {key}
        if len(marked) < LEAST:
            self._say("Mark two to four checkpoints with space.")
            return
        self.dismiss(tuple(one for one in self._order if one in marked))

    def _say(self, words: str) -> None:
        self.query_one("#words", Static).update(Content.styled(words, "$text-warning"))


def sensible(loaded: Path | None, choices: Choices) -> list[Path]:
    """A sensible first selection: the loaded checkpoint with the first, the best and the
    last of its run, or of the newest run."""
    own = [lines for _, lines in choices if any(one.path == loaded for one in lines)]
    lines = own[0] if own else next((lines for _, lines in choices if len(lines) > 1), ())
    if not lines:
        return []
    steps = sorted(lines, key=lambda one: one.step)
    best = [one for one in steps if one.is_best]
    paths = [one.path for one in (steps[0], *best, steps[-1])]
    return list(dict.fromkeys([*paths, *([loaded] if own and loaded else [])]))


def _kinds(line: CheckpointLine) -> str:
    named = (
        ("best", line.is_best),
        ("last", line.is_last),
        ("kept", line.is_kept and not line.label),
    )
    return " ".join(name for name, there in named if there)


def _run_content(line: RunLine) -> Content:
    return Content.assemble(
        mark_content(line.mark),
        (f" {one_line(line.name, 40)}  ", "bold"),
        state_content(line),
        (f"  {when_text(line.info.created)}", "$foreground 60%"),
    )


def _read(cancel: threading.Event) -> Choices:
    """All runs that have checkpoints, newest first, each with its checkpoints."""
    lines = [
        (line, read_checkpoints(line.path, evaluation_losses(line.path)))
        for line in RunScanner().lines()
        if not line.error
    ]
    return [(line, checkpoints) for line, checkpoints in lines if checkpoints]
