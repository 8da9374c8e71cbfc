"""`slm-tui data`: prepare a preset's corpus, count it, and read in it."""

import argparse
import json
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from threading import Event
from typing import Any, TextIO

from slm_tui.config import library, overrides
from slm_tui.config.estimate import COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER
from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import Corpus, prepare
from slm_tui.corpus.progress import Cancelled, Progress
from slm_tui.corpus.split import PARTS
from slm_tui.corpus.statistics import Documents, Plan, Statistics, measure, plan, shown
from slm_tui.errors import CorpusError
from slm_tui.figures import count, ratio_text, size
from slm_tui.text import one_line, visible

_INTERRUPTED = 130
_SHOWN_TOKENS = 20
_BARS = " ▏▎▍▌▋▊▉█"


def data(options: argparse.Namespace) -> int:
    """Do what was asked; 130 when it was interrupted. Progress goes to stderr."""
    preset = overrides.apply(library.get(options.preset), options.assignments)
    try:
        corpus = _prepared(preset)
    except Cancelled:
        print("stopped; nothing was left behind", file=sys.stderr)
        return _INTERRUPTED
    if options.what == "prepare":
        _print_prepared(preset, corpus, as_json=options.json)
    elif options.what == "stats":
        _print_statistics(preset, measure(corpus), plan(preset, corpus), as_json=options.json)
    else:
        _print_documents(corpus, options)
    return 0


def _prepared(preset: Preset) -> Corpus:
    cancel = Event()
    line = ProgressLine(sys.stderr)
    with _cancelling(cancel):
        try:
            return prepare(preset, progress=line, cancel=cancel)
        finally:
            line.clear()


@contextmanager
def _cancelling(cancel: Event) -> Iterator[None]:
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
        self._out = out
        self._moving = out.isatty()
        self._stage = ""
        self._width = 0

    def __call__(self, progress: Progress) -> None:
        if self._moving:
            self._draw(progress_line(progress, shutil.get_terminal_size().columns - 1))
        elif progress.stage != self._stage:
            print(f"{progress.stage}…", file=self._out, flush=True)
        self._stage = progress.stage

    def _draw(self, text: str) -> None:
        self._out.write("\r" + text.ljust(self._width))
        self._out.flush()
        self._width = len(text)

    def clear(self) -> None:
        """Take the moving line away."""
        if self._moving and self._width:
            self._draw("")
            self._out.write("\r")
            self._out.flush()


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
        print(json.dumps(values, ensure_ascii=False))
        return
    words = [
        f"{name} {count(parts[name]['tokens'])} tokens" for name in PARTS if parts[name]["tokens"]
    ]
    print(f"{preset.name} is prepared: {', '.join(words)}")
    print(corpus.directory)


def _print_statistics(
    preset: Preset, statistics: Statistics, planned: Plan, *, as_json: bool
) -> None:
    if as_json:
        values = {"preset": preset.name, **statistics.to_dict(), **asdict(planned)}
        print(json.dumps(values, ensure_ascii=False))
        return
    print("\n".join(_lines(preset, statistics, planned)))


def _lines(preset: Preset, statistics: Statistics, planned: Plan) -> list[str]:
    lines = [
        f"{preset.name}: {statistics.tokenizer}, {statistics.n_vocab:,} tokens",
        "",
        f"{'':6}{'documents':>10}{'tokens':>9}{'bytes':>9}{'bytes/token':>13}"
        f"{'shortest':>10}{'mean':>8}{'longest':>10}",
    ]
    for name, part in statistics.parts.items():
        if part.tokens:
            lines.append(
                f"{name:6}{part.documents:>10,}{count(part.tokens):>9}{size(part.bytes):>9}"
                f"{part.bytes_per_token:>13.2f}{part.shortest:>10,}"
                f"{count(round(part.mean_length)):>8}{part.longest:>10,}"
            )
    epochs = "none: the text is shorter than a window"
    if planned.epochs is not None:
        epochs = f"{ratio_text(planned.epochs)} of {planned.sequences_per_epoch:,} sequences"
    ideal = f"(about {COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER} is compute-optimal)"
    lines += [
        "",
        f"tokens per parameter  {ratio_text(planned.tokens_per_parameter)} {ideal}",
        f"epochs                {epochs}",
        f"tokens seen           {statistics.distinct:,} of {statistics.ordinary:,}, "
        f"{statistics.rare:,} of them fewer than 5 times",
        f"duplicates removed    {statistics.duplicates_removed:,}",
    ]
    if statistics.floor is not None:
        lines.append(f"floor                 {statistics.floor:.4f} bits per byte")
    return lines + _length_lines(statistics) + _token_lines(statistics)


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
    lines = ["", "most frequent tokens"]
    for one in statistics.frequent[:_SHOWN_TOKENS]:
        name = f"'{one_line(shown(one.data))}'"
        lines.append(f"{name:>16} {one.count:>11,} {one.count / total:7.2%}")
    return lines


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
            print(json.dumps(values, ensure_ascii=False))
        else:
            print(f"── {options.part} {number + 1:,} of {len(documents):,}, {len(ids):,} tokens ──")
            # A terminal obeys escape sequences; a file gets the text as it is.
            print(visible(text) if sys.stdout.isatty() else text)


def _chosen(documents: int, wanted: int, seed: int | None) -> list[int]:
    """Numbers of different documents, drawn by `seed`."""
    if wanted < 1:
        raise CorpusError("--count must be at least 1")
    return random.Random(seed).sample(range(documents), min(wanted, documents))
