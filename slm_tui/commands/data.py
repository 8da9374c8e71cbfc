"""`slm-tui data`: prepare a preset's corpus, count it, and read in it."""

import argparse
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import zip_longest
from pathlib import Path
from threading import Event
from typing import Any, TextIO

from slm_tui.commands import output
from slm_tui.commands.output import MovingLine
from slm_tui.config import library, overrides, pointing
from slm_tui.config.estimate import COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER
from slm_tui.config.preset import Preset
from slm_tui.config.ready_made import READY_MADE
from slm_tui.corpus.documents import Documents
from slm_tui.corpus.overlap import WORDS
from slm_tui.corpus.prepare import Corpus, prepare
from slm_tui.corpus.progress import Cancelled, Progress
from slm_tui.corpus.split import PARTS
from slm_tui.corpus.statistics import (
    RARE,
    Plan,
    Statistics,
    TokenCount,
    measure,
    plan,
    shown,
)
from slm_tui.corpus.verdict import verdicts
from slm_tui.errors import CorpusError, PresetError
from slm_tui.formatting import count, ratio_text, size
from slm_tui.text import one_line, pad

_INTERRUPTED = 130
_SHOWN_TOKENS = 20
_BARS = " ▏▎▍▌▋▊▉█"


def data(options: argparse.Namespace) -> int:
    """Do what was asked; 130 when it was interrupted. Progress goes to stderr."""
    preset = _chosen_preset(options.preset)
    if options.text:
        preset = pointing.reading(preset, options.text)
    preset = overrides.apply(preset, options.assignments)
    try:
        corpus = _prepared(preset)
    except Cancelled:
        output.tell("stopped; nothing was left behind")
        return _INTERRUPTED
    if options.what == "prepare":
        _print_prepared(preset, corpus, as_json=options.json)
    elif options.what == "stats":
        _print_statistics(preset, measure(corpus), plan(preset, corpus), as_json=options.json)
    else:
        _print_documents(corpus, options)
    return 0


def _chosen_preset(name: str) -> Preset:
    """The preset of that name; or the default one, reading the text that was named instead.

    Raises:
        PresetError: it is neither.
    """
    try:
        return library.get(name)
    except PresetError:
        looks_like_text = "/" in name or ("." in name and not name.endswith(".toml"))
        if not looks_like_text and name not in READY_MADE and not Path(name).exists():
            raise
    return pointing.pointed(library.get(library.DEFAULT), name)


def _prepared(preset: Preset) -> Corpus:
    cancel = Event()
    line = ProgressLine(sys.stderr)
    with cancelling(cancel):
        try:
            return prepare(preset, progress=line, cancel=cancel)
        finally:
            line.clear()


@contextmanager
def cancelling(cancel: Event) -> Iterator[None]:
    """Turn ctrl+C and a kill into an orderly end. A second one ends the program at once."""

    def stop(number: int, _frame: Any) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class ProgressLine:
    """One line that moves on a terminal, a line per stage elsewhere."""

    def __init__(self, out: TextIO) -> None:
        self._line = MovingLine(out)
        self._stage = ""

    def __call__(self, progress: Progress) -> None:
        if self._line.moves:
            self._line.draw(progress_line(progress, output.columns()))
        elif progress.stage != self._stage:
            self._line.say(f"{progress.stage}…")
        self._stage = progress.stage

    def clear(self) -> None:
        """Take the moving line away."""
        self._line.clear()


def progress_line(progress: Progress, width: int) -> str:
    """Stage, bar, share, amount, rate and time left in at most `width` characters."""
    share = progress.share
    if share is None:
        return f"{progress.stage}…  {progress.detail}".rstrip()[:width]
    line = f"{progress.stage} {_bar(share, 20)} {share:4.0%}"
    longer = f"{line}  {progress.detail}".rstrip()
    return longer if len(longer) <= width else f"{line}  {progress.pace}".rstrip()[:width]


def _bar(share: float, width: int) -> str:
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_BARS[rest] if rest else "")).ljust(width, "░")


def _print_prepared(preset: Preset, corpus: Corpus, *, as_json: bool) -> None:
    parts = corpus.manifest["parts"]
    if as_json:
        values = {"preset": preset.name, "path": str(corpus.directory), "parts": parts}
        output.say_json(values)
        return
    words = [
        f"{name} {count(parts[name]['tokens'])} tokens" for name in PARTS if parts[name]["tokens"]
    ]
    output.say(f"{preset.name} is prepared: {', '.join(words)}")
    output.say(str(corpus.directory))


def _print_statistics(
    preset: Preset, statistics: Statistics, planned: Plan, *, as_json: bool
) -> None:
    if as_json:
        said = [one.to_dict() for one in verdicts(preset, statistics, planned)]
        values = {"preset": preset.name, **statistics.to_dict(), **asdict(planned)}
        values["verdicts"] = said
        output.say_json(values)
        return
    output.say("\n".join(_lines(preset, statistics, planned)))


