"""From the figures of the runs to hit rates, as a page of Markdown."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.verdicts import muon_table
from tests.verdicts.muon_table import NO_DIFFERENCE

_FEWEST = 20
_ENOUGH = 0.8
_Z = 1.96
# Verdicts about arithmetic or the text, which another run cannot confirm.
_NOT_MEASURED = ("near the floor", "validation too small", "early stop cannot fire")
_KINDS = (
    ("optimizer.learning_rate", "the learning rate"),
    ("data.split", "a larger validation split"),
    ("data.", "more text"),
    ("model.dropout", "dropout"),
    ("model.", "the size of the model"),
    ("training.max_steps", "the number of steps"),
    ("training.evaluate_batches", "larger evaluations"),
    ("schedule.", "a warm-up"),
    ("optimizer.gradient_clip", "gradient clipping"),
)


@dataclass
class Tally:
    """How often something held."""

    yes: int = 0
    of: int = 0

    def add(self, holds: bool) -> None:
        self.yes += holds
        self.of += 1

    @property
    def share(self) -> float:
        return self.yes / self.of if self.of else math.nan

    @property
    def text(self) -> str:
        """The share with its 95% interval (Wilson) and the count."""
        if not self.of:
            return "–"
        low, high = wilson(self.yes, self.of)
        return f"{self.share:.0%} ({low:.0%}–{high:.0%}) of {self.of}"


@dataclass
class Measured:
    """What the runs say of one verdict."""

    right: Tally = field(default_factory=Tally)
    remedies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    changes: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def wilson(yes: int, of: int) -> tuple[float, float]:
    """The 95% interval of a share (Wilson 1927)."""
    share, z2 = yes / of, _Z * _Z
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    return max(0.0, middle - half), min(1.0, middle + half)


def read(path: Path) -> list[dict[str, Any]]:
    """The figures of all runs."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def kind_of(changes: Sequence[str], base: dict[str, Any]) -> str:
    """What a remedy changes, in words."""
    path, _, value = changes[0].partition("=")
    if path == "optimizer.learning_rate":
        return "a lower learning rate" if float(value) < base["rate"] else "a higher learning rate"
    if path == "training.max_steps":
        return "fewer steps" if int(value) < base["steps"] else "more steps"
    return next((words for start, words in _KINDS if path.startswith(start)), path)


def change(base: dict[str, Any], other: dict[str, Any]) -> float | None:
    """The relative change of the best loss; negative is better. A run that failed is far worse."""
    if base["best"] is None:
        return None if other["best"] is None else -1.0
    if other["best"] is None:
        return 1.0
    return float((other["best"] - base["best"]) / base["best"])


def measured(figures: Iterable[dict[str, Any]]) -> dict[str, Measured]:
    """By verdict: how often it was right, and how often each of its remedies helped.

    A verdict is right if one of the runs that answer it is better than its run by more than chance.
    """
    rows = list(figures)
    bases = {row["run"]: row for row in rows if not row["changes"]}
    others = {(row["run"], tuple(row["changes"])): row for row in rows if row["changes"]}
    found: dict[str, Measured] = defaultdict(Measured)
    for number, base in bases.items():
        for verdict in base["verdicts"]:
            if not verdict["word"] or verdict["word"] in _NOT_MEASURED:
                continue
            answers = []
            for remedy in verdict["remedies"]:
                key = (number, tuple(remedy["changes"]))
                by = change(base, others[key]) if key in others else None
                if by is None:
                    continue
                answers.append(by)
                kind = kind_of(remedy["changes"], base)
                found[verdict["word"]].remedies[kind].add(by < -NO_DIFFERENCE)
                found[verdict["word"]].changes[kind].append(by)
            if answers:
                found[verdict["word"]].right.add(min(answers) < -NO_DIFFERENCE)
    return dict(found)


def _rates(
    figures: Iterable[dict[str, Any]],
) -> Iterator[tuple[dict[str, Any], float, float]]:
    """The runs that try another rate: the run before, the factor, and the change of the loss."""
    rows = list(figures)
    bases = {row["run"]: row for row in rows if not row["changes"]}
    for row in rows:
        path, _, rate = (row["changes"] or [""])[0].partition("=")
        if path != "optimizer.learning_rate" or row["run"] not in bases:
            continue
        base = bases[row["run"]]
        if (by := change(base, row)) is not None:
            yield base, float(rate) / base["rate"], by


