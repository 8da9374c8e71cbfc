"""Speed on a GPU beside a plain compiled loop on the same card; nothing without a GPU.

The plain loop does what nanoGPT does: torch.compile, bf16, fused AdamW, windows gathered on the
host and copied from pinned memory, a look at the loss every ten steps.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from slm_tui.config import library, overrides
from slm_tui.config.preset import Preset, parse
from slm_tui.corpus.batches import Batches
from slm_tui.generation.engine import Continuation, Engine
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.models.build import build
from slm_tui.training.optimizer import FlatOptimizer
from slm_tui.training.stepper import Stepper
from tests.benchmarks.figures import Figure
from tests.benchmarks.plain_loop import PlainGpt, Shape

_TOKENS = 2_000_000
_ROUNDS = 3
_WARM_STEPS = 10
_PRODUCT, _PRODUCT_ROUNDS = 8192, 20


@dataclass(frozen=True)
class Size:
    """A model and its batch, with the ratio to the plain loop that is to be reached."""

    shape: Shape
    target: float
    utilisation: float | None = None


SIZES = {
    "0.2M": Size(Shape(512, 64, 4, 1, 256, 64), 2.0),
    "10M": Size(Shape(1024, 384, 6, 6, 256, 64), 1.6),
    "124M": Size(Shape(50_257, 768, 12, 12, 1024, 32), 1.0, 0.5),
}
_STORIES, _MUON, _GENERATED = "stories-tiny", "10M", "10M"


def gpu_figures(seconds: float) -> Iterator[Figure]:
    """Tokens per second over those of the plain loop, for `seconds` each; Muon over AdamW; the
    default preset; generation."""
    if not torch.cuda.is_available():
        yield Figure("GPU", math.nan, "", remark="there is none here")
        return
    device = torch.device("cuda")
    torch.backends.cuda.matmul.allow_tf32 = True
    product = product_rate(device)
    remark = f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    yield Figure("bf16 product", product / 1e12, "TFLOP/s", remark=remark)
    rates: dict[str, float] = {}
    for name, size in SIZES.items():
        figures = size_figures(name, size, device, seconds, product, compiled=True)
        for figure, rate in figures:
            rates[name] = rate
            yield figure
    ours, notices = OurLoop(preset_of(_MUON, SIZES[_MUON].shape, "muon"), device).rate(seconds)
    yield Figure("10M, Muon over AdamW", ours / rates[_MUON], "x", 0.85, remark=notices)
    stories = overrides.apply(library.get(_STORIES), ["training.device=cuda"])
    ours, notices = OurLoop(stories, device).rate(seconds)
    yield Figure(f"{_STORIES}, tokens per second", ours, "tok/s", 1e6, remark=notices)
    yield from _generation(device)


def size_figures(
    name: str, size: Size, device: torch.device, seconds: float, product: float, *, compiled: bool
) -> Iterator[tuple[Figure, float]]:
    """Each figure with our tokens per second. Rounds of both loops alternate."""
    preset = preset_of(name, size.shape)
    loops = OurLoop(preset, device), PlainLoop(size.shape, device, compiled=compiled)
    ours, plain, notices = [], [], ""
    for _ in range(_ROUNDS):
        rate, notices = loops[0].rate(seconds / _ROUNDS)
        ours.append(rate)
        plain.append(loops[1].rate(seconds / _ROUNDS))
    best = sorted(ours)[_ROUNDS // 2]
    ratios = sorted(one / other for one, other in zip(ours, plain, strict=True))
    against = f"{best:,.0f} tokens/s against {sorted(plain)[_ROUNDS // 2]:,.0f}; {notices}"
    over = f"{name} over the plain compiled loop"
    yield Figure(over, ratios[_ROUNDS // 2], "x", size.target, remark=against), best
    share = best * preset.model.flops(size.shape.n_vocab) / product
    yield Figure(f"{name}, FLOPs over a bf16 product", share, "x", size.utilisation), best


def preset_of(name: str, shape: Shape, optimizer: str = "adamw") -> Preset:
    """The classic GPT of a shape."""
    return parse(
        {
            "name": name,
            "tokenizer": {"kind": "gpt2", "vocab_size": shape.n_vocab},
            "model": {
                "n_layer": shape.n_layer,
                "n_embd": shape.n_embd,
                "n_head": shape.n_head,
                "block_size": shape.block_size,
            },
            "optimizer": {"kind": optimizer, "learning_rate": 1e-3},
            "training": {"micro_batch": shape.batch},
        },
        name,
    )


class OurLoop:
    """The program's own steps on random tokens, without its log and screens."""

    def __init__(self, preset: Preset, device: torch.device) -> None:
        n_vocab = preset.tokenizer.expected_vocabulary
        training = preset.training
        tokens = random_tokens(n_vocab)
        sequences = training.micro_batch * training.accumulation
        self._preset = preset
        self._batches = Batches(tokens, preset.model.block_size, sequences, training.seed)
        model = build(preset.model, n_vocab, device, 0).train()
        optimizer = FlatOptimizer(model, preset.optimizer)
        self._stepper = Stepper(model, optimizer, preset, device, text=tokens)
        self._step = 0
        self._notices: list[str] = []

    def rate(self, seconds: float) -> tuple[float, str]:
        """Tokens per second, and what the steps said of themselves."""
        rate = _rate(self._one, seconds, self._preset.tokens_per_step)
        # Before the other loop has its turn.
        self._read()
        return rate, "; ".join(dict.fromkeys(self._notices))

    def _one(self) -> None:
        windows, reads = self._batches.windows_of(self._step), not self._stepper.cuts_windows
        self._stepper.meanwhile = lambda: self._batches.prefetch(self._step + 1, reads=reads)
        self._stepper.launch(windows, 1e-4, self._step)
        self._step += 1
        if self._stepper.must_wait:
            self._read()

    def _read(self) -> None:
        for done in self._stepper.results():
            self._notices += done.warnings


