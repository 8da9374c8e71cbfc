"""How long two presets need to reach the same validation loss, trained side by side.

Both take turns in one process, so that other load on the machine affects them equally. Only
training is timed: evaluation, on the whole validation split after a fixed number of steps, is not.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from slm_tui.config.preset import Preset
from slm_tui.corpus.batches import Batches, fixed_windows
from slm_tui.corpus.prepare import Corpus
from slm_tui.errors import TrainingError
from slm_tui.evaluation.loss import split_loss
from slm_tui.models.build import build, count_parameters
from slm_tui.training.device import choose_device
from slm_tui.training.optimizer import FlatOptimizer
from slm_tui.training.precision import Format, autocast
from slm_tui.training.schedule import learning_rate
from slm_tui.training.stepper import Stepper

_EVALUATED_TOKENS = 8192  # in one forward pass
_ALL = 2**62
# How often both take turns: load on the machine that changes meanwhile affects one of them.
_TURNS = 50
Stop = Callable[[], bool]


@dataclass(frozen=True)
class Mark:
    """An evaluation: the loss in nats per token after so much training.

    `seconds` are on the clock, `cpu_seconds` of processor time, of all threads together.
    """

    step: int
    seconds: float
    cpu_seconds: float
    loss: float


@dataclass
class Runner:
    """A preset in training, which stops after a number of steps and can be evaluated.

    Trains exactly like `Trainer`, without checkpoints and events.

    Args:
        every: steps between evaluations.
        window: tokens per window to evaluate on.

    Raises:
        TrainingError: its device does not exist.
        CorpusError: its text is too short.
    """

    preset: Preset
    corpus: Corpus
    every: int
    window: int
    marks: list[Mark] = field(default_factory=list)
    step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __post_init__(self) -> None:
        preset, training = self.preset, self.preset.training
        self._device = choose_device(training.device)
        n_vocab = self.corpus.tokenizer.n_vocab
        self._model = build(preset.model, n_vocab, self._device, training.seed).train()
        self._optimizer = FlatOptimizer(self._model, preset.optimizer)
        self._stepper = Stepper(
            self._model, self._optimizer, preset, self._device, text=self.corpus.train
        )
        sequences = training.micro_batch * training.accumulation
        block = preset.model.block_size
        self._batches = Batches(self.corpus.train, block, sequences, training.seed)
        self._windows = fixed_windows(self.corpus.val, self.window, _ALL)
        self._byte_lengths = torch.from_numpy(self.corpus.tokenizer.byte_lengths().astype("int64"))

    @property
    def format(self) -> Format:
        """The number format of its forward pass."""
        return self._stepper.format

    @property
    def parameters(self) -> int:
        """Number of its weights."""
        return count_parameters(self._model)

    @property
    def done(self) -> float:
        """The share of its steps that are done."""
        return self.step / self.preset.training.max_steps

    def advance(self, stop: Stop) -> None:
        """Train for a turn, at most up to the next evaluation, and evaluate if it is due.

        Raises:
            TrainingError: the loss is not finite.
        """
        turn = max(1, self.preset.training.max_steps // _TURNS)
        self.train(min(turn, self.every - self.step % self.every), stop)
        if not stop() and (self.step % self.every == 0 or self.done >= 1):
            self.mark()

    def train(self, steps: int, stop: Stop = lambda: False) -> None:
        """Train for so many steps, at most to the end.

        Raises:
            TrainingError: the loss is not finite.
        """
        end = min(self.preset.training.max_steps, self.step + steps)
        while self.step < end and not stop():
            began, cpu = time.perf_counter(), time.process_time()
            self._launch()
            reads = self._stepper.must_wait or self.step == end
            results = self._stepper.results() if reads else []
            self.seconds += time.perf_counter() - began
            self.cpu_seconds += time.process_time() - cpu
            if not all(done.finite for done in results):
                raise TrainingError(
                    f"{self.preset.name} does not learn here",
                    f"its loss is not finite by step {self.step}",
                    "try a smaller optimizer.learning_rate",
                )

    def mark(self) -> None:
        """Evaluate, and add the result to `marks`."""
        self.marks.append(Mark(self.step, self.seconds, self.cpu_seconds, self.evaluate()))

    def evaluate(self) -> float:
        """The loss on the whole validation split."""
        sequences = max(1, _EVALUATED_TOKENS // self.window)
        with autocast(self.format, self._device):
            score = split_loss(self._model, self._windows, self._byte_lengths, sequences)
        assert score is not None
        return score.nats_per_token

    def reached(self, target: float) -> Mark | None:
        """The first evaluation that is not above `target`."""
        return next((mark for mark in self.marks if mark.loss <= target), None)

    def _launch(self) -> None:
        steps, peak = self.preset.training.max_steps, self.preset.optimizer.learning_rate
        rate = learning_rate(self.preset.schedule, peak, self.step, steps)
        self._stepper.launch(self._batches.windows_of(self.step), rate, self.step)
        self.step += 1


@dataclass(frozen=True)
class SeedResult:
    """A race with one seed: where both ended, and when the fast one reached `target`."""

    seed: int
    target: float
    plain: Mark
    fast: Mark
    reached: Mark | None
    plain_marks: list[Mark]
    fast_marks: list[Mark]

    @property
    def ratio(self) -> float | None:
        """The fast one's time to the target as a share of the plain one's whole time."""
        return self.reached.seconds / self.plain.seconds if self.reached else None

    @property
    def cpu_ratio(self) -> float | None:
        """The same in processor time."""
        return self.reached.cpu_seconds / self.plain.cpu_seconds if self.reached else None


def run_seed(plain: Runner, fast: Runner, target: float | None, stop: Stop) -> Iterator[Runner]:
    """Train both in turns, the one that is behind first; yields the one whose turn it was.

    The fast one ends when it reaches `target`; without a target it uses all of its steps.
    """
    while not stop():
        left = [one for one in (plain, fast) if one.done < 1]
        if target is not None and fast.reached(target) and fast in left:
            left.remove(fast)
        if not left:
            return
        runner = min(left, key=lambda one: one.done)
        runner.advance(stop)
        yield runner


def result(plain: Runner, fast: Runner, target: float | None) -> SeedResult:
    """The result of a race that is over."""
    loss = plain.marks[-1].loss if target is None else target
    return SeedResult(
        plain.preset.training.seed,
        loss,
        plain.marks[-1],
        fast.marks[-1],
        fast.reached(loss),
        plain.marks,
        fast.marks,
    )
