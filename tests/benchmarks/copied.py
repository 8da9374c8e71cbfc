"""How fast the index of a training text is built, how much memory it takes, and how fast it
answers."""

import statistics
import time
from collections.abc import Iterator

import numpy as np

from slm_tui.corpus.stories import StoryGenerator
from slm_tui.corpus.tokenizers import load_gpt2
from slm_tui.evaluation.memorisation import Index
from tests.benchmarks.figures import Figure

_TOKENS = 10_000_000
_SAMPLE = 400
_QUESTIONS = 60
_MOST_SECONDS = 0.2


def copied_figures(rounds: int) -> Iterator[Figure]:
    """The built-in stories as GPT-2 tokens: the hardest case, with the most passages in common."""
    stream = _stream()
    times = []
    for _ in range(max(1, min(rounds, 3))):
        began = time.perf_counter()
        index = Index(stream)
        times.append(time.perf_counter() - began)
    megatokens = len(stream) / 1e6
    remark = f"{megatokens:.1f} M tokens, {len(times)} rounds"
    yield Figure("index of the training text, made", statistics.median(times), "s", remark=remark)
    remark = f"{index.bytes / len(stream):.0f} bytes a token"
    yield Figure("index of the training text, memory", index.bytes / 1e6, "MB", remark=remark)
    for name, texts in _texts(stream).items():
        answers = []
        for text in texts:
            began = time.perf_counter()
            index.look(text)
            answers.append(time.perf_counter() - began)
        remark = f"median {statistics.median(answers):.4f}, {len(answers)} texts of {_SAMPLE}"
        yield Figure(f"passages of {name}, slowest", max(answers), "s", _MOST_SECONDS, True, remark)


def _stream() -> np.ndarray:
    generator, tokenizer, parts, have = StoryGenerator("rich", 1), load_gpt2(), [], 0
    while have < _TOKENS:
        first = len(parts) * 2000
        stories = [generator.story(at).text for at in range(first, first + 2000)]
        parts.append(tokenizer.encode_documents(stories))
        have += len(parts[-1])
    return np.concatenate(parts)[:_TOKENS]


def _texts(stream: np.ndarray) -> dict[str, list[np.ndarray]]:
    chance, tokenizer = np.random.default_rng(1), load_gpt2()
    starts = chance.integers(0, len(stream) - _SAMPLE, _QUESTIONS)
    other = StoryGenerator("rich", 2)
    fresh = tokenizer.encode_documents([other.story(at).text for at in range(400)])
    begins = chance.integers(0, len(fresh) - _SAMPLE, _QUESTIONS)
    return {
        "copied text": [stream[at : at + _SAMPLE] for at in starts],
        "fresh stories": [fresh[at : at + _SAMPLE] for at in begins],
        "noise": [chance.integers(0, 50_000, _SAMPLE) for _ in range(_QUESTIONS)],
    }