class PlainLoop:
    """A plain loop, compiled or not."""

    def __init__(self, shape: Shape, device: torch.device, *, compiled: bool) -> None:
        torch.manual_seed(42)
        self._shape, self._device = shape, device
        self._tokens = random_tokens(shape.n_vocab)
        model = PlainGpt(shape).to(device)
        matrices = [one for one in model.parameters() if one.dim() > 1]
        vectors = [one for one in model.parameters() if one.dim() < 2]
        self._parameters = [*matrices, *vectors]
        self._optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
            lr=1e-4,
            fused=device.type == "cuda",
        )
        self._loss: Callable[..., torch.Tensor] = torch.compile(model) if compiled else model
        self._steps = 0

    def rate(self, seconds: float) -> float:
        """Tokens per second."""
        return _rate(self._one, seconds, self._shape.batch * self._shape.block_size)

    def _one(self) -> None:
        block = self._shape.block_size
        starts = torch.randint(len(self._tokens) - block - 1, (self._shape.batch,)).tolist()
        windows = [self._tokens[at : at + block + 1].astype(np.int64) for at in starts]
        batch = torch.from_numpy(np.stack(windows))
        if self._device.type == "cuda":
            batch = batch.pin_memory().to(self._device, non_blocking=True)
        with torch.autocast(self._device.type, dtype=torch.bfloat16):
            loss = self._loss(batch[:, :-1], batch[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._steps += 1
        if self._steps % 10 == 0:
            loss.item()


def random_tokens(n_vocab: int) -> np.ndarray:
    """A text without any pattern: its content does not matter for speed."""
    return np.random.default_rng(0).integers(0, n_vocab, _TOKENS).astype(np.uint16)


def product_rate(device: torch.device, size: int = _PRODUCT) -> float:
    """FLOP/s of a large bf16 product."""
    a = torch.randn(size, size, device=device).to(torch.bfloat16)
    for _ in range(3):
        b = a @ a
    _wait(device)
    began = time.perf_counter()
    for _ in range(_PRODUCT_ROUNDS):
        b = a @ a
    _wait(device)
    del b
    return float(2 * size**3 * _PRODUCT_ROUNDS / (time.perf_counter() - began))


def _rate(one: Callable[[], object], seconds: float, tokens: int) -> float:
    for _ in range(_WARM_STEPS):
        one()
    _wait_for_all()
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        one()
        steps += 1
    _wait_for_all()
    return steps * tokens / (time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _wait_for_all() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _generation(device: torch.device) -> Iterator[Figure]:
    shape = SIZES[_GENERATED].shape
    model = build(preset_of("10M", shape).model, shape.n_vocab, device, 0).eval()
    for texts, target in ((1, 3_000.0), (64, 100_000.0)):
        rate = generation_rate(model, texts, shape.block_size - 1)
        name = f"10M, generating {texts} text{'s' if texts > 1 else ''}"
        yield Figure(name, rate, "tok/s", target)


def generation_rate(model: torch.nn.Module, texts: int, tokens: int) -> float:
    """Tokens per second of all texts together."""
    settings = SamplingSettings(temperature=0.8, top_k=50).with_(max_tokens=tokens)
    seconds = 0.0
    for _ in range(2):  # the first one warms up
        engine = Engine(model, [Continuation([1], at) for at in range(texts)], settings, None)  # type: ignore[arg-type]
        began = time.perf_counter()
        while engine.step():
            pass
        _wait_for_all()
        seconds = time.perf_counter() - began
    return texts * tokens / seconds
