"""A text whose tokens are colored by their surprisal, or by the chunks they belong to."""

import math
from typing import TYPE_CHECKING, ClassVar

from textual.content import Content
from textual.style import Style

from slm_tui.tui.widgets.token_text import TextView, TokenPassage

if TYPE_CHECKING:
    from slm_tui.corpus.tokenizers import Tokenizer
    from slm_tui.generation.chunks import Chunks

# Lower bounds of each color's surprisal in nats; the first color is for everything below.
LEVELS = (0.5, 1.5, 3.0, 5.0)
END_OF_TEXT, _NEXT = "∎", "▏"


def heat_passage(tokenizer: "Tokenizer", ids: tuple[int, ...]) -> TokenPassage:
    """The text token by token; `∎` is end-of-text, and `▏` marks the next token."""
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
    "Each token is colored by how much it surprised the model. Green: expected; yellow: less so; "
    "red: a surprise; gray: unknown. Arrows move between tokens, page keys between completions.",
    "The list shows candidates for the token at the cursor (▶ marks the actual token), each with "
    "the model's probability → the probability under the current settings (– if ruled out). t T, "
    "k K and p P change the settings. Tab focuses the list; enter continues with that token.",
    "Rank 1 is the most likely token. The logit is the model's raw score, p its probability, "
    "−ln p the surprisal in nats (0 means certain). T=0 shows the greedy choice, T=1.5 a sample "
    "at high temperature. Entropy measures how uncertain the choice is, in bits.",
    "Other steps: the most likely token after the same text at earlier or later checkpoints.",
    "v shows the chunks of an H-Net in two alternating colors; the first byte is underlined where "
    "a chunk of the second stage starts too. The list shows the same passage at other checkpoints "
    "and as subwords (BPE). r replays the checkpoints one by one.",
)


def explained_lines(width: int) -> list[Content]:
    """How to read inspect mode, for the help screen."""
    lines = [Content.styled("Inspect mode", "bold $text-accent")]
    for part in _EXPLAINED:
        lines += [line.rstrip() for line in Content(part).wrap(width)]
    return [*lines, Content("")]


class HeatView(TextView):
    """A text whose tokens are colored by their surprisal, or by chunks once `cut` has some."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "heat-view--none",
        "heat-view--even",
        "heat-view--odd",
        "heat-view--inner",
        *(f"heat-view--{level}" for level in range(len(LEVELS) + 1)),
    }
    DEFAULT_CSS = """
    HeatView > .heat-view--none { color: $foreground 60%; }
    HeatView > .heat-view--0 { background: $success 35%; color: $foreground; }
    HeatView > .heat-view--1 { background: $success 14%; color: $foreground; }
    HeatView > .heat-view--2 { background: $warning 22%; color: $foreground; }
    HeatView > .heat-view--3 { background: $error 35%; color: $foreground; }
    HeatView > .heat-view--4 { background: $error 65%; color: $foreground; text-style: bold; }
    HeatView > .heat-view--even { background: $primary 22%; color: $foreground; }
    HeatView > .heat-view--odd { background: $accent 30%; color: $foreground; }
    HeatView > .heat-view--inner { text-style: bold underline; }
    HeatView:ansi > .heat-view--even { background: ansi_default; }
    HeatView:ansi > .heat-view--odd { background: ansi_default; text-style: underline; }
    HeatView:ansi > .heat-view--inner { text-style: bold; }
    HeatView:nocolor > .heat-view--odd { text-style: underline; }
    HeatView:nocolor > .heat-view--inner { text-style: bold; }
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
        # By token: the number of its chunk, and whether the next stage begins a chunk there too.
        self._chunks: list[tuple[int, bool]] | None = None

    def warm(self, surprise: "list[float] | None") -> None:
        """Color the tokens by their surprisal in nats; gray where it is unknown."""
        values = surprise or []
        self._levels = [level_of(one) for one in values]
        self.refresh()

    def cut(self, chunks: "Chunks | None") -> None:
        """Color the tokens by their chunks; `None` goes back to their surprisal."""
        self._chunks = None
        if chunks is not None:
            numbers = chunks.number(0).tolist()
            self._chunks = list(zip(numbers, chunks.begins_inner.tolist(), strict=True))
        self.refresh()

    def token_style(self, token: int) -> Style:
        """See `TextView.token_style`."""
        if self._chunks is not None and token < len(self._chunks):
            number, is_inner = self._chunks[token]
            names = ["heat-view--odd" if number % 2 else "heat-view--even"]
            return self.get_visual_style(*names, *(["heat-view--inner"] if is_inner else []))
        level = self._levels[token] if token < len(self._levels) else -1
        return self.get_visual_style(f"heat-view--{level if level >= 0 else 'none'}")


def level_of(surprise: float) -> int:
    """The color index of a surprisal in nats; -1 if it is unknown."""
    if not math.isfinite(surprise):
        return -1
    return sum(surprise >= level for level in LEVELS)
