"""`benchmarks/history.csv`: what was measured, when, on which commit and on which machine."""

import csv
import math
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.figures import Figure, processor

ROOT = Path(__file__).resolve().parents[2]
HISTORY = Path("benchmarks") / "history.csv"
COLUMNS = (
    "date",  # UTC, ISO 8601
    "commit",
    "processor",
    "cores",
    "torch",
    "gpu",
    "name",
    "figure",
    "unit",
    "remark",
)


class HistoryError(Exception):
    """The results would not belong to a commit."""


@dataclass(frozen=True)
class Machine:
    """What a result depends on besides the code. `gpu` is empty without one."""

    processor: str
    cores: int
    torch: str
    gpu: str

    @classmethod
    def this(cls) -> "Machine":
        import torch

        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
        return cls(processor(), os.cpu_count() or 0, version("torch"), gpu)


class History:
    """Appends figures of the commit that is checked out to the history of its repository.

    Raises:
        HistoryError: the working tree differs from its commit, or `root` is no git repository.
    """

    def __init__(self, root: Path = ROOT) -> None:
        changed = _git(root, "status", "--porcelain", "--", ".", f":!{HISTORY.as_posix()}")
        if changed:
            files = ", ".join(line[3:] for line in changed.splitlines()[:3])
            raise HistoryError(
                f"the working tree differs from its commit ({files}): commit or stash the changes"
            )
        self._commit = _git(root, "rev-parse", "--short=12", "HEAD")
        self._path = root / HISTORY
        self._machine = Machine.this()

    def append(self, figures: Sequence[Figure]) -> None:
        """Add one row per figure. Those that could not be measured are left out."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        here = self._machine
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("a", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            if not file.tell():
                rows.writerow(COLUMNS)
            for one in figures:
                if not math.isnan(one.value):
                    machine = (here.processor, here.cores, here.torch, here.gpu)
                    figure = (one.name, f"{one.value:.6g}", one.unit, one.remark)
                    rows.writerow((now, self._commit, *machine, *figure))


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=60
        )
    except FileNotFoundError:
        raise HistoryError("git is not installed, so the commit is unknown") from None
    except subprocess.CalledProcessError as error:
        raise HistoryError(f"the commit is unknown: {error.stderr.strip()}") from None
    return done.stdout.strip("\n")
