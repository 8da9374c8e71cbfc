"""Where a model cuts a text into chunks, and how those cuts relate to words."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from slm_tui.models.base import LanguageModel


@dataclass(frozen=True, eq=False)
class Chunks:
    """How a model cut a text of n tokens.

    `probability` is float64 `(stages, n)`: that a chunk begins at the token, outermost stage
    first. It is NaN where a stage sees nothing: inner stages see the first token of each chunk of
    the stage around them.
    """

    probability: NDArray[np.float64]

    @cached_property
    def begins(self) -> NDArray[np.bool_]:
        """Whether a chunk begins at the token, `(stages, n)`."""
        return np.nan_to_num(self.probability) > 0.5

    @cached_property
    def begins_inner(self) -> NDArray[np.bool_]:
        """Whether a chunk of the second stage begins at the token, `(n,)`."""
        inner: NDArray[np.bool_] = np.zeros(self.probability.shape[1], bool)
        return self.begins[1] if self.stages > 1 else inner

    @property
    def stages(self) -> int:
        """The number of stages that cut."""
        return len(self.probability)

    def number(self, stage: int) -> NDArray[np.int64]:
        """The number of the chunk of each token, from 1: `(n,)`."""
        return np.cumsum(self.begins[stage])

    def length(self, stage: int) -> float:
        """Mean tokens per chunk of a stage."""
        count = int(self.begins[stage].sum())
        return self.probability.shape[1] / count if count else 0.0


@torch.inference_mode()
def chunks(
    model: LanguageModel,
    ids: Sequence[int],
    turn: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Chunks | None:
    """The chunks of a text; `None` if the model makes none.

    The text is read in one pass: no more than a recurrent model needs in training.
    """
    if not model.stages_that_cut or not ids:
        return None
    device = next(model.parameters()).device
    with turn():
        rows = model.boundaries(torch.tensor([list(ids)], device=device))
    return Chunks(torch.cat(rows).double().cpu().numpy())


@dataclass(frozen=True)
class ChunkStarts:
    """What the chunks of a stage begin with: shares of all chunks but the first of each text.

    Attributes:
        chunks: the number of chunks.
        bytes_per_chunk: their mean length.
        words: the share that begins a word: at its first letter, or at the space before it.
        punctuation: at a punctuation mark.
        spaces: at white space that no word follows.
        inside: between two letters of a word.
        cut_characters: inside a character of several bytes.
    """

    chunks: int
    bytes_per_chunk: float
    words: float
    punctuation: float
    spaces: float
    inside: float
    cut_characters: float


def chunk_starts(texts: Sequence[bytes], begins: Sequence[NDArray[np.bool_]]) -> ChunkStarts:
    """Count what chunks begin with.

    Args:
        texts: texts as bytes.
        begins: for each text, whether a chunk begins at each byte.
    """
    counts = dict.fromkeys(("words", "punctuation", "spaces", "inside", "cut_characters"), 0)
    number = size = 0
    for text, starts in zip(texts, begins, strict=True):
        size += len(text)
        number += int(starts.sum())
        for at in np.flatnonzero(starts).tolist():
            if at:
                counts[_kind(text, at)] += 1
    total = max(1, sum(counts.values()))
    shares = {name: count / total for name, count in counts.items()}
    return ChunkStarts(number, size / max(1, number), **shares)


def _kind(text: bytes, at: int) -> str:
    here, before = text[at], text[at - 1]
    following = text[at + 1] if at + 1 < len(text) else 0
    if 0x80 <= here < 0xC0:
        return "cut_characters"
    if _is_letter(here):
        return "inside" if _is_letter(before) else "words"
    if chr(here).isspace():
        return "words" if _is_letter(following) else "spaces"
    return "punctuation"


def _is_letter(byte: int) -> bool:
    """Whether a byte belongs to a word; letters beyond ASCII have bytes from 0x80."""
    return byte >= 0x80 or chr(byte).isalnum()
