"""The part of the page about Muon: which rates are usual, and whether wrong ones are told."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from slm_tui.config.usual import BESIDE_MUON, FAR, WITH_MUON

# A loss this far above the best of the same text and model is due to the rates.
WORSE, AS_GOOD = 0.10, 0.03
# A change of the loss below this fraction is no difference: another seed changes as much.
NO_DIFFERENCE = 0.01
RATE_WORDS = ("learning rate too high", "learning rate too low", "diverging", "non-finite")

Row = dict[str, Any]


def excess(figures: Iterable[Row]) -> list[tuple[Row, float]]:
    """Each run with its loss above the best one of the same text, size and length, as a fraction;
    infinite if it has none."""
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in figures:
        if not row["changes"]:
            groups[row["text"], row["layers"], row["width"], row["steps"]].append(row)
    result = []
    for rows in groups.values():
        best = min(row["best"] for row in rows if row["best"] is not None)
        result += [
            (row, math.inf if row["best"] is None else row["best"] / best - 1) for row in rows
        ]
    return result


def told(rows: Iterable[Row]) -> tuple[int, int]:
    """How many of the runs have a verdict that names the rate, and how many there are."""
    has = [any(one["word"] in RATE_WORDS for one in row["verdicts"]) for row in rows]
    return sum(has), len(has)


def helping(figures: Sequence[Row]) -> tuple[int, int]:
    """How many of the runs that tried another rate were better by more than chance, of how many."""
    bases = {row["run"]: row["best"] for row in figures if not row["changes"]}
    better = []
    for row in figures:
        if row["changes"] and row["run"] in bases:
            before = bases[row["run"]]
            limit = math.inf if before is None else (1 - NO_DIFFERENCE) * before
            better.append(row["best"] is not None and row["best"] < limit)
    return sum(better), len(better)


def section(figures: Sequence[Row]) -> list[str]:
    """Lines of Markdown."""
    rows = excess(figures)
    hidden = sorted({row["hidden_rate"] for row, _ in rows})
    other = sorted({row["rate"] for row, _ in rows})
    lines = [
        "",
        "## With Muon",
        "",
        f"{len(rows)} runs with the blocks of `stories-tiny` (two layers of 64, three of 96, 300 "
        "steps) on two of the texts, with every pair of rates below: those of hidden matrices, "
        "which Muon updates (rows), and of all other weights, which AdamW updates (columns). Made "
        "by `python -m tests.verdicts --muon --text plays.txt`. How much higher the loss is than "
        "that of the best pair, median over texts and models:",
        "",
        "| hidden | " + " | ".join(f"others {one:g}" for one in other) + " |",
        "| --- |" + " --- |" * len(other),
    ]
    for one in hidden:
        cells = [
            statistics.median(
                by for row, by in rows if row["hidden_rate"] == one and row["rate"] == each
            )
            for each in other
        ]
        lines.append(f"| {one:g} | " + " | ".join(f"{by:+.1%}" for by in cells) + " |")
    right = told(row for row, by in rows if by > WORSE)
    wrong = told(row for row, by in rows if by < AS_GOOD)
    helped, tried = helping(figures)
    return [
        *lines,
        "",
        f"Of the runs whose loss is more than {WORSE:.0%} higher, {right[0]} of {right[1]} were "
        f"told that a rate is wrong; of those within {AS_GOOD:.0%} of the best, {wrong[0]} of "
        f"{wrong[1]}. The first remedy, which changes the rate that is furthest off, lowered the "
        f"loss by more than {NO_DIFFERENCE:.0%} in {helped} of {tried} runs. A rate is reported "
        f"where it is {FAR:g} times outside of what is usual: {WITH_MUON[0]:g} to {WITH_MUON[1]:g} "
        f"for hidden matrices, {BESIDE_MUON[0]:g} to {BESIDE_MUON[1]:g} for the others, for models "
        "of up to a million parameters.",
    ]
