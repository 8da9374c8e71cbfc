"""Generating text: the engine against a loop that recomputes everything for every token."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import torch

from slm_tui.config.model import GptModel
from slm_tui.generation.engine import Continuation, Engine, spread_over_threads
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build
from tests.benchmarks.figures import Figure, Sample, ratio
from tests.benchmarks.load import Load, wait_until_quiet
from tests.benchmarks.sizes import THREADS

_VOCABULARY, _WINDOW, _PROMPT = 512, 256, 200
_MODEL = GptModel(n_layer=6, n_head=6, n_embd=384, block_size=_WINDOW, dropout=0.0)
_SETTINGS = SamplingSettings(temperature=0.8, top_k=50, top_p=0.95)
_LENGTHS = (5, 9, 14, 20, 27, 35, 44, 54)


def generation_figures(rounds: int, patience: float, quiet: float) -> Iterator[Figure]:
    """Ratios of neighbours in every round; the model has width 384, 6 layers and random weights."""
    torch.set_num_threads(THREADS)
    plain = build(_MODEL, _VOCABULARY, torch.device("cpu"), 1).eval()
    model = build(_MODEL, _VOCABULARY, torch.device("cpu"), 1).eval()
    spread_over_threads(model)
    prompts = [_ids(length, at) for at, length in enumerate(_LENGTHS)]
    _engine(model, prompts, 4)
    _loop(plain, prompts[0], 4)
    measured = Pairs(rounds, patience, quiet)
    yield measured.ratio(
        "256 tokens, engine over uncached loop",
        256,
        lambda: _engine(model, [[1]], 256),
        lambda: _loop(plain, [1], 256),
        5.0,
    )
    yield measured.ratio(
        "batch of 8 prompts over one by one",
        8 * 128,
        lambda: _engine(model, prompts, 128),
        lambda: [_engine(model, [prompt], 128) for prompt in prompts],
        3.0,
    )
    yield measured.ratio(
        "8 samples of one prompt over one by one",
        8 * 128,
        lambda: _engine(model, [prompts[-1]] * 8, 128),
        lambda: [_engine(model, [prompts[-1]], 128, seed) for seed in range(8)],
        3.0,
    )
    yield measured.ratio(
        "tokens 257 to 768, engine over uncached loop",
        512,
        lambda: _engine(model, [_ids(256, 3)], 512),
        lambda: _loop(plain, _ids(256, 3), 512),
        4.0,
    )
    long = _ids(_PROMPT, 2)
    yield measured.ratio(
        "prompt of 200 tokens, over one by one",
        _PROMPT,
        lambda: _engine(model, [long], 1),
        lambda: _read_one_by_one(model, long),
        5.0,
    )
    first = [_timed(lambda: _engine(model, [long], 1)) for _ in range(max(3, rounds))]
    remark = f"{1000 * min(first):.0f} to {1000 * max(first):.0f}, after a prompt of 200 tokens"
    name = "first token"
    yield Figure(name, 1000 * statistics.median(first), "ms", 200, at_most=True, remark=remark)


class Pairs:
    """Two ways to do the same, measured alternately."""

    def __init__(self, rounds: int, patience: float, quiet: float) -> None:
        self._rounds, self._patience, self._quiet = rounds, patience, quiet

    def ratio(
        self,
        name: str,
        tokens: int,
        ours: Callable[[], object],
        base: Callable[[], object],
        target: float,
    ) -> Figure:
        """Tokens per second of `ours` relative to `base`; each generates this many `tokens`."""
        samples: tuple[list[Sample], list[Sample]] = ([], [])
        for _ in range(self._rounds):
            wait_until_quiet(self._patience, self._quiet)
            for rates, run in zip(samples, (ours, base), strict=True):
                load = Load()
                seconds = _timed(run)
                rates.append(Sample(tokens / seconds, load.foreign()))
        return ratio(name, *samples, target, self._quiet)


def _timed(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _ids(length: int, seed: int) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return [int(id) for id in torch.randint(_VOCABULARY, (length,), generator=generator)]


def _engine(model: LanguageModel, prompts: Sequence[list[int]], tokens: int, seed: int = 0) -> None:
    texts = [Continuation(list(ids), seed + at) for at, ids in enumerate(prompts)]
    engine = Engine(model, texts, _SETTINGS.with_(max_tokens=tokens), None)
    while engine.step():
        pass


@torch.inference_mode()
def _loop(model: LanguageModel, prompt: list[int], tokens: int) -> None:
    """The usual loop of teaching code: the whole window goes through the model for every token."""
    ids = torch.tensor([prompt])
    for _ in range(tokens):
        logits = model(ids[:, -_WINDOW:])[:, -1] / 0.8
        least = torch.topk(logits, 50).values[:, -1:]
        chances = torch.softmax(logits.masked_fill(logits < least, -torch.inf), -1)
        ids = torch.cat((ids, torch.multinomial(chances, 1)), 1)


@torch.inference_mode()
def _read_one_by_one(model: LanguageModel, prompt: list[int]) -> None:
    state = model.start(1)
    for id in prompt:
        model.step(torch.tensor([[id]]), state)
