"""The part of the Chat screen that draws what stands around the transcript."""

from typing import TYPE_CHECKING, cast

from textual.content import Content
from textual.widgets import Input, Static

from slm_tui.runs.speaker import Spoken
from slm_tui.tui.screens import chat_panels

if TYPE_CHECKING:
    from slm_tui.tui.screens.chat import ChatScreen


class ChatPaint:
    """Repaints a widget only where its content has changed."""

    _put_there: dict[str, Content]

    @property
    def _chat(self) -> "ChatScreen":
        return cast("ChatScreen", self)

    def put(self, name: str, content: Content) -> None:
        """Show `content` in a widget whose size does not follow it."""
        if self._put_there.get(name) != content:
            self._put_there[name] = content
            self._chat.query_one(f"#{name}", Static).update(content, layout=False)

    def paint_newer(self) -> None:
        newer = self._chat._newer
        widget = self._chat.query_one("#newer", Static)
        if newer is None or not newer.is_newer:
            widget.display = False
            return
        key = "F8" if isinstance(self._chat.focused, Input) else "b"
        content = Content.assemble(
            (f" step {newer.step:,} {newer.word} · ", "$text-accent"),
            (key, "bold $text-accent"),
            (" loads it", "$text-accent"),
        )
        if not widget.display or self._put_there.get("newer") != content:
            self._put_there["newer"] = content
            widget.display = True
            widget.update(content)

    def paint_settings(self, spoken: Spoken, name: str) -> None:
        ask, side = self._chat.query_one("#ask"), self._chat.query_one("#side")
        width = max(20, ask.size.width - 4)
        short = chat_panels.fitting(self._chat.settings.short(), width)
        ask.border_title = Content(f" {short} " if not side.display else " your text ")
        if side.display:
            room = max(20, self._chat.query_one("#sampling").content_size.width)
            lines = chat_panels.sampling_lines(self._chat.settings, room)
            self.put("sampling", Content("\n").join(lines))
            told = chat_panels.fact_lines(spoken.facts, spoken, name, room)
            self.put("facts", Content("\n").join(told))
