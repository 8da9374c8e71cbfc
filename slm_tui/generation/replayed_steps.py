"""One-token steps of a GPT on a GPU, replayed as CUDA graphs.

A step for one text is a hundred small operations, and launching them takes ten times as long as
computing them. A graph launches them at once: embedding, blocks, head and sampling. It needs
tensors that stay where they are, so texts are copied into one cache when they join or leave; and
fixed shapes, so there is one graph for each rounded number of texts and of cached tokens.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor

from slm_tui.generation.sampling import SamplingSettings, drawn
from slm_tui.models.base import LanguageModel
from slm_tui.models.gpt import Gpt, KvCache

# The least cached tokens that a graph attends to; the next ones attend to twice as many.
_SHORTEST = 64
# Replayed logits may differ from those of operations launched one by one by this much, relative to
# the largest.
_SAME = 1e-3


@dataclass(frozen=True)
class _Sampling:
    """The settings that a captured step depends on."""

    temperature: float
    top_k: int | None
    top_p: float | None


class ReplayedSteps:
    """Steps for up to `capacity` texts of `model` together, sampled with `settings`.

    Args:
        replays: whether to try CUDA graphs. Without it the same operations are launched one by
            one, with the same results.
    """

    def __init__(
        self, model: Gpt, settings: SamplingSettings, capacity: int, *, replays: bool
    ) -> None:
        device = next(model.parameters()).device
        # The model may hold this object, indirectly.
        self._model = ref(model)
        self._settings = settings
        self._state = model.start(capacity)
        # The state of the current texts: the first of those in `_state`.
        self._shown: KvCache | None = None
        self._ids = torch.zeros(capacity, 1, dtype=torch.int64, device=device)
        # (capacity, 1): cached tokens of each text.
        self._begins = torch.zeros_like(self._ids)
        self._noises = torch.zeros(capacity, dtype=torch.float64, device=device)
        self._logits = torch.zeros(capacity, model.n_vocab, device=device)
        self._replays = replays
        self._graphs: dict[int, Any] = {}
        self._weights = _places(model)
        self.capacity = capacity
        self.problem = ""
        """Why steps are not replayed; empty if they are."""

    def is_for(self, model: Gpt, texts: int) -> bool:
        """Whether it serves this many texts, and the weights are where they were."""
        return texts <= self.capacity and self._weights == _places(model)

    def __call__(self, ids: Sequence[int], state: KvCache, noises: Sequence[float]) -> list[int]:
        """Append the last token of each text to its state, and sample the next.

        Args:
            ids: one for each text.
            state: changed in place, and moved into the tensors of the graph.
            noises: see `sampling.drawn`.
        """
        if self._shown is None or state.tensor is not self._shown.tensor:
            self._move(ids, state)
        count = len(ids)
        self._noises[:count].copy_(torch.tensor(noises, dtype=torch.float64))
        most = rounded_length(max(state.lengths) + 1, state.tensor.shape[4])
        graph = self._graphs.get(most)
        if graph is not None:
            graph.replay()
        elif self._replays and not self.problem:
            self._capture(most)
        else:
            self._run(most)
        state.lengths = [length + 1 for length in state.lengths]
        tokens: list[int] = self._ids[:count, 0].tolist()
        return tokens

    def _move(self, ids: Sequence[int], state: KvCache) -> None:
        """Continue the texts of another state."""
        count = len(ids)
        tensor = self._state.tensor[:, :, :count]
        tensor.copy_(state.tensor)
        state.tensor = tensor
        if state.before is not None and self._state.before is not None:
            before = self._state.before[:count]
            before.copy_(state.before)
            state.before = before
        self._ids[:count, 0].copy_(torch.tensor(ids))
        self._begins[:count, 0].copy_(torch.tensor(state.lengths))
        self._shown = state

    def _run(self, most: int) -> None:
        """The operations of a step; they read and write nothing but the tensors of this object."""
        model = self._model()
        assert model is not None
        logits = model.next_logits(self._ids, self._state, self._begins, most)
        self._logits.copy_(logits)
        self._ids.copy_(drawn(logits, self._settings, self._noises)[:, None])
        # Rows without a text stay inside the cache.
        self._begins.add_(1).clamp_(max=model.block_size - 1)

    # The graph

    def _changing(self) -> list[Tensor]:
        """What a step changes, but for the cache: doing a step again writes the same there."""
        before = self._state.before
        return [self._ids, self._begins, *([] if before is None else [before])]

    def _capture(self, most: int) -> None:
        """Do a step launched one by one and again as a graph; keep the graph if both agree."""
        changing = self._changing()
        device = self._ids.device
        start = [one.clone() for one in changing]
        stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            self._run(most)
        torch.cuda.current_stream(device).wait_stream(stream)
        expected, end = self._logits.clone(), [one.clone() for one in changing]
        _restore(changing, start)
        try:
            graph = torch.cuda.CUDAGraph()
            # Other threads of the app may use the device meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._run(most)
            graph.replay()
            self.problem = _difference(self._logits, expected)
        except RuntimeError as error:
            self.problem = str(error).strip().split("\n")[0]
        if self.problem:
            self._graphs.clear()
            _restore(changing, end)
        else:
            self._graphs[most] = graph


class _Kept:
    """The steps of one model that no engine uses, for the next one."""

    def __init__(self) -> None:
        # An engine may be collected as garbage, and hand back its steps, at any moment.
        self.lock = threading.RLock()
        self.free: dict[_Sampling, ReplayedSteps] = {}
        self.problem = ""


_KEPT: WeakKeyDictionary[LanguageModel, _Kept] = WeakKeyDictionary()


def claim(
    model: LanguageModel, settings: SamplingSettings, texts: int, *, replays: bool | None = None
) -> ReplayedSteps | None:
    """Steps for an engine of its own, until it hands them back; `None` where they gain nothing or
    would not compute the same.

    Args:
        texts: the most texts at once.
        replays: `None` for CUDA graphs, on a GPU only. Tests run the operations without graphs.
    """
    on_gpu = next(model.parameters()).is_cuda
    # Dropout draws random numbers; a penalty looks at the tokens of the texts.
    if not isinstance(model, Gpt) or model.training or settings.repetition_penalty != 1.0:
        return None
    if replays is None and not on_gpu:
        return None
    # A captured step would read weights that were cast once, also after they have changed.
    if torch.is_autocast_enabled("cuda" if on_gpu else "cpu"):
        return None
    kept = _KEPT.setdefault(model, _Kept())
    with kept.lock:
        if kept.problem:
            return None
        steps = kept.free.pop(_sampling(settings), None)
    if steps is not None and steps.is_for(model, texts):
        return steps
    del steps
    try:
        replays = on_gpu if replays is None else replays
        return ReplayedSteps(model, settings, rounded_count(texts), replays=replays)
    except torch.OutOfMemoryError:
        # There may be room for the texts themselves, which need half as much.
        return None


def hand_back(
    model: LanguageModel, settings: SamplingSettings, steps: ReplayedSteps | None
) -> None:
    """Keep the steps for the next engine with the same settings, unless they cannot be replayed."""
    kept = _KEPT.get(model)
    if steps is None or kept is None:
        return
    with kept.lock:
        if steps.problem:
            kept.problem = steps.problem
        else:
            # Those of other settings would each hold a cache.
            kept.free = {_sampling(settings): steps}


def forget(model: LanguageModel) -> None:
    """Free the memory of steps that no engine uses."""
    kept = _KEPT.get(model)
    if kept is not None:
        with kept.lock:
            kept.free.clear()


def problem_of(model: LanguageModel) -> str:
    """Why its steps were not replayed when an engine tried to; empty if they were."""
    kept = _KEPT.get(model)
    return kept.problem if kept is not None else ""


def rounded_count(texts: int) -> int:
    """Texts of a graph: the next power of two."""
    return 1 << (texts - 1).bit_length()


def rounded_length(tokens: int, block_size: int) -> int:
    """Cached tokens that a graph attends to."""
    most = _SHORTEST
    while most < tokens:
        most *= 2
    return min(most, block_size)


def _sampling(settings: SamplingSettings) -> _Sampling:
    return _Sampling(settings.temperature, settings.top_k, settings.top_p)


def _places(model: LanguageModel) -> tuple[int, ...]:
    return tuple(one.data_ptr() for one in model.parameters())


def _restore(changing: list[Tensor], values: list[Tensor]) -> None:
    for one, value in zip(changing, values, strict=True):
        one.copy_(value)


def _difference(logits: Tensor, expected: Tensor) -> str:
    """How replayed logits differ from the expected ones; empty if they do not."""
    off = float((logits - expected).abs().max())
    if off <= _SAME * float(expected.abs().max()) + 1e-6:
        return ""
    return f"a replayed step gives logits that differ by {off:.2g}"
