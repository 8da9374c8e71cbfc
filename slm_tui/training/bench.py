"""How fast this machine trains a preset, and with which threads and micro-batch it is fastest.

Steps of all candidates are interleaved, so that other load on the machine affects all of them
equally; medians are compared. The tokens are random: speed does not depend on the text.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from slm_tui.config.estimate import estimate, step_flops
from slm_tui.config.preset import Preset
from slm_tui.corpus.batches import Batch
from slm_tui.corpus.parallel import cores
from slm_tui.errors import TrainingError
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build, count_parameters
from slm_tui.training import bench_plan as plan
from slm_tui.training.bench_plan import BenchSetup
from slm_tui.training.bench_result import Measurement, Result, choose
from slm_tui.training.cpu_load import OtherLoad, available_bytes, peak_bytes, resident_bytes
from slm_tui.training.device import choose_device, choose_threads, describe_device
from slm_tui.training.optimizer import FlatOptimizer
from slm_tui.training.precision import autocast, choose_format
from slm_tui.training.stepper import Stepper

_BLOCK_SECONDS = 0.25
_SLOW_SECONDS = 0.5
_ENOUGH_STEPS = 200
_HOPELESS = 1.5
# Not worth a second step: threads that wait for each other on a busy machine.
_LOST = 5.0
_BUSY_CORES = 0.15
_RATE = 1e-6
Report = Callable[[str, float], None]


class BenchStopped(Exception):  # noqa: N818 - not an error
    """It was stopped before there were any results."""


def bench(
    preset: Preset,
    *,
    seconds: float = 30.0,
    compiled: bool = False,
    stop: Callable[[], bool] = lambda: False,
    report: Report = lambda stage, share: None,
) -> Result:
    """Measure `preset` for about `seconds`, or longer if a few steps take longer.

    Args:
        compiled: measure `torch.compile` too; compilation comes on top of `seconds`.
        stop: called between steps; true ends the measurement with the results so far.
        report: called with the current activity and the share that is done.

    Raises:
        TrainingError: the device does not exist, or no setup fits in memory.
        BenchStopped: `stop` was true before the first step.
    """
    before = torch.get_num_threads()
    try:
        return _Bench(preset, seconds, stop, report).run(compiled)
    finally:
        torch.set_num_threads(before)


def make_optimizer(model: LanguageModel, preset: Preset) -> FlatOptimizer:
    """The optimizer that training would use."""
    return FlatOptimizer(model, preset.optimizer)


def update_seconds(optimizer: FlatOptimizer, device: torch.device) -> float:
    """The time of a step beyond its passes: norm, clipping, update and zeroing."""
    began = time.perf_counter()
    optimizer.clip(float(optimizer.gradient_norm()))
    optimizer.update(_RATE)
    optimizer.clear()
    _wait_for(device)
    return time.perf_counter() - began


class _Lane:
    """One setup being measured: its stepper, batch and times."""

    def __init__(
        self,
        setup: BenchSetup,
        preset: Preset,
        model: LanguageModel,
        optimizer: FlatOptimizer,
        batch: Batch,
        device: torch.device,
    ) -> None:
        self.setup = setup
        self.update = 0.0
        self.times: list[float] = []
        self.warmed = 0.0
        self._batch = batch
        self._device = device
        self._steps_done = 0
        self._stepper = Stepper(model, optimizer, plan.changed(preset, setup), device)
        # Training would merge small micro-batches: here each is measured separately.
        self._stepper.at_once = setup.micro_batch

    @property
    def step_seconds(self) -> float:
        """The time of a whole step: measured, or computed from its passes and one update."""
        passes = self.setup.micro_batch * self.setup.accumulation / len(self._batch.ids)
        return passes * max(0.0, self.median - self.update) + self.update

    @property
    def median(self) -> float:
        return statistics.median(self.times) if self.times else self.warmed

    def step(self) -> float:
        """Run a step; return its seconds.

        Raises:
            MemoryError: it does not fit.
        """
        began = time.perf_counter()
        done = self._stepper.step(self._batch, _RATE, self._steps_done)
        _wait_for(self._device)
        self._steps_done += 1
        if done.warnings:
            raise MemoryError(done.warnings[0])
        return time.perf_counter() - began

    def warm(self) -> None:
        """The first step, which also starts threads; if steps are short, the second is timed.

        Raises:
            MemoryError: it does not fit.
        """
        torch.set_num_threads(self.setup.threads)
        self.warmed = self.step()
        if self.warmed < _SLOW_SECONDS:
            self.warmed = self.step()

    def block(self, ended: Callable[[], bool]) -> None:
        """Consecutive steps; if steps are short, the first after another setup is not counted."""
        torch.set_num_threads(self.setup.threads)
        if self.median < _SLOW_SECONDS:
            self.step()
        began = time.perf_counter()
        while True:
            self.times.append(self.step())
            if ended() or time.perf_counter() - began > _BLOCK_SECONDS:
                return


class _Bench:
    def __init__(
        self, preset: Preset, seconds: float, stop: Callable[[], bool], report: Report
    ) -> None:
        self._preset = preset
        self._seconds = seconds
        self._stop = stop
        self._report = report
        self._device = choose_device(preset.training.device)
        self._n_vocab = preset.tokenizer.expected_vocabulary
        self._whole = preset.training.micro_batch * preset.training.accumulation
        self._partial = False
        self._notices: list[str] = []
        self._memory: dict[int, int] = {}
        self._matmuls: dict[int, list[float]] = {}
        self._matrix = _matrix(preset, self._device)
        self._began = time.monotonic()
        self._load = OtherLoad()

    def run(self, compiled: bool) -> Result:
        threads = self._threads()
        self._report("measuring a matrix product", 0.0)
        for count in threads:
            for _ in range(3):
                self._multiply(count)
        speeds = {count: self._speed(count) for count in threads}
        lanes = self._warm(plan.setups(self._preset, threads, self._most(speeds)))
        self._race(lanes, max(self._seconds / 2, self._began + self._seconds - time.monotonic()))
        if compiled and not self._stop():
            lanes += self._compiled(min(lanes, key=lambda lane: lane.step_seconds))
        return self._result(lanes)

    def _most(self, speeds: dict[int, float]) -> int:
        """The largest micro-batch to measure."""
        each = step_flops(self._preset, self._n_vocab) / self._whole
        if self._whole <= plan.affordable(each, speeds, self._seconds):
            return self._whole
        self._partial = True
        most = plan.affordable_pass(each, speeds, self._seconds)
        text = "steps are slow here: computed from single passes"
        if most < self._whole:
            text += f"; micro-batches above {most} need more --seconds"
        self._notices.append(text)
        return most

    def _threads(self) -> list[int]:
        count = choose_threads(self._preset.training.threads)
        return plan.thread_counts(cores(), count) if self._device.type == "cpu" else [count]

    def _multiply(self, threads: int) -> None:
        torch.set_num_threads(threads)
        began = time.perf_counter()
        torch.matmul(self._matrix, self._matrix)
        _wait_for(self._device)
        self._matmuls.setdefault(threads, []).append(time.perf_counter() - began)

    def _speed(self, threads: int) -> float:
        # The first product with a thread count also wakes its threads.
        times = self._matmuls[threads]
        return 2 * len(self._matrix) ** 3 / statistics.median(times[1:] or times)

    def _model(self) -> tuple[LanguageModel, FlatOptimizer]:
        model = build(self._preset.model, self._n_vocab, self._device, 0).train()
        return model, make_optimizer(model, self._preset)

    def _batch(self, setup: BenchSetup) -> Batch:
        sequences = setup.micro_batch if self._partial else self._whole
        shape = (sequences, self._preset.model.block_size + 1)
        ids = np.random.default_rng(0).integers(0, self._n_vocab, shape)
        return Batch(ids[:, :-1], ids[:, 1:])

    def _warm(self, setups: list[BenchSetup]) -> list[_Lane]:
        """One step of each setup, small micro-batches first, so that the peak memory after
        each is its own."""
        resident = resident_bytes()
        model, optimizer = self._model()
        self._parameters = count_parameters(model)
        lanes: list[_Lane] = []
        too_large = 0
        hopeless: set[int] = set()
        for at, setup in enumerate(setups):
            if self._stop():
                break
            self._report("warming up", at / len(setups))
            if setup.micro_batch >= too_large > 0 or not self._fits(setup):
                continue
            if setup.threads in hopeless:
                continue
            lane = _Lane(setup, self._preset, model, optimizer, self._batch(setup), self._device)
            try:
                lane.warm()
            except (MemoryError, TrainingError):
                too_large = setup.micro_batch
                self._notices.append(f"no memory for a micro-batch of {setup.micro_batch}")
                continue
            if self._partial:
                lane.update = update_seconds(optimizer, self._device)
            lanes.append(lane)
            self._remember(setup.micro_batch, resident)
            # If steps are slow, spend the time on the fastest thread counts.
            limit = _HOPELESS if self._partial else _LOST
            if lane.step_seconds > limit * min(other.step_seconds for other in lanes):
                hopeless.add(setup.threads)
        if not lanes and self._stop():
            raise BenchStopped
        if not lanes:
            raise TrainingError(
                f"{self._preset.name} cannot be measured",
                "there is no memory for any micro-batch",
                f"reduce model.block_size or {self._preset.model.size_settings[0]}",
            )
        return lanes

    def _fits(self, setup: BenchSetup) -> bool:
        """Whether it should fit: running out of memory on a CPU kills the process."""
        free = available_bytes(self._device)
        return free is None or estimate(
            plan.changed(self._preset, setup), n_vocab=self._n_vocab
        ).memory_bytes < max(free, 500_000_000)

    def _remember(self, micro_batch: int, resident: int | None) -> None:
        if self._device.type == "cuda":
            self._memory[micro_batch] = int(torch.cuda.max_memory_allocated(self._device))
            return
        peak = peak_bytes()
        if peak is not None and resident is not None:
            self._memory[micro_batch] = max(0, peak - resident)

    def _race(self, lanes: list[_Lane], seconds: float) -> None:
        """Rounds of blocks until the time is up; setups that are far behind drop out."""
        began = time.monotonic()

        def ended() -> bool:
            return self._stop() or time.monotonic() - began > seconds

        fastest = min(lane.step_seconds for lane in lanes)
        racing = [lane for lane in lanes if lane.step_seconds <= fastest * _LOST]
        # The most promising first: there may not be time for all.
        racing.sort(key=lambda lane: lane.step_seconds)
        while not ended():
            for lane in racing:
                if ended():
                    return
                lane.block(ended)
                self._multiply(lane.setup.threads)
                self._report("measuring", min(1.0, (time.monotonic() - began) / seconds))
            best = min(lane.step_seconds for lane in racing)
            racing = [lane for lane in racing if lane.step_seconds < best * _HOPELESS]
            if all(len(lane.times) >= _ENOUGH_STEPS for lane in racing):
                return

    def _compiled(self, best: _Lane) -> list[_Lane]:
        """The best setup compiled, measured alternately with the plain one."""
        self._report("compiling (may take minutes)", 0.0)
        model, optimizer = self._model()
        setup = BenchSetup(
            best.setup.threads, best.setup.micro_batch, best.setup.accumulation, compiled=True
        )
        try:
            lane = _Lane(setup, self._preset, model, optimizer, self._batch(setup), self._device)
            # The first step includes compilation.
            lane.warm()
            lane.warm()
            lane.update = best.update
        except Exception as error:  # noqa: BLE001 - compilers fail in many ways, and are optional
            first = (str(error).strip() or type(error).__name__).split("\n")[0]
            self._notices.append(f"torch.compile does not work here: {first[:200]}")
            return []
        self._race([best, lane], max(2.0, self._seconds / 4))
        return [lane]

    def _measured(self, lane: _Lane) -> Measurement:
        seconds = lane.step_seconds
        flops = step_flops(self._preset, self._n_vocab) / seconds
        return Measurement(
            lane.setup,
            len(lane.times),
            seconds,
            self._preset.tokens_per_step / seconds,
            flops,
            flops / self._speed(lane.setup.threads),
        )

    def _result(self, lanes: list[_Lane]) -> Result:
        rows = [self._measured(lane) for lane in lanes]
        rows.sort(key=lambda row: -row.tokens_per_second)
        foreign = self._load.foreign()
        if foreign is not None and foreign > _BUSY_CORES:
            self._notices.append(
                f"the machine is busy: other processes used {foreign:.1f} of {cores()} cores; "
                "when idle it is faster, and the best choice may differ"
            )
        return Result(
            preset=self._preset.name,
            device=describe_device(self._device),
            cores=cores(),
            parameters=self._parameters,
            n_vocab=self._n_vocab,
            sequences=self._whole,
            partial=self._partial,
            rows=rows,
            best=choose(rows, self._preset, choose_threads(self._preset.training.threads)),
            matmul={count: self._speed(count) for count in sorted(self._matmuls)},
            matmul_format=str(self._matrix.dtype).removeprefix("torch."),
            memory=self._memory,
            foreign_cores=foreign,
            seconds=time.monotonic() - self._began,
            interrupted=self._stop(),
            notices=self._notices,
        )


def _matrix(preset: Preset, device: torch.device) -> Tensor:
    """A square matrix in the format that training uses for products."""
    size = 1024 if device.type == "cpu" else 8192
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(size, size, generator=generator).to(device)
    with autocast(choose_format(preset, device), device):
        return matrix.to((matrix[:1] @ matrix).dtype)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
