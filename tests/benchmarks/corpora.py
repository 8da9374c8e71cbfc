"""How fast text becomes tokens, and how much memory it takes."""

import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from tests.benchmarks.figures import Figure, Sample, ratio
from tests.benchmarks.load import Load
from tests.benchmarks.sizes import environment

_ENCODED_BYTES = 20_000_000
_MERGES = 20_534
_PREPARE = """
import resource, sys, time
from slm_tui.config.preset import parse
from slm_tui.corpus.prepare import prepare
data = {"kind": "file", "path": sys.argv[1]}
began = time.monotonic()
prepare(parse({"name": "large", "data": data, "tokenizer": {"kind": "gpt2"}}, "large"))
print(time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def corpus_figures(home: Path, rounds: int, megabytes: int, quiet: float) -> Iterator[Figure]:
    """Encoding against tiktoken, training a BPE, and preparing one large file."""
    documents = _documents(_ENCODED_BYTES)
    yield from _encoding(documents, rounds, quiet)
    yield _bpe(rounds)
    yield from _large(home, documents, megabytes)


def _documents(size: int) -> list[str]:
    """Stories of about `size` bytes in total."""
    from slm_tui.corpus.stories import StoryGenerator

    generator, texts, have = StoryGenerator("rich", 1), list[str](), 0
    while have < size:
        texts.append(generator.story(len(texts)).text)
        have += len(texts[-1])
    return texts


def _encoding(documents: Sequence[str], rounds: int, quiet: float) -> Iterator[Figure]:
    """Bytes per second of our encoder relative to `encode_ordinary_batch`, on 1 and 2 threads."""
    import tiktoken

    from slm_tui.corpus.tokenizers import load_gpt2

    ours, size = load_gpt2(), sum(len(one.encode()) for one in documents)
    # The library's own object with the same tokens: it may be impossible to download.
    base = tiktoken.Encoding(
        name="reference",
        pat_str=ours._encoding._pat_str,
        mergeable_ranks={ours.token_bytes(id): id for id in range(ours.end_of_text)},
        special_tokens={},
    )
    groups = [documents[at : at + 1500] for at in range(0, len(documents), 1500)]
    for threads in (1, 2):
        mine, other = [], []
        for _ in range(rounds):
            theirs = partial(base.encode_ordinary_batch, documents, num_threads=threads)
            other.append(_rate(theirs, size))
            mine.append(_rate(partial(_ours, ours.encode_documents, groups, threads), size))
        figure = ratio(f"encoding over tiktoken, {threads} threads", mine, other, 0.8, quiet)
        remark = figure.remark.replace("tokens/s", "bytes/s")
        yield Figure(figure.name, figure.value, figure.unit, figure.target, remark=remark)


def _ours(encode: Callable[..., object], groups: Sequence[Sequence[str]], threads: int) -> None:
    from slm_tui.corpus.parallel import in_order

    for _ in in_order(encode, groups, threads):
        pass


def _rate(work: Callable[[], object], size: int) -> Sample:
    load, began = Load(), time.monotonic()
    work()
    return Sample(size / (time.monotonic() - began), load.foreign())


def _bpe(rounds: int) -> Figure:
    from slm_tui.corpus.tokenizers import train_bpe

    text, times, merges = _many_words(), [], 0
    for _ in range(min(3, rounds)):
        began = time.monotonic()
        merges = train_bpe([text], 256 + _MERGES + 1).n_vocab - 257
        times.append(time.monotonic() - began)
    remark = f"{merges:,} merges of {len(text):,} bytes"
    name = "training a BPE on 1 MB"
    return Figure(name, statistics.median(times), "s", 15.0, at_most=True, remark=remark)


def _many_words() -> str:
    """A megabyte of made-up words, a few frequent and very many rare, as in real text."""
    chance = random.Random(1)
    syllables = [a + b for a in "bcdfghklmnprstvw" for b in ("a", "e", "i", "o", "ur", "al", "ing")]
    words = ["".join(chance.choices(syllables, k=chance.randint(2, 5))) for _ in range(40_000)]
    weights = [1 / (rank + 20) for rank in range(len(words))]
    return " ".join(chance.choices(words, weights, k=160_000))[:1_000_000]


def _large(home: Path, documents: Sequence[str], megabytes: int) -> Iterator[Figure]:
    """Preparing a file of `megabytes`: peak memory, and bytes per second on all cores."""
    path = home / "large.txt"
    home.mkdir(parents=True, exist_ok=True)
    # A different number in every copy of a story, so that none is a duplicate.
    with path.open("w", encoding="utf-8") as file:
        number = 0
        while file.tell() < megabytes * 1_000_000:
            file.writelines(f"{number} {text}\n<|endoftext|>\n" for text in documents)
            number += 1
    done = subprocess.run(
        [sys.executable, "-c", _PREPARE, str(path)],
        env=environment(home),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds, peak = map(float, done.stdout.split())
    size = path.stat().st_size / 1e6
    path.unlink()
    name = f"preparing {size:,.0f} MB"
    yield Figure(f"{name}, peak memory", peak / 1000, "MB", 1000.0, at_most=True)
    yield Figure(f"{name}, all cores", size / seconds, "MB/s", remark=f"{seconds:.0f} s")
