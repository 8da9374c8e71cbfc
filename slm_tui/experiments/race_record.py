"""The record of a race, which others can check: machine, versions, commit, settings and figures."""

import json
import platform
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import torch

from slm_tui import __version__, paths, safe_files
from slm_tui.config.race import NamedRace
from slm_tui.corpus.parallel import cores
from slm_tui.training.device import choose_device, describe_device
from slm_tui.training.precision import has_native_bf16
from slm_tui.training.race import Runner, SeedResult

_GIT_SECONDS = 5
_CPU_INFO = Path("/proc/cpuinfo")


def record(
    race: NamedRace, plain: Runner, fast: Runner, results: list[SeedResult], commit: str
) -> dict[str, Any]:
    """Plain values of a race: what ran, where, and the figures of every seed.

    Args:
        commit: that of the program when it started.
    """
    corpus = plain.corpus
    return {
        "race": race.name,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(plain.preset.training.device),
        "versions": {
            "slm-tui": __version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
        },
        "commit": commit,
        "text": {
            "corpus": corpus.fingerprint,
            "train_tokens": len(corpus.train),
            "validation_tokens": len(corpus.val),
            "n_vocab": corpus.tokenizer.n_vocab,
            "window": race.race.window,
        },
        "threads": torch.get_num_threads(),
        "plain": _entrant(plain),
        "fast": _entrant(fast),
        "summary": summary(results),
        "seeds": [seed_values(one) for one in results],
    }


def summary(results: list[SeedResult]) -> dict[str, Any]:
    """Means over all seeds; times and ratios over those that reached the target."""
    there = [one for one in results if one.reached is not None]
    reached = [one.reached for one in there if one.reached is not None]
    ratios = [one.ratio for one in there if one.ratio is not None]
    cpu_ratios = [one.cpu_ratio for one in there if one.cpu_ratio is not None]
    return {
        "seeds": len(results),
        "reached": len(there),
        "target": _mean([one.target for one in results]),
        "plain_loss": _mean([one.plain.loss for one in results]),
        "plain_loss_deviation": _deviation([one.plain.loss for one in results]),
        "plain_seconds": _mean([one.plain.seconds for one in results]),
        "plain_cpu_seconds": _mean([one.plain.cpu_seconds for one in results]),
        "fast_loss": _mean([one.fast.loss for one in results]),
        "fast_loss_deviation": _deviation([one.fast.loss for one in results]),
        "seconds": _mean([mark.seconds for mark in reached]),
        "cpu_seconds": _mean([mark.cpu_seconds for mark in reached]),
        "steps": _mean([float(mark.step) for mark in reached]),
        "ratio": _mean(ratios),
        "ratio_deviation": _deviation(ratios),
        "cpu_ratio": _mean(cpu_ratios),
    }


def write(values: dict[str, Any]) -> Path:
    """Store a record; return its file.

    Raises:
        OSError: it cannot be written.
    """
    directory = paths.races_dir()
    directory.mkdir(parents=True, exist_ok=True)
    stem = f"{values['race']}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, number = directory / f"{stem}.json", 2
    while path.exists():
        path, number = directory / f"{stem}-{number}.json", number + 1
    safe_files.write_atomically(path, json.dumps(values, indent=1) + "\n")
    return path


def machine(device: str) -> dict[str, Any]:
    """The processor, its cores, and whether it multiplies bf16 natively."""
    chosen = choose_device(device)
    name = describe_device(chosen)
    if chosen.type == "cpu":
        name = _cpu_name() or name
    return {
        "device": name,
        "cores": cores(),
        "native_bf16": has_native_bf16(chosen),
        "system": f"{platform.system()} {platform.machine()}",
    }


def current_commit() -> str:
    """The commit of this program's checkout, with `+` after it if files differ; else empty."""
    directory = Path(__file__).resolve().parent.parent.parent
    if not (directory / ".git").exists():
        return ""
    head = _git(directory, "rev-parse", "--short=12", "HEAD")
    changed = _git(directory, "status", "--porcelain", "--untracked-files=no")
    return head + "+" if head and changed else head


def _git(directory: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _cpu_name() -> str:
    try:
        for line in _CPU_INFO.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor()


def _entrant(runner: Runner) -> dict[str, Any]:
    return {
        "preset": runner.preset.to_dict(),
        "parameters": runner.parameters,
        "precision": runner.format,
    }


def seed_values(one: SeedResult, *, marks: bool = True) -> dict[str, Any]:
    """Plain values of a race with one seed; without `marks`, only where each recipe ended."""
    values: dict[str, Any] = {
        "seed": one.seed,
        "target": one.target,
        "ratio": one.ratio,
        "cpu_ratio": one.cpu_ratio,
        "reached": vars(one.reached) if one.reached else None,
    }
    if not marks:
        return {**values, "plain": vars(one.plain), "fast": vars(one.fast)}
    plain, fast = one.plain_marks, one.fast_marks
    return {**values, "plain": [vars(mark) for mark in plain], "fast": [vars(m) for m in fast]}


def _mean(values: list[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _deviation(values: list[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None
