"""The measurements: each runs the real program and returns its results."""

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from slm_tui.runs.recorder import TRAINING_COLUMNS
from tests.benchmarks.figures import Figure, Sample, ratio
from tests.benchmarks.load import Load, busy_processes, wait_until_quiet
from tests.benchmarks.sizes import APP_SIZES, TRAFFIC_SIZE, environment, make_home
from tests.benchmarks.terminal import Terminal

_APP = [sys.executable, "-m", "slm_tui"]
_START_SECONDS = 120.0
_TIME, _TOKENS = TRAINING_COLUMNS.index("timestamp"), TRAINING_COLUMNS.index("tokens_seen")
_TUI_TARGETS = {"tiny": 0.92}
_TUI_TARGET = 0.97
# Busy processes for each core of the machine, where a busy machine is measured.
_BUSY = 2


@dataclass(frozen=True)
class Effort:
    """How thorough to be: rounds, seconds per interval, keys; and what counts as quiet."""

    rounds: int
    warmup: float
    seconds: float
    keys: int
    traffic_seconds: float
    sizes: tuple[str, ...]
    patience: float
    quiet: float


class Bench:
    """One run of the measurements, in a temporary home."""

    def __init__(self, home: Path, effort: Effort) -> None:
        self._home = make_home(home, *APP_SIZES)
        self._effort = replace(
            effort, sizes=tuple(size for size in effort.sizes if size in APP_SIZES)
        )

    def prepare(self) -> None:
        """Prepare all corpora, so that no measurement pays for it."""
        for size in self._effort.sizes:
            with self._headless(size):
                pass

    # Training in the app, and without it

    def tui_over_headless(self) -> Iterator[Figure]:
        """Tokens per second with the Train screen visible, relative to `slm-tui train --json`."""
        for size in self._effort.sizes:
            tui, headless = [], []
            for _ in range(self._effort.rounds):
                wait_until_quiet(self._effort.patience, self._effort.quiet)
                with self._headless(size):
                    headless.append(self._rate())
                with self._training(size):
                    tui.append(self._rate())
            target = _TUI_TARGETS.get(size, _TUI_TARGET)
            yield ratio(f"TUI over headless, {size}", tui, headless, target, self._effort.quiet)

    def _rate(self) -> Sample:
        """Tokens per second of the newest run, from its log, after the warm-up.

        The 80th percentile over whole seconds: each includes everything that the app does in a
        second, and those disturbed by other processes are ignored.
        """
        log = self._log()
        time.sleep(self._effort.warmup)
        load = Load()
        start = time.time()
        time.sleep(self._effort.seconds)
        end = time.time()
        foreign = load.foreign()
        time.sleep(0.3)  # the log is flushed ten times a second
        rows = [line.split(",") for line in log.read_text().splitlines()[1:-1]]
        marks = [(float(row[_TIME]), int(row[_TOKENS])) for row in rows if len(row) > _TOKENS]
        rates = sorted(_rates(marks, start, end))
        # On a very busy machine, no second may contain three steps: a rate of 0 is never the best.
        return Sample(rates[len(rates) * 4 // 5] if rates else 0.0, foreign)

    def _log(self) -> Path:
        """The log of the newest run, once it has rows."""
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            logs = list((self._home / "data" / "runs").glob("*/training_log.csv"))
            newest = max(logs, key=lambda path: path.stat().st_ctime, default=None)
            if newest is not None and newest.read_bytes().count(b"\n") > 3:
                return newest
            time.sleep(0.1)
        raise TimeoutError("no run has begun")

    @contextmanager
    def _headless(self, size: str) -> Iterator[None]:
        self._forget_runs()
        command = [*_APP, "train", f"bench-{size}", "--json"]
        with Terminal(command, environment(self._home)):
            self._log()
            yield

    @contextmanager
    def _training(
        self, size: str, command: Sequence[str] = _APP, **variables: str
    ) -> Iterator[Terminal]:
        """The app, training `size`, with the Train screen visible."""
        self._forget_runs()
        home = make_home(self._home.with_name(f"{self._home.name}-{size}"), size)
        if not (home / "cache").exists():
            (home / "cache").symlink_to(self._home / "cache")
            (home / "data").symlink_to(self._home / "data")
        with Terminal(command, environment(home, **variables)) as terminal:
            terminal.wait_for("stories-tiny", 60)
            terminal.wait_for(f"bench-{size}", 5)
            time.sleep(0.5)
            terminal.write("\x1b[H")
            time.sleep(0.3)
            terminal.write("t")
            self._log()
            terminal.wait_for("gradient norm", 20)
            yield terminal

    def _forget_runs(self) -> None:
        shutil.rmtree(self._home / "data" / "runs", ignore_errors=True)
        (self._home / "data").mkdir(exist_ok=True)
        (self._home / "cache").mkdir(exist_ok=True)

    # Keys

    def keys(self) -> Iterator[Figure]:
        """Milliseconds from writing a key to the terminal until the app handles it."""
        for size in self._effort.sizes:
            wait_until_quiet(self._effort.patience, self._effort.quiet)
            delays, foreign = self._delays(size)
            cuts = statistics.quantiles(delays, n=20, method="inclusive")
            busy = f"; BUSY MACHINE: others used {foreign:.1f} cores"
            yield Figure(
                f"key to handler while training {size}, p95",
                cuts[18],
                "ms",
                50,
                at_most=True,
                remark=f"p50 {cuts[9]:.1f}, max {max(delays):.0f}, {len(delays)} keys"
                + (busy if foreign > self._effort.quiet else ""),
            )
        for size in self._effort.sizes[:1]:
            with busy_processes(_BUSY * (os.cpu_count() or 1)) as many:
                delays, _ = self._delays(size)
            cuts = statistics.quantiles(delays, n=20, method="inclusive")
            yield Figure(
                f"key to handler while training {size}, beside {many} busy processes, p95",
                cuts[18],
                "ms",
                50,
                at_most=True,
                remark=f"p50 {cuts[9]:.1f}, max {max(delays):.0f}, {len(delays)} keys",
            )

    def _delays(self, size: str) -> tuple[list[float], float]:
        chance = random.Random(1)
        with tempfile.TemporaryDirectory() as directory:
            handled = Path(directory) / "handled"
            command = [sys.executable, "-m", "tests.benchmarks.app_with_timed_keys", str(handled)]
            with self._training(size, command) as terminal:
                time.sleep(self._effort.warmup)
                load = Load()
                sent = []
                for _ in range(self._effort.keys):
                    time.sleep(chance.uniform(0.05, 0.25))
                    sent.append(time.monotonic())
                    terminal.write("w")
                time.sleep(1.0)
                foreign = load.foreign()
            arrived = [float(line) for line in handled.read_text().split()]
        pairs = zip(sent, arrived, strict=True)
        return [1000 * (end - start) for start, end in pairs], foreign

    # Traffic and the first frame

    def traffic(self) -> Iterator[Figure]:
        """KiB per second to the terminal while the tiny size trains."""
        for name, ssh, target in (
            ("four redraws a second", "", 30.0),
            ("one, over SSH", "10.0.0.1 1 10.0.0.2 22", 10.0),
        ):
            # An empty value counts as unset.
            with self._training(TRAFFIC_SIZE, SSH_CONNECTION=ssh) as terminal:
                time.sleep(self._effort.warmup + 1)
                before, began = terminal.received, time.monotonic()
                time.sleep(self._effort.traffic_seconds)
                rate = (terminal.received - before) / (time.monotonic() - began) / 1024
            yield Figure(f"terminal traffic, {name}", rate, "KiB/s", target, at_most=True)

    def first_paint(self) -> Iterator[Figure]:
        """Seconds from the start of the process to the first frame with the list of presets, also
        over those of importing textual, which depend on the machine in the same way."""
        warm, cold, textual = [], [], []
        for _ in range(self._effort.rounds):
            wait_until_quiet(self._effort.patience, self._effort.quiet)
            textual.append(_import_seconds("textual.app"))
            warm.append(self._first_frame())
            with tempfile.TemporaryDirectory() as empty:
                cold.append(self._first_frame(PYTHONPYCACHEPREFIX=empty))
        remark = f"{min(warm):.2f} to {max(warm):.2f}"
        yield Figure("first paint", statistics.median(warm), "s", 1.0, at_most=True, remark=remark)
        over = sorted(one / other for one, other in zip(warm, textual, strict=True))
        remark = f"{over[0]:.2f} to {over[-1]:.2f}; the import {statistics.median(textual):.2f} s"
        name = "first paint over the import of textual"
        yield Figure(name, statistics.median(over), "x", 2.5, at_most=True, remark=remark)
        remark = f"{min(cold):.2f} to {max(cold):.2f}, no compiled modules at all"
        yield Figure("first paint after installing", statistics.median(cold), "s", remark=remark)

    def _first_frame(self, **variables: str) -> float:
        with Terminal(_APP, environment(self._home, **variables)) as terminal:
            return terminal.wait_for("stories-tiny", 60)


def _import_seconds(module: str) -> float:
    """Seconds that a new process takes to import `module`."""
    code = f"import time; began = time.perf_counter(); import {module}\n"
    code += "print(time.perf_counter() - began)"
    return float(subprocess.run([sys.executable, "-c", code], stdout=-1, check=True).stdout)


def _rates(marks: list[tuple[float, int]], start: float, end: float) -> Iterator[float]:
    """Tokens per second in each second from `start` to `end`."""
    for second in range(int(end - start)):
        inside = [one for one in marks if second <= one[0] - start <= second + 1]
        if len(inside) > 2:
            yield (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])
