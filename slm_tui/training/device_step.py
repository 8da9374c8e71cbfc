"""A whole update on a GPU whose decisions are made there, replayed as a CUDA graph.

A small model's step is hundreds of tiny operations, and launching them takes longer than computing
them. A CUDA graph launches all of them at once. It cannot look at a value in between, so clipping
and the skip of a step that is not finite are arithmetic on the device; the host reads a few numbers
later, those of several steps at once.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from slm_tui.training.device_text import DeviceText
from slm_tui.training.lookahead import MOST
from slm_tui.training.memory import first_line
from slm_tui.training.optimizer import FlatOptimizer

# A replayed step may differ from the same operations launched one by one by this much.
_SAME = 1e-3
# Copies of weights and moments that the check of a graph needs, and some room.
_COPIES = 4
LOSS, NORM, FINITE = "loss", "norm", "finite"


class Gradients(Protocol):
    """Computes the gradients of a batch into the optimizer's buffer."""

    def __call__(self, ids: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean cross-entropy and the model's metrics, all 0-dimensional."""
        ...


class DeviceStep:
    """Runs updates on batches of one shape.

    Args:
        gradients: computes them, in as many passes as fit into memory.
        norms: further figures of the gradients, 0-dimensional, before they are clipped.
        seed: prepares the generators for a step; called before each run of its operations.
        replays: whether to try a CUDA graph. Without it the same operations are launched one by
            one, with the same results.
        text: from which the device cuts the windows of a step, if it is held there.
    """

    def __init__(
        self,
        gradients: Gradients,
        optimizer: FlatOptimizer,
        norms: Callable[[], dict[str, Tensor]],
        seed: Callable[[int], None],
        *,
        replays: bool,
        text: DeviceText | None = None,
    ) -> None:
        self._gradients, self._norms, self._seed = gradients, norms, seed
        self._text = text
        self._optimizer = optimizer
        device = optimizer.weights.device
        self._device = device
        self._rate = torch.zeros((), device=device)
        self._inputs: list[Tensor] = []
        self._names: list[str] = []
        self._numbers = torch.empty(0, device=device)
        # The numbers of steps that were not read yet, a row for each.
        self._rows = torch.empty(0, 0, device=device)
        self._unread = 0
        self._replays = replays
        self._graph: Any = None
        self.notices: list[str] = []

    @property
    def is_replayed(self) -> bool:
        """Whether steps are replays of a graph."""
        return self._graph is not None

    def drop_text(self) -> None:
        """Free the memory of the text: from now on, the inputs are ids and targets."""
        self.forget()
        self._text = None

    def forget(self) -> None:
        """Capture anew at the next step: what the step computes has changed."""
        if self._graph is not None and self._device.type == "cuda":
            # The device may be in the middle of it.
            torch.cuda.synchronize(self._device)
        self._graph = None

    def launch(
        self,
        inputs: Sequence[Tensor],
        learning_rate: float,
        step: int,
    ) -> None:
        """Begin an update, which does nothing if its gradient is not finite.

        At most `MOST` of them may be launched before `read` is called.

        Args:
            inputs: on the CPU: the first tokens of the windows if the device holds the text,
                int64 `(sequences,)`; otherwise ids and targets, int64 `(sequences, time)`.
        """
        self._take(inputs, learning_rate)
        if self._replays and self._graph is None:
            self._capture(step)
        else:
            self._seed(step)
            if self._graph is None:
                self._numbers = self._run()
            else:
                self._graph.replay()
        if self._rows.shape[1] != len(self._numbers):
            self._rows = torch.empty(MOST, len(self._numbers), device=self._device)
        self._rows[self._unread].copy_(self._numbers)
        self._unread += 1

    def read(self) -> list[dict[str, float]]:
        """`loss`, `norm`, `finite` (0 or 1) and the metrics of each update since the last call.

        Waits until the device has computed them.
        """
        count, self._unread = self._unread, 0
        rows = self._rows[:count].tolist() if count else []
        return [dict(zip(self._names, row, strict=True)) for row in rows]

    def _take(self, inputs: Sequence[Tensor], learning_rate: float) -> None:
        if [own.shape for own in self._inputs] != [given.shape for given in inputs]:
            self.forget()
            self._inputs = [torch.empty_like(given, device=self._device) for given in inputs]
        for own, given in zip(self._inputs, inputs, strict=True):
            # From pinned memory the host need not wait for the copy.
            own.copy_(given.pin_memory() if own.is_cuda else given, non_blocking=True)
        self._rate.fill_(learning_rate)

    def _run(self) -> Tensor:
        """The operations of a step; returns its numbers, in the order of the names."""
        if self._text is not None and len(self._inputs) == 1:
            ids, targets = self._text.windows(*self._inputs)
        else:
            ids, targets = self._inputs
        total, metrics = self._gradients(ids, targets)
        norm = self._optimizer.gradient_norm()
        finite = torch.isfinite(norm) & torch.isfinite(total)
        metrics = metrics | self._norms()
        self._optimizer.update_on_device(self._rate, norm, finite)
        self._optimizer.clear()
        self._names = [LOSS, NORM, FINITE, *metrics]
        return torch.stack([one.float() for one in (total, norm, finite, *metrics.values())])

    # The graph

    def _capture(self, step: int) -> None:
        """Do a step launched one by one and again as a graph; keep the graph if both agree.

        The first step of a session is captured already, so that a resumed run repeats an
        uninterrupted one to the last digit.
        """
        if not self._has_room():
            self._give_up("the device has too little free memory to check it")
            self._seed(step)
            self._numbers = self._run()
            return
        before = self._optimizer.snapshot()
        stream: torch.cuda.Stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            self._seed(step)
            self._numbers = self._run()
        torch.cuda.current_stream(self._device).wait_stream(stream)
        expected, after = self._numbers.tolist(), self._optimizer.snapshot()
        self._optimizer.restore(before)
        self._seed(step)
        try:
            graph = torch.cuda.CUDAGraph()
            # Other threads of the app may use the device meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._numbers = self._run()
            self._seed(step)
            graph.replay()
            wrong = self._difference(expected, after, before)
        except RuntimeError as error:
            wrong = first_line(error)
        if not wrong:
            self._graph = graph
            return
        self._give_up(wrong)
        self._optimizer.restore(after)
        self._optimizer.clear()
        self._numbers = torch.tensor(expected, device=self._device)

    def _has_room(self) -> bool:
        free, _ = torch.cuda.mem_get_info(self._device)
        return free > _COPIES * 3 * self._optimizer.weights.nbytes

    def _give_up(self, why: str) -> None:
        self._replays = False
        self.notices.append(f"steps are not replayed as a CUDA graph: {why}")

    def _difference(
        self, expected: list[float], after: dict[str, Tensor], before: dict[str, Tensor]
    ) -> str:
        """How the replayed step differs from the expected one; empty if it does not."""
        replayed = self._numbers.tolist()
        for name, ours, theirs in zip(self._names, replayed, expected, strict=True):
            same = math.isclose(ours, theirs, rel_tol=_SAME, abs_tol=1e-6)
            if not same and not (math.isnan(ours) and math.isnan(theirs)):
                return f"its {name} is {ours:g} instead of {theirs:g}"
        for name, now in self._optimizer.snapshot().items():
            moved = torch.linalg.vector_norm(after[name].double() - before[name].double())
            off = torch.linalg.vector_norm(now.double() - after[name].double())
            if float(off) > 0.02 * float(moved) + 1e-12:
                return f"its {name} differ"
        return ""
