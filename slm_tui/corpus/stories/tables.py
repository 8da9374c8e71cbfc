"""Tables of words: from lines of text to weighted entries for one level of richness."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from slm_tui.corpus.stories.grammar import DrawnEntry


class TableEntry(NamedTuple):
    """A line of a table: its lowest level, text and features."""

    level: int
    text: str
    features: Mapping[str, str]


def listed(
    tiny: str, small: str = "", rich: str = "", features: Mapping[str, str] | None = None
) -> list[TableEntry]:
    """Rows from three comma-separated lists, all with the same features."""
    return [
        TableEntry(level, text, features or {})
        for level, line in enumerate((tiny, small, rich))
        for text in (" ".join(part.split()) for part in line.split(","))
        if text
    ]


def detailed(lines: str) -> list[TableEntry]:
    """Rows from paragraphs `+text ; key: value ; key: value`; `+` marks the level as in rules."""
    rows = []
    for paragraph in re.split(r"\n\s*\n", lines.strip()):
        head, *pairs = " ".join(paragraph.split()).split(" ; ")
        text = head.lstrip("+")
        features = dict(re.split(r"\s*:\s*", pair, maxsplit=1) for pair in pairs)
        rows.append(TableEntry(len(head) - len(text), text, features))
    return rows


def entries(rows: Iterable[TableEntry], level: int) -> list[DrawnEntry]:
    """The entries used at `level`; the weight falls with rank, as word frequencies do."""
    used = sorted((row for row in rows if row.level <= level), key=lambda row: row.level)
    return [
        DrawnEntry(row.text, max(1, round(40 / (rank + 4))), row.features)
        for rank, row in enumerate(used)
    ]