def _lines(preset: Preset, statistics: Statistics, planned: Plan) -> list[str]:
    lines = [
        f"{preset.name}: {statistics.tokenizer}, {statistics.n_vocab:,} tokens",
        "",
        f"{'':6}{'documents':>10}{'tokens':>9}{'bytes':>9}{'bytes/token':>13}"
        f"{'shortest':>10}{'mean':>10}{'longest':>10}",
    ]
    for name, part in statistics.parts.items():
        if part.tokens:
            lines.append(
                f"{name:6}{part.documents:>10,}{count(part.tokens):>9}{size(part.bytes):>9}"
                f"{part.bytes_per_token:>13.2f}{part.shortest:>10,}"
                f"{part.mean_length:>10,.0f}{part.longest:>10,}"
            )
    epochs = "none: the text is shorter than a window"
    if planned.epochs is not None:
        epochs = f"{ratio_text(planned.epochs)} of {planned.sequences_per_epoch:,} sequences"
    lines += [
        "",
        f"tokens per parameter  {ratio_text(planned.tokens_per_parameter)} "
        f"(about {COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER} is compute-optimal)",
        f"epochs                {epochs}",
        f"tokens seen           {statistics.distinct:,} of {statistics.ordinary:,}, "
        f"{statistics.rare:,} of them fewer than {RARE} times",
        f"duplicates removed    {statistics.duplicates_removed:,}",
    ]
    for name, overlap in statistics.leakage.items():
        lines.append(
            f"leakage of {name:<10} {overlap['share']:.2%} of {overlap['runs']:,} "
            f"{WORDS}-grams of words{', a sample' if overlap['sampled'] else ''}"
        )
    if statistics.floor is not None:
        lines.append(f"floor                 {statistics.floor:.4f} bits per byte")
    lines.append("")
    for verdict in verdicts(preset, statistics, planned):
        lines.append(f"{'✓' if verdict.is_fine else '▲'} {verdict.text}")
        lines += [f"  → {verdict.why}"] if verdict.why else []
    return [
        *lines,
        *_length_lines(statistics),
        *_token_lines(statistics),
        *_byte_lines(statistics),
        *_analysis_lines(statistics),
    ]


def _length_lines(statistics: Statistics) -> list[str]:
    bins = statistics.parts["train"].histogram(12)
    if len(bins) < 2:
        return []
    most = max(one.documents for one in bins)
    lines = ["", "training documents by length in tokens"]
    for one in bins:
        bar = _bar(one.documents / most, 40).rstrip("░")
        lines.append(f"{one.low:>9,}–{one.high - 1:<9,} {one.documents:>9,} {bar}")
    return lines


def _token_lines(statistics: Statistics) -> list[str]:
    total = max(1, statistics.parts["train"].tokens)
    lines = ["", f"{'most frequent tokens':<39}  rarest tokens"]
    rows = zip_longest(statistics.frequent[:_SHOWN_TOKENS], statistics.rarest[:_SHOWN_TOKENS])
    for frequent, rare in rows:
        left = f"{_name(frequent)} {frequent.count:>11,} {frequent.count / total:7.2%}"
        lines.append(f"{left}  {_name(rare)} {rare.count:>9,}" if rare else left)
    return lines


def _name(token: TokenCount) -> str:
    return pad(f"'{one_line(shown(token.data), 16)}'", 18, right=True)


def _byte_lines(statistics: Statistics) -> list[str]:
    """How often each byte occurs, for models of bytes: 8 rows of 32."""
    counts = statistics.byte_counts
    if not counts:
        return []
    most, blocks = max(counts), " ▁▂▃▄▅▆▇█"
    bars = [blocks[max(int(one > 0), round(8 * (one / most) ** 0.5))] for one in counts]
    lines = ["", "bytes, by the square root of how often they occur"]
    return lines + [f"{at:02x}  {''.join(bars[at : at + 32])}" for at in range(0, 256, 32)]


def _analysis_lines(statistics: Statistics) -> list[str]:
    found = statistics.analysis
    if found is None:
        return []
    merges = [f"{_plain(one.left)}+{_plain(one.right)}" for one in found.merges]
    lines = ["", "first merges"]
    lines += [f"  {'  '.join(merges[at : at + 10])}" for at in range(0, len(merges), 10)]
    lines += ["", "bytes per token at a vocabulary of"]
    lines += [f"{size:>9,}  {value:.2f}" for size, value in found.sizes]
    lines += ["", "words as they are cut, frequent to rare"]
    for word, parts in found.examples:
        lines.append(f"  {pad(one_line(word), 20)} {'·'.join(map(_plain, parts))}")
    return lines


def _plain(data: bytes) -> str:
    return one_line(shown(data).replace(" ", "␣"))


def _print_documents(corpus: Corpus, options: argparse.Namespace) -> None:
    stream = {"train": corpus.train, "val": corpus.val, "test": corpus.test}[options.part]
    documents = Documents(stream, corpus.tokenizer.end_of_text)
    if not len(documents):
        raise CorpusError(
            f"the part {options.part} of {options.preset} has no documents",
            "",
            "choose another --part, or a larger data.split",
        )
    for number in _chosen(len(documents), options.count, options.seed):
        ids = documents.ids(number)
        text = corpus.tokenizer.decode_bytes(ids).decode("utf-8", "replace")
        if options.json:
            values = {"part": options.part, "document": number, "tokens": len(ids), "text": text}
            output.say_json(values)
        else:
            head = f"{options.part} {number + 1:,} of {len(documents):,}, {len(ids):,} tokens"
            output.say(f"── {head} ──")
            output.say_text(f"{text}\n")


def _chosen(documents: int, wanted: int, seed: int | None) -> list[int]:
    """Numbers of different documents, drawn by `seed`."""
    if wanted < 1:
        raise CorpusError("--count must be at least 1")
    return random.Random(seed).sample(range(documents), min(wanted, documents))
