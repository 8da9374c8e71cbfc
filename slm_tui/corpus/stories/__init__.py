"""The built-in stories: an unlimited source of short children's stories of known entropy.

The stories come from a weighted grammar in which every text has exactly one derivation, so the
bits of a story's choices are the exact information content of its text: their sum over a corpus,
divided by its bytes, is the floor that no model can get below.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from slm_tui.corpus.stories import phrases
from slm_tui.corpus.stories.analysis import expected_bits, vocabulary
from slm_tui.corpus.stories.grammar import Match, Node, Slots
from slm_tui.corpus.stories.notation import NotationParser
from slm_tui.corpus.stories.plots import PLOTS
from slm_tui.corpus.stories.tables import entries
from slm_tui.corpus.stories.words import WORDS
from slm_tui.errors import CorpusError

__all__ = ["GRAMMAR_VERSION", "RICHNESS", "Story", "StoryError", "StoryGenerator"]

GRAMMAR_VERSION = 1
"""Increased whenever the same (richness, seed, index) gives another story."""

RICHNESS = ("tiny", "small", "rich")


class StoryError(CorpusError):
    """A text is not a story of the grammar, or a richness or index is unknown."""


@dataclass(frozen=True)
class Story:
    """A story and its exact information content.

    `text` is ASCII, with an empty line between paragraphs and no trailing newline.
    `bits` is -log2 of the probability that the generator writes exactly this text.
    """

    text: str
    bits: float


@cache
def _grammar(richness: str) -> Node:
    """The grammar of `richness`, parsed once: parsing takes longer than many stories."""
    level = RICHNESS.index(richness)
    rows = WORDS | phrases.TABLES
    rules = dict(phrases.RULES)
    for plot in PLOTS.values():
        rows |= plot.TABLES
        rules |= plot.RULES
    rules["story"] = "|".join("{" + name + "}" for name in PLOTS)
    tables = {name: entries(table, level) for name, table in rows.items()}
    return NotationParser(rules, tables, level).grammar("story")


class StoryGenerator:
    """Stories by number: a pure function of (richness, seed, index), in any order.

    `richness` is `tiny` (about 300 distinct words), `small` (about 700) or `rich` (about 2,000);
    `seed` selects one of the infinite sequences of stories. Raises StoryError for another richness.
    """

    def __init__(self, richness: str = "small", seed: int = 0) -> None:
        if richness not in RICHNESS:
            raise StoryError(
                f"cannot write {richness!r} stories",
                "unknown richness",
                f"use {', '.join(RICHNESS)}",
            )
        self.richness = richness
        self.seed = seed
        self._grammar = _grammar(richness)

    def story(self, index: int) -> Story:
        """Story number `index` (from 0). Raises StoryError for a negative index."""
        if index < 0:
            raise StoryError(f"no story {index}", "stories are numbered from 0")
        numbers = random.Random(f"{self.seed}:{self.richness}:{index}")
        out: list[str] = []
        slots: Slots = {}
        bits = self._grammar.emit(out, slots, numbers.getrandbits)
        return Story("".join(out), bits)

    def parse(self, text: str) -> float:
        """The bits of the only derivation of `text`, computed from the text alone.

        Raises StoryError if `text` has no derivation, or more than one.
        """
        ways = self._ways(text)
        if len(ways) != 1:
            why = f"it has {len(ways)} derivations" if ways else "the grammar cannot write it"
            raise StoryError(f"not one of the {self.richness} stories", why)
        return ways[0][2]

    def derivations(self, text: str) -> int:
        """The number of derivations of `text`: 1 for a story, 0 for anything else."""
        return len(self._ways(text))

    def _ways(self, text: str) -> list[Match]:
        return [way for way in self._grammar.match(text, 0, {}) if way[0] == len(text)]

    def entropy(self) -> float | None:
        """The expected bits of a story, summed exactly over the grammar."""
        return expected_bits(self._grammar)

    @property
    def vocabulary(self) -> frozenset[str]:
        """The words the grammar can write: lower case, without the 's of a possessive."""
        return vocabulary(self._grammar)
