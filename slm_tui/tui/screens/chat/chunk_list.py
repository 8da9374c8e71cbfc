"""The chunks of one text at each checkpoint of a run, and its subwords, one line each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len
from textual.content import Content
from textual.style import Style
from textual.widgets import Static

from slm_tui.live.generation_thread import PromptedTokens
from slm_tui.text import one_line
from slm_tui.tui.screens.chat.panels import fitting
from slm_tui.tui.screens.chat.token_names import first_fitting, names_of
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.token_text import TokenPassage

if TYPE_CHECKING:
    from slm_tui.corpus.tokenizers import Tokenizer
    from slm_tui.generation.chunks import Chunks
    from slm_tui.live.inspector import InspectionStatus

_LABEL = 7


@dataclass(frozen=True)
class Split:
    """A way to split the text: whether a piece begins at each token, `(n,)`, and of which
    pieces the next stage begins one."""

    label: str
    begins: NDArray[np.bool_]
    inner: NDArray[np.bool_]
    is_shown: bool = False


def splits_of(seen: "InspectionStatus", tokens: TokenPassage, step: int) -> list[Split]:
    """The chunks by ascending step, then the subwords; `step` is the one shown above."""
    there = [(other.step, other.chunks) for other in seen.others]
    there.append((seen.step, seen.chunks))
    result = [
        Split(f"{at:,}", one.begins[0], one.begins_inner, at == step)
        for at, one in sorted(there, key=lambda pair: pair[0])
        if one is not None
    ]
    if seen.subwords is not None and result:
        count = len(result[0].begins)
        begins = np.isin(np.array(tokens.bytes[:count]), np.array(seen.subwords.starts))
        result.append(Split("BPE", begins, np.zeros(count, bool)))
    return result


def byte_lines(
    tokenizer: "Tokenizer",
    tokens: PromptedTokens,
    place: int,
    seen: "InspectionStatus",
    chunks: "Chunks",
    passage: TokenPassage,
    width: int,
) -> list[Content]:
    """Facts about the byte at the cursor and its chunk."""
    if place >= len(tokens.ids):
        return [Content("the next byte")]
    id = tokens.ids[place]
    count = None if seen.counts is None else int(seen.counts[id])
    lines = [first_fitting(names_of(tokenizer, id, count), width)]
    for stage in range(chunks.stages):
        p = float(chunks.probability[stage, place])
        lines.append(first_fitting(_boundary_words(stage, chunks.stages, p), width))
    number = chunks.number(0)
    inside = np.flatnonzero(number == number[place])
    text = _text(passage, int(inside[0]), int(inside[-1]) + 1)
    lines.append(f"chunk {number[place]:,} of {number[-1]:,}: '{one_line(text, 20)}'")
    if seen.heat is not None and place:
        nats = float(seen.heat.surprise[place])
        lines.append(f"rank {int(seen.heat.rank[place]):,} · p {np.exp(-nats):.2%}")
    return [Content(one_line(line, width)) for line in lines]


def _boundary_words(stage: int, stages: int, p: float) -> list[str]:
    """Whether a stage begins a chunk at a byte, the longest text first."""
    name = f"stage {stage + 1}: " if stages > 1 else ""
    if math.isnan(p):
        return [f"{name}inside a chunk", f"{name}inside"]
    does = "begins" if p > 0.5 else "continues"
    return [
        f"{name}boundary p {p:.1%}, {does} a chunk",
        f"{name}p {p:.1%}, {does}",
        f"{name}p {p:.0%} {does}",
        f"{name}{p:.0%}",
    ]


def summary_of(chunks: "Chunks", text: bytes, tokens: TokenPassage) -> list[str]:
    """The mean length of chunks, and how many of them begin a word."""
    from slm_tui.generation.chunks import chunk_starts

    per_chunk = [f"{chunks.length(stage):.1f}" for stage in range(chunks.stages)]
    parts = [f"{' and '.join(per_chunk)} bytes/chunk"]
    # End-of-text, with which a document may begin, has no bytes.
    has_bytes = np.diff([*tokens.bytes[: chunks.probability.shape[1]], len(text)]) > 0
    if has_bytes.sum() == len(text):
        starts = chunk_starts([text], [chunks.begins[0][has_bytes]])
        parts.append(f"{starts.words:.0%} begin a word")
    return parts


class ChunkList(Static):
    """One line for each checkpoint, so that words can be seen to emerge during training."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chunk-list--even",
        "chunk-list--odd",
        "chunk-list--inner",
        "chunk-list--cursor",
    }
    DEFAULT_CSS = """
    ChunkList > .chunk-list--even { background: $primary 22%; color: $foreground; }
    ChunkList > .chunk-list--odd { background: $accent 30%; color: $foreground; }
    ChunkList > .chunk-list--inner { text-style: bold underline; }
    ChunkList > .chunk-list--cursor { background: $warning; color: $background; }
    ChunkList:ansi > .chunk-list--even { background: ansi_default; }
    ChunkList:ansi > .chunk-list--odd { background: ansi_default; text-style: underline; }
    ChunkList:ansi > .chunk-list--inner { text-style: bold; }
    ChunkList:ansi > .chunk-list--cursor { text-style: bold reverse; }
    ChunkList:nocolor > .chunk-list--odd { text-style: underline; }
    ChunkList:nocolor > .chunk-list--inner { text-style: bold; }
    ChunkList:nocolor > .chunk-list--cursor { text-style: bold reverse; }
    """

    def __init__(self, *, id: str, classes: str = "") -> None:
        super().__init__("", id=id, classes=classes, markup=False)
        self._splits: Sequence[Split] = ()
        self._tokens, self._place, self._note = TokenPassage(""), 0, ""

    def show(self, splits: Sequence[Split], tokens: TokenPassage, place: int, note: str) -> None:
        """Show as much of each split as fits, around the token at `place`."""
        self._splits, self._tokens, self._place, self._note = splits, tokens, place, note
        self._draw()

    def on_resize(self) -> None:
        # Its width is known only once it is displayed.
        self._draw()

    def _draw(self) -> None:
        tokens, place = self._tokens, self._place
        if not tokens.starts:
            return
        width = max(20, self.content_size.width)
        begin, end = window(tokens, place, width - _LABEL - 2)
        lines = [self._line(split, tokens, begin, end, place) for split in self._splits]
        if self._note:
            lines += [line.rstrip() for line in Content.styled(self._note, MUTED).wrap(width)]
        title = fitting(["chunks by step", "with subwords (BPE)"], max(10, self.size.width - 4))
        self.border_title = Content(f" {title} ")
        self.update(Content("\n").join(lines))

    def _line(
        self, split: Split, tokens: TokenPassage, begin: int, end: int, place: int
    ) -> Content:
        mark = "▶" if split.is_shown else " "
        label = f"{mark}{split.label:>{_LABEL}} "
        parts: list[tuple[str, str | Style]] = [(label, "bold" if split.is_shown else MUTED)]
        number = np.cumsum(split.begins)
        for token in range(begin, min(end, len(split.begins))):
            text = _text(tokens, token, token + 1)
            parts.append((text, self._style(split, number[token], token, token == place)))
        return Content.assemble(*parts)

    def _style(self, split: Split, number: int, token: int, is_here: bool) -> Style:
        names = ["chunk-list--odd" if number % 2 else "chunk-list--even"]
        if split.begins[token] and split.inner[token]:
            names.append("chunk-list--inner")
        if is_here:
            names.append("chunk-list--cursor")
        return self.get_visual_style(*names)


def window(tokens: TokenPassage, place: int, width: int) -> tuple[int, int]:
    """The tokens to show in `width` cells, with `place` about a third from the left."""
    count = len(tokens.starts)
    begin = min(place, count - 1)
    room = width // 3
    while begin > 0 and (used := cell_len(_text(tokens, begin - 1, begin))) <= room:
        room -= used
        begin -= 1
    end, room = begin, width
    while end < count and (used := cell_len(_text(tokens, end, end + 1))) <= room:
        room -= used
        end += 1
    return begin, end


def _text(tokens: TokenPassage, begin: int, end: int) -> str:
    starts = tokens.starts
    stop = starts[end] if end < len(starts) else len(tokens.text)
    return tokens.text[starts[begin] : stop].replace("\n", "")
