"""`python -m tests.benchmarks`: the program's speed, as ratios measured within one run."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.byte_models import byte_model_figures
from tests.benchmarks.copied import copied_figures
from tests.benchmarks.corpora import corpus_figures
from tests.benchmarks.engine import EngineBench
from tests.benchmarks.figures import machine_line
from tests.benchmarks.generation import generation_figures
from tests.benchmarks.gpu import gpu_figures
from tests.benchmarks.history import HISTORY, History, HistoryError
from tests.benchmarks.long_runs import long_run_figures
from tests.benchmarks.measures import Bench, Effort
from tests.benchmarks.sizes import SIZES


def main() -> int:
    """Measure and print; 1 if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    names = [
        "plain",
        "saving",
        "busy",
        "chat",
        "tui",
        "keys",
        "traffic",
        "paint",
        "corpus",
        "modern",
        "copied",
        "gpu",
        "generate",
        "bytes",
        "long",
    ]
    parser.add_argument("--only", action="append", choices=names, help="may be repeated")
    parser.add_argument("--size", action="append", choices=list(SIZES), help="may be repeated")
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    parser.add_argument("--rounds", type=int, default=5, help="how often each pair is measured")
    parser.add_argument(
        "--patience", type=float, default=30, help="seconds to wait for a quiet machine per round"
    )
    parser.add_argument(
        "--quiet", type=float, default=0.15, help="cores that others may use in a round that counts"
    )
    parser.add_argument(
        "--megabytes", type=int, default=64, help="size of the text that `corpus` prepares"
    )
    parser.add_argument(
        "--record", action="store_true", help=f"append the figures to {HISTORY}; needs a clean tree"
    )
    options = parser.parse_args()
    history = None
    if options.record:
        try:
            history = History()
        except HistoryError as error:
            parser.exit(2, f"--record: {error}\n")
    sizes = tuple(options.size or SIZES)
    if options.quick:
        effort = Effort(1, 1.0, 3.0, 20, 5.0, sizes, 0.0, options.quiet)
    else:
        effort = Effort(options.rounds, 2.0, 8.0, 100, 20.0, sizes, options.patience, options.quiet)
    missed = False
    print(machine_line(), flush=True)
    with tempfile.TemporaryDirectory(prefix="slm-tui-bench-") as directory:
        bench = Bench(Path(directory) / "home", effort)
        engine = EngineBench(
            Path(directory) / "engine",
            sizes,
            effort.rounds,
            effort.warmup,
            effort.seconds,
            effort.patience,
            effort.quiet,
        )
        if not options.only or {"tui", "keys", "traffic"} & set(options.only):
            bench.prepare()
        measures = {
            "tui": bench.tui_over_headless,
            "plain": engine.over_plain,
            "saving": engine.saving,
            "busy": engine.busy,
            "chat": engine.chat,
            "modern": engine.modern,
            "copied": lambda: copied_figures(effort.rounds),
            "gpu": lambda: gpu_figures(effort.seconds * 4),
            "generate": lambda: generation_figures(effort.rounds, effort.patience, effort.quiet),
            "bytes": lambda: byte_model_figures(effort.rounds, effort.patience, effort.quiet),
            "long": lambda: long_run_figures(effort.rounds),
            "keys": bench.keys,
            "traffic": bench.traffic,
            "paint": bench.first_paint,
            "corpus": lambda: corpus_figures(
                Path(directory) / "home", effort.rounds, options.megabytes, effort.quiet
            ),
        }
        for name in options.only or names:
            for figure in measures[name]():
                missed |= figure.verdict == "MISSED"
                print(figure.line(), flush=True)
                if history is not None:
                    history.append([figure])
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
