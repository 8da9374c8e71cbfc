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

from tests.benchmarks.figures import Figure, ratio
from tests.benchmarks.load import Load, busy_processes, wait_until_quiet
from tests.benchmarks.sizes import APP_SIZES, TRAFFIC_SIZE, environment, make_home
from tests.benchmarks.terminal import Terminal
from tests.benchmarks.turns import in_turns, samples

_APP = [sys.executable, "-m", "slm_tui"]
_START_SECONDS = 120.0
_TUI_TARGET = 0.95
_TURNS_PER_ROUND = 4
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
            with self._headless(size) as other, self._training(size) as shown:
                time.sleep(self._effort.warmup)
                turns = in_turns(
                    shown,
                    other,
                    _TURNS_PER_ROUND * self._effort.rounds,
                    self._effort.seconds / 2,
                    lambda: wait_until_quiet(self._effort.patience, self._effort.quiet),
                )
            tui = samples(_log(self._home_beside(size)), turns[0])
            headless = samples(_log(self._home_beside(f"{size}-alone")), turns[1])
            name = f"TUI over headless, {size}"
            yield ratio(name, tui, headless, _TUI_TARGET, self._effort.quiet)

    @contextmanager
    def _headless(self, size: str) -> Iterator[Terminal]:
        home = self._home_beside(f"{size}-alone", size)
        shutil.rmtree(home / "data", ignore_errors=True)
        command = [*_APP, "train", f"bench-{size}", "--json"]
        with Terminal(command, environment(home)) as terminal:
            _log(home)
            yield terminal

    @contextmanager
    def _training(
        self, size: str, command: Sequence[str] = _APP, **variables: str
    ) -> Iterator[Terminal]:
        """The app, training `size`, with the Train screen visible."""
        home = self._home_beside(size, size)
        shutil.rmtree(home / "data", ignore_errors=True)
        with Terminal(command, environment(home, **variables)) as terminal:
            terminal.wait_for("stories-tiny", 60)
            terminal.wait_for(f"bench-{size}", 5)
            time.sleep(0.5)
            terminal.write("\x1b[H")
            time.sleep(0.3)
            terminal.write("t")
            _log(home)
            terminal.wait_for("gradient norm", 20)
            yield terminal

    def _home_beside(self, name: str, *sizes: str) -> Path:
        """Another home, with these presets and the same prepared texts."""
        home = make_home(self._home.with_name(f"{self._home.name}-{name}"), *sizes)
        if not (home / "cache").exists():
            (self._home / "cache").mkdir(exist_ok=True)
            (home / "cache").symlink_to(self._home / "cache")
        return home

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


def _log(home: Path) -> Path:
    """The log of the only run of `home`, once it has rows.

    Raises:
        TimeoutError: it has none after two minutes.
    """
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        for log in (home / "data" / "runs").glob("*/training_log.csv"):
            if log.read_bytes().count(b"\n") > 3:
                return log
        time.sleep(0.1)
    raise TimeoutError("no run has begun")
