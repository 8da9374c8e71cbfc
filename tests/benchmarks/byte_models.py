"""HGRN-bit: its recurrence, its training against a GPT of its size, and its generation."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from slm_tui.config.model import GptModel, HgrnModel, HnetModel
from slm_tui.config.models.settings import ModelSettings
from slm_tui.config.training import Optimizer
from slm_tui.generation.engine import spread_over_threads
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build
from slm_tui.models.scan import linear_scan
from slm_tui.training.optimizer import FlatOptimizer
from tests.benchmarks.figures import Figure
from tests.benchmarks.generation import Pairs
from tests.benchmarks.sizes import THREADS

_BYTES = 256
_CPU = torch.device("cpu")
_SHAPES = ((16, 512, 512), (8, 512, 1024), (16, 256, 384))
_BATCH, _TIME = 16, 256
# About 1.1 million weights each.
_GPT = GptModel(
    n_layer=5,
    n_head=4,
    n_embd=136,
    block_size=_TIME,
    bias=False,
    position="rope",
    norm="rmsnorm",
    activation="relu2",
)
_HGRN = HgrnModel(n_layer=4, n_embd=128, block_size=_TIME)
_HNET = HnetModel(
    d_model=(96, 128), num_blocks=((2, 0, 2), (3,)), block_size=_TIME, downsampling_factor=4
)
_BASE = HgrnModel(n_layer=6, n_embd=512)
_STEPS = 4


def byte_model_figures(rounds: int, patience: float, quiet: float) -> Iterator[Figure]:
    """Ratios of neighbours in every round; all models have random weights."""
    torch.set_num_threads(THREADS)
    pairs = Pairs(rounds, patience, quiet)
    for shape in _SHAPES:
        ours, loop = _scan_pass(shape, linear_scan), _scan_pass(shape, _unbound_loop)
        name = f"scan {shape}, over a loop"
        yield pairs.ratio(name, shape[0] * shape[1], ours, loop, 1.8)
    gpt = _trainer(_GPT)
    for name, config, target in (("HGRN-bit", _HGRN, 0.5), ("H-Net", _HNET, 0.5)):
        step = _trainer(config)
        what = f"training {name} of {config.parameters(_BYTES)[0]:,} weights, over GPT"
        yield pairs.ratio(what, _BATCH * _TIME, step, gpt, target)
    cached, rounding = _generator(_BASE, training=False), _generator(_BASE, training=True)
    yield pairs.ratio("HGRN-bit 20.7M, tokens from kept codes", _STEPS, cached, rounding, 5.0)


def _scan_pass(
    shape: tuple[int, int, int], scan: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Callable[[], object]:
    generator = torch.Generator().manual_seed(1)
    gates = torch.sigmoid(torch.randn(shape, generator=generator)).requires_grad_()
    inputs = torch.randn(shape, generator=generator).requires_grad_()
    initial = torch.zeros(shape[0], shape[2])
    gradient = torch.randn(shape, generator=generator)

    def both_ways() -> None:
        scan(gates, inputs, initial).backward(gradient)
        gates.grad = inputs.grad = None

    both_ways()
    return both_ways


def _unbound_loop(gates: Tensor, inputs: Tensor, initial: Tensor) -> Tensor:
    state, states = initial, []
    for gate, given in zip(gates.unbind(1), inputs.unbind(1), strict=True):
        state = gate * state + given
        states.append(state)
    return torch.stack(states, 1)


def _trainer(config: ModelSettings) -> Callable[[], object]:
    model = _built(config)
    optimizer = FlatOptimizer(model, Optimizer(kind="adamw", learning_rate=1e-3))
    ids = torch.randint(_BYTES, (_BATCH, _TIME), generator=torch.Generator().manual_seed(1))
    targets = ids.roll(-1, 1)

    def step() -> None:
        model.loss(ids, targets).total.backward()  # type: ignore[no-untyped-call]
        optimizer.update(1e-3)
        optimizer.clear()

    step()
    return step


def _generator(config: ModelSettings, *, training: bool) -> Callable[[], object]:
    """A few tokens one by one; in training mode weights are rounded for every token."""
    model = _built(config).train(training)
    spread_over_threads(model)
    state = model.start(1)

    def tokens() -> None:
        with torch.inference_mode():
            for id in range(_STEPS):
                model.step(torch.tensor([[id]]), state)

    tokens()
    return tokens


def _built(config: ModelSettings) -> LanguageModel:
    return build(config, _BYTES, _CPU, 1)  # type: ignore[arg-type]
