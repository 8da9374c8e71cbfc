"""The footer: at most six relevant keys, help always last, never truncated."""

from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.widget import Widget

from slm_tui.tui.actions import BY_ID, Action
from slm_tui.tui.keymap import first_shown

MOST_KEYS = 6


@dataclass(frozen=True)
class FooterKey:
    """One place of the footer."""

    key: str
    label: str
    action: Action

    @property
    def width(self) -> int:
        return len(self.key) + 1 + len(self.label)


def footer_keys(
    ranked: list[Action], keys: dict[str, str], width: int, *, typing: bool = False
) -> list[FooterKey]:
    """The actions of `ranked` (most important first) that fit in `width` columns, then help."""
    shown = [one for one in _merged(ranked, keys, typing) if one.action.id != "app.help"]
    help_keys = _merged([BY_ID["app.help"]], keys, typing)
    shown = shown[: MOST_KEYS - 1] + help_keys
    while len(shown) > 1 and sum(one.width + 2 for one in shown) - 2 > width:
        del shown[-2 if help_keys else -1]
    return shown


def _merged(ranked: list[Action], keys: dict[str, str], typing: bool) -> list[FooterKey]:
    """One place per label: `◀▶ Nudge` stands for two actions."""
    places: list[FooterKey] = []
    for action in ranked:
        key = first_shown(keys.get(action.id, action.key).split(","), typing=typing)
        if key is None:
            continue
        if places and places[-1].label == action.label:
            places[-1] = FooterKey(places[-1].key + key, action.label, action)
        else:
            places.append(FooterKey(key, action.label, action))
    return places


class KeyFooter(Widget):
    """Shows `footer_keys`; a click does what the key does."""

    DEFAULT_CSS = """
    KeyFooter { height: 1; width: 1fr; dock: bottom; background: $panel; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._shown_keys: tuple[list[Action], dict[str, str], bool] = ([], {}, False)

    def show(self, ranked: list[Action], keys: dict[str, str], *, typing: bool = False) -> None:
        """Show these actions; repaints only on a change."""
        shown = (list(ranked), keys, typing)
        if shown != self._shown_keys:
            self._shown_keys = shown
            self.refresh()

    @property
    def places(self) -> list[FooterKey]:
        ranked, keys, typing = self._shown_keys
        return footer_keys(ranked, keys, self.content_size.width, typing=typing)

    def render(self) -> Content:
        return Content("  ").join(
            Content.assemble((one.key, "bold $text-accent"), " ", (one.label, "$foreground"))
            for one in self.places
        )

    async def on_click(self, event: events.Click) -> None:
        at = 1
        for one in self.places:
            if at <= event.x < at + one.width:
                scope = "app" if one.action.screen == "all" else "screen"
                await self.run_action(f"{scope}.{one.action.name}")
                return
            at += one.width + 2
