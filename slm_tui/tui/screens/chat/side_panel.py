"""The panes next to the transcript, and the note about a newer checkpoint below it."""

from collections.abc import Iterable

from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from slm_tui.generation.chat_commands import ChatSettings
from slm_tui.live.generation_thread import GenerationStatus
from slm_tui.tui.screens.chat import panels
from slm_tui.tui.screens.chat.checkpoints import CheckpointOffer


class FixedStatic(Static):
    """Text in a widget of fixed size: repaints only if the text changed."""

    def __init__(self, *, id: str, classes: str = "") -> None:
        super().__init__("", id=id, classes=classes, markup=False)
        self._shown: Content | None = None

    def show(self, content: Content) -> None:
        """Show `content` unless it is shown already."""
        if content != self._shown:
            self._shown = content
            self.update(content, layout=False)


class SidePanel(Vertical):
    """The sampling settings, and the loaded model."""

    def compose(self) -> Iterable[Widget]:
        yield FixedStatic(id="sampling", classes="pane")
        yield FixedStatic(id="facts", classes="pane")

    def on_mount(self) -> None:
        self.query_one("#sampling").border_title = Content(" sampling ")
        self.query_one("#facts").border_title = Content(" model ")

    def show(self, settings: ChatSettings, generation: GenerationStatus, name: str) -> None:
        """Update both panes; `name` is the name of the run."""
        sampling = self.query_one("#sampling", FixedStatic)
        room = max(20, sampling.content_size.width)
        sampling.show(Content("\n").join(panels.sampling_lines(settings, room)))
        lines = panels.fact_lines(generation.facts, generation, name, room)
        self.query_one("#facts", FixedStatic).show(Content("\n").join(lines))


class NewerNote(Static):
    """Announces a checkpoint newer than the loaded one, and the key that loads it."""

    def __init__(self, *, id: str) -> None:
        super().__init__("", id=id, markup=False)
        self._shown: Content | None = None

    def show(self, newer: CheckpointOffer | None, key: str) -> None:
        """Show `newer` if it is newer, else nothing."""
        if newer is None or not newer.is_newer:
            self.display = False
            return
        content = Content.assemble(
            (f" step {newer.step:,} {newer.word} · ", "$text-accent"),
            (key, "bold $text-accent"),
            (" loads it", "$text-accent"),
        )
        if not self.display or content != self._shown:
            self._shown = content
            self.display = True
            self.update(content)