def missed(figures: Iterable[dict[str, Any]]) -> Tally:
    """Runs whose rate was wrong by a factor of ten (that rate is better by over 5%) and whose
    verdicts said so."""
    tally = Tally()
    for base, factor, by in _rates(figures):
        if 8 < max(factor, 1 / factor) < 12 and by < -0.05:
            word = "learning rate too high" if factor < 1 else "learning rate too low"
            said = {one["word"] for one in base["verdicts"]}
            tally.add(bool(said & {word, "diverging", "non-finite"}))
    return tally


def report(figures: Sequence[dict[str, Any]], with_muon: Sequence[dict[str, Any]] = ()) -> str:
    """The page: a table of verdicts and one of remedies, with how they were measured."""
    found = measured(figures)
    bases = [row for row in figures if not row["changes"]]
    lines = [
        "# How often verdicts are right, and remedies help",
        "",
        f"{len(bases)} small runs (models of one to three layers, nine learning rates from 3e-5 to "
        "0.3, 200 to 1,500 steps, six texts from 600 tokens to 300,000 characters), and "
        f"{len(figures) - len(bases)} runs that try the remedies of their verdicts, with the same "
        "seed. Made by `python -m tests.verdicts --text plays.txt`, which stores the figures in "
        "`tests/verdicts/figures.jsonl`; `--table` writes this page from them.",
        "",
        f"A remedy helped if the best validation loss in bits per byte fell by more than "
        f"{NO_DIFFERENCE:.0%}; a verdict was right if one of its remedies helped. Shares have 95% "
        f"intervals (Wilson). With fewer than {_FEWEST} firings a share says little.",
        "",
        "| verdict | right |",
        "| --- | --- |",
    ]
    for word, one in sorted(found.items(), key=lambda item: -item[1].right.of):
        lines.append(f"| {word} | {one.right.text} |")
    lines += [
        "",
        f"Of the runs whose loss another rate lowers by more than 5%, {missed(figures).text} were "
        "told so.",
        "",
        "| verdict | remedy | helped | change of the loss (median) |",
        "| --- | --- | --- | --- |",
    ]
    for word, one in sorted(found.items(), key=lambda item: -item[1].right.of):
        for kind, tally in sorted(one.remedies.items(), key=lambda item: -item[1].share):
            changes = sorted(one.changes[kind])
            middle = changes[len(changes) // 2]
            lines.append(f"| {word} | {kind} | {tally.text} | {middle:+.1%} |")
    lines += _consequences(figures)
    if with_muon:
        lines += muon_table.section(with_muon)
    return "\n".join(lines) + "\n"


def _consequences(figures: Sequence[dict[str, Any]]) -> list[str]:
    """What followed for the rules, with the figures of the rates."""
    high, low = far_rates(figures, at_least=0.03), far_rates(figures, at_most=1e-4)
    few = [
        f"{word} ({one.right.of})"
        for word, one in sorted(measured(figures).items())
        if one.right.of < _FEWEST
    ]
    return [
        "",
        "## What followed",
        "",
        "The rules above are the second version. With the first one, on 130 of these runs:",
        "",
        "- Remedies that helped in fewer than 80% of the runs are no longer offered: dropout (22%) "
        "and a smaller model (0%) against overfitting and memorising, fewer steps (17%) and a "
        "smaller model (20%) against too little text, a larger model (20%) against underfitting, "
        "a warm-up (50%) against too high a rate.",
        "- Rates are judged by what is usual for the size of a model, because the curve alone told "
        "41% of the runs with a wrong rate. A tenth of the rate was better in "
        f"{high.text} runs with a rate of 0.03 or more, and the tenfold rate in {low.text} with "
        "1e-4 or less: these are reported now. At a usual rate, a loss that zigzags or falls in a "
        "straight line is no longer put down to the rate.",
        *([f"- Measured fewer than {_FEWEST} times: {', '.join(few)}."] if few else []),
    ]


def far_rates(
    figures: Iterable[dict[str, Any]], *, at_least: float = 0.0, at_most: float = math.inf
) -> Tally:
    """How often a rate ten times closer to the middle was better by more than chance."""
    tally = Tally()
    for base, factor, by in _rates(figures):
        wanted = 0.08 < factor < 0.12 if at_least else 8 < factor < 12
        if wanted and at_least <= base["rate"] <= at_most:
            tally.add(by < -NO_DIFFERENCE)
    return tally
