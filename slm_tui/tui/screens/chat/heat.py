"""A text whose tokens are coloured by how much they surprised the model."""

import math
from typing import TYPE_CHECKING, ClassVar

from textual.content import Content
from textual.style import Style

from slm_tui.tui.widgets.token_text import TextView, TokenPassage

if TYPE_CHECKING:
    from slm_tui.corpus.tokenizers import Tokenizer

# Surprise in nats from which on each colour is used, the first for all below.
LEVELS = (0.5, 1.5, 3.0, 5.0)
END_OF_TEXT, _NEXT = "∎", "▏"


def heat_passage(tokenizer: "Tokenizer", ids: tuple[int, ...]) -> TokenPassage:
    """The text token by token; `∎` is end-of-text, and `▏` stands for the token to come."""
    from slm_tui.corpus.statistics import shown

    parts, starts, places, at, place = [], [], [], 0, 0
    for id in (*ids, -1):
        data = tokenizer.token_bytes(id) if id >= 0 else b""
        text = shown(data).replace("\n", "↵\n") or (END_OF_TEXT if id >= 0 else _NEXT)
        starts.append(at)
        places.append(place)
        parts.append(text)
        at, place = at + len(text), place + len(data)
    return TokenPassage("".join(parts), tuple(starts), (*ids, -1), tuple(places), place)


_EXPLAINED = (
    "Every token is coloured by how much it surprised the model: green was expected, yellow less, "
    "red hardly; grey is unknown. Arrows walk the tokens, page keys go to other texts.",
    "The list has what may stand at the cursor (▶ is what stands there): its chance as the model "
    "says → as it is drawn with the present settings, – if they rule it out. t T, k K and p P "
    "change them at once. Tab goes to the list, where enter writes on with the marked token.",
    "Rank 1 is the likeliest token. The logit is the model's raw score, p the chance made of it, "
    "−ln p the surprise in nats: 0 is certainty. T=0 names what would always be taken, T=1.5 what "
    "is drawn when it is hot. Entropy says how open the choice is, in bits.",
    "Other steps: what the same model, younger or older, thought likeliest after the same words.",
)


def explained_lines(width: int) -> list[Content]:
    """How to read a text that is looked into, for the help screen."""
    lines = [Content.styled("Looking into a text", "bold $text-accent")]
    for part in _EXPLAINED:
        lines += [line.rstrip() for line in Content(part).wrap(width)]
    return [*lines, Content("")]


class HeatView(TextView):
    """A text whose tokens are coloured by how much they surprised the model."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "heat-view--none",
        *(f"heat-view--{level}" for level in range(len(LEVELS) + 1)),
    }
    DEFAULT_CSS = """
    HeatView > .heat-view--none { color: $foreground 60%; }
    HeatView > .heat-view--0 { background: $success 35%; color: $foreground; }
    HeatView > .heat-view--1 { background: $success 14%; color: $foreground; }
    HeatView > .heat-view--2 { background: $warning 22%; color: $foreground; }
    HeatView > .heat-view--3 { background: $error 35%; color: $foreground; }
    HeatView > .heat-view--4 { background: $error 65%; color: $foreground; text-style: bold; }
    HeatView:ansi > .heat-view--0 { background: ansi_default; text-style: dim; }
    HeatView:ansi > .heat-view--1 { background: ansi_default; }
    HeatView:ansi > .heat-view--2 { background: ansi_default; text-style: underline; }
    HeatView:ansi > .heat-view--3 { background: ansi_default; text-style: bold underline; }
    HeatView:ansi > .heat-view--4 { background: ansi_default; text-style: bold reverse; }
    HeatView:nocolor > .heat-view--2 { text-style: underline; }
    HeatView:nocolor > .heat-view--3 { text-style: bold underline; }
    HeatView:nocolor > .heat-view--4 { text-style: bold reverse; }
    """

    def __init__(self, *, id: str, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._levels: list[int] = []

    def warm(self, surprise: "list[float] | None") -> None:
        """Colour the tokens by their surprise in nats; grey where it is unknown."""
        values = surprise or []
        self._levels = [level_of(one) for one in values]
        self.refresh()

    def token_style(self, token: int) -> Style:
        """See `TextView.token_style`."""
        level = self._levels[token] if token < len(self._levels) else -1
        return self.get_visual_style(f"heat-view--{level if level >= 0 else 'none'}")


def level_of(surprise: float) -> int:
    """Which colour a surprise in nats has; -1 where it is not known."""
    if not math.isfinite(surprise):
        return -1
    return sum(surprise >= level for level in LEVELS)
