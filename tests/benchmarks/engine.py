"""The engine on its own: against the plain loop, while saving, on a busy machine, next to a
chat, and what a modern recipe gains."""

import csv
import itertools
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.figures import Figure, Sample, ratio
from tests.benchmarks.load import Load, wait_until_quiet
from tests.benchmarks.sizes import ENGINE_SIZES, THREADS, environment, make_home, preset

_TARGETS = {"tiny": 1.35, "nano": 1.2, "d384": 1.04, "16m": 1.9}
# Large steps need longer to be measured.
_STRETCH = {"d384": 2.0, "16m": 4.0}
_CLASSIC, _MODERN = "shakespeare-small", "shakespeare-modern"


class EngineBench:
    """One run of the engine's measurements, in a temporary home.

    Args:
        sizes: those of the engine to measure.
        warmup, seconds: of every stretch; large sizes take a multiple.
    """

    def __init__(
        self,
        home: Path,
        sizes: tuple[str, ...],
        rounds: int,
        warmup: float,
        seconds: float,
        patience: float,
        quiet: float,
    ) -> None:
        self._home = make_home(home)
        self._sizes = tuple(size for size in sizes if size in ENGINE_SIZES)
        self._rounds, self._warmup, self._seconds = rounds, warmup, seconds
        self._patience, self._quiet = patience, quiet

    # Against the plain loop

    def over_plain(self) -> Iterator[Figure]:
        """Tokens per second of `Trainer` over the plain loop, each in fresh processes.

        Where `auto` computes in bf16, a second row has the ratio in fp32.
        """
        for size in self._sizes:
            corpus = self._corpus(size)
            plain, ours, fp32 = list[Sample](), list[Sample](), list[Sample]()
            low = self._format(size) != "fp32"
            for _ in range(self._rounds):
                wait_until_quiet(self._patience, self._quiet)
                plain.append(self._loop("plain_loop", size, str(corpus / "train.bin")))
                ours.append(self._loop("our_loop", size, str(corpus), "auto"))
                if low:
                    fp32.append(self._loop("our_loop", size, str(corpus), "fp32"))
            name = f"Trainer over plain loop, {size}"
            yield ratio(name, ours, plain, _TARGETS[size], self._quiet)
            if low:
                yield ratio(f"{name}, fp32", fp32, plain, _TARGETS[size], self._quiet)

    def _format(self, size: str) -> str:
        import torch

        from slm_tui.training.precision import choose_format

        return choose_format(preset(size), torch.device("cpu"))

    def _corpus(self, size: str) -> Path:
        from slm_tui.corpus import prepare

        os.environ["SLM_TUI_HOME"] = str(self._home)
        return prepare.prepare(preset(size)).directory

    def _loop(self, module: str, size: str, data: str, *more: str) -> Sample:
        stretch = _STRETCH.get(size, 1.0)
        load = Load()
        times = [f"{self._warmup * stretch}", f"{self._seconds * stretch}"]
        done = self._run(f"tests.benchmarks.{module}", size, data, *times, *more)
        return Sample(float(done.split()[0]), load.foreign())

    def _run(self, module: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=environment(self._home),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )
        return done.stdout

    # Saving

    def saving(self) -> Iterator[Figure]:
        """Time of a step that saves relative to one that does not, for the 16M model."""
        corpus = self._corpus("16m")
        ratios, seconds = list[float](), list[float]()
        for _ in range(max(1, min(2, self._rounds))):
            wait_until_quiet(self._patience, self._quiet)
            done = self._run("tests.benchmarks.saving_loop", "16m", str(corpus), "40", "5")
            with_save, without, after = map(float, done.split())
            ratios.append(with_save / without)
            seconds.append(after / without)
        remark = f"the step after it, beside the writing: {statistics.median(seconds):.2f}"
        name = "step that saves over one that does not, 16m"
        yield Figure(name, statistics.median(ratios), "x", 1.1, at_most=True, remark=remark)

    # A busy machine

    def busy(self) -> Iterator[Figure]:
        """Speed next to a process that takes a core, relative to undisturbed: with and without
        adapted threads."""
        for size in ("tiny", "nano"):
            corpus = str(self._corpus(size))
            for threads, name in (("0", "adapting"), (str(THREADS), f"{THREADS} threads always")):
                alone, beside = list[Sample](), list[Sample]()
                for _ in range(max(1, self._rounds // 2)):
                    wait_until_quiet(self._patience, self._quiet)
                    alone.append(self._loop("our_loop", size, corpus, "auto", threads))
                    spin = subprocess.Popen([sys.executable, "-c", "while True: pass"])
                    try:
                        result = self._loop("our_loop", size, corpus, "auto", threads)
                    finally:
                        spin.kill()
                        spin.wait()
                    # The other process is intentional.
                    beside.append(Sample(result.rate, 0.0))
                figure = ratio(f"{size} beside a busy process, {name}", beside, alone, 0.0, 9.0)
                yield Figure(figure.name, figure.value, "x", remark=figure.remark)

    # A chat

    def chat(self) -> Iterator[Figure]:
        """Training next to a chat that generates without end in its process, relative to
        training alone. Both want one core: the share of the training shows what it loses at
        most."""
        cores = os.cpu_count() or 1
        corpus = str(self._corpus("nano"))
        for many, name in ((1, "a chat"), (4, "four side by side")):
            alone, beside, written = list[Sample](), list[Sample](), list[float]()
            for _ in range(self._rounds):
                wait_until_quiet(self._patience, self._quiet)
                alone.append(self._talk(corpus, 0)[0])
                sample, rate = self._talk(corpus, many)
                beside.append(sample)
                written.append(rate)
            target = (cores - 1) / cores if cores > 1 else 0.5
            figure = ratio(f"nano beside {name}", beside, alone, target, self._quiet)
            remark = f"{figure.remark}; written {statistics.median(written):,.0f} tokens/s"
            yield replace(figure, remark=remark)

    def _talk(self, corpus: str, many: int) -> tuple[Sample, float]:
        load = Load()
        times = [f"{self._warmup * 2}", f"{self._seconds}"]
        done = self._run("tests.benchmarks.chat_loop", "nano", corpus, *times, str(many))
        trained, written = map(float, done.split())
        return Sample(trained, load.foreign()), written

    # Recipes

    def modern(self) -> Iterator[Figure]:
        """Time until the modern recipe reaches the classic one's final validation bpb."""
        text = Path(__file__).parents[3] / "shared" / "data" / "tinyshakespeare.txt"
        if not text.exists():
            yield Figure("modern recipe", float("nan"), "", remark="no text to train on")
            return
        shares = []
        for _ in range(max(1, self._rounds // 2)):
            wait_until_quiet(self._patience, self._quiet)
            curves = {name: self._curve(name, text) for name in (_CLASSIC, _MODERN)}
            (_, total, goal) = curves[_CLASSIC][-1]
            reached = [seconds for _, seconds, bpb in curves[_MODERN] if bpb <= goal]
            shares.append(reached[0] / total if reached else float("inf"))
            for name, curve in curves.items():
                print(f"  {name}: {_printed(curve)}", flush=True)
        remark = f"{goal:.3f} bpb after {total:.0f} s; in the end {curves[_MODERN][-1][2]:.3f}"
        name = "wall time of the modern recipe to classic's bpb"
        yield Figure(name, statistics.median(shares), "x", 0.5, at_most=True, remark=remark)

    def _curve(self, name: str, text: Path) -> list[tuple[int, float, float]]:
        """`(step, seconds, bpb)` of every evaluation of a run of the shipped preset.

        Seconds are counted from the first row: evaluations and samples are included.
        """
        runs = self._home / "data" / "runs"
        shutil.rmtree(runs, ignore_errors=True)
        self._run("slm_tui", "train", name, "--text", str(text), "--json")
        (log,) = runs.glob("*/training_log.csv")
        with log.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        began = float(rows[0]["timestamp"])
        return [
            (int(row["step"]), float(row["timestamp"]) - began, float(row["val_bpb"]))
            for row in rows
            if row["val_bpb"]
        ]


def _printed(curve: list[tuple[int, float, float]]) -> str:
    """About ten points of a curve."""
    every = max(1, len(curve) // 10)
    points = list(itertools.islice(curve, 0, None, every))
    points += [] if points[-1] == curve[-1] else [curve[-1]]
    return "  ".join(f"{seconds:.0f}s {bpb:.3f}" for _, seconds, bpb in points)
