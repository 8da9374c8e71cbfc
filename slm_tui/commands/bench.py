"""`slm-tui bench`: measures training speed and finds the fastest settings."""

import argparse
import shlex
import sys
from typing import TYPE_CHECKING, Any

from slm_tui.commands import options as shared
from slm_tui.commands import output
from slm_tui.commands.interrupts import INTERRUPTED, stop_event
from slm_tui.commands.progress_line import ProgressLine
from slm_tui.errors import SlmTuiError
from slm_tui.formatting import count, size

if TYPE_CHECKING:
    from slm_tui.config.preset import Preset
    from slm_tui.training.bench_result import Measurement, Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui bench`."""
    parser.add_argument(
        "preset", nargs="?", default="stories-tiny", help="preset name or .toml file"
    )
    shared.add_set(parser)
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="how long to measure (default: 30)"
    )
    parser.add_argument("--compile", action="store_true", help="also measure torch.compile")
    shared.add_json(parser)
    parser.set_defaults(command=bench)


def bench(options: argparse.Namespace) -> int:
    """Measure and print. If interrupted, print the results so far and return 130."""
    from slm_tui.training.allocator import keep_big_blocks

    keep_big_blocks()
    from slm_tui.config import library, overrides
    from slm_tui.training.bench import BenchStopped
    from slm_tui.training.bench import bench as measure
    from slm_tui.training.bench_plan import command

    if not options.seconds > 0:
        raise SlmTuiError("--seconds must be more than 0", "", "try --seconds 30")
    preset = overrides.apply(library.get(options.preset), options.assignments)
    line = ProgressLine(sys.stderr)

    def report(stage: str, share: float) -> None:
        line.show(lambda _: f"{stage} {share:.0%}")

    with stop_event() as stop:
        try:
            result = measure(
                preset,
                seconds=options.seconds,
                compiled=options.compile,
                stop=stop.is_set,
                report=report,
            )
        except BenchStopped:
            return INTERRUPTED
        finally:
            line.clear()
    words = command(options.preset, preset, result.best.setup, options.assignments)
    to_paste = shlex.join(words)
    if options.json:
        output.say_json(_values(result, to_paste))
    else:
        output.say("\n".join(lines(result, preset, to_paste)))
    return INTERRUPTED if result.interrupted else 0


def lines(result: "Result", preset: "Preset", line: str) -> list[str]:
    """The printed report: the machine, the table, the notices, and the command to paste."""
    best, out = result.best, []
    out.append(
        f"{result.preset}: {count(result.parameters)} parameters, vocabulary {result.n_vocab:,}, "
        f"{result.sequences:,} sequences of {preset.model.block_size} tokens per step"
    )
    products = ", ".join(
        f"{flops / 1e9:,.0f} GFLOP/s with {threads} thread{'s' if threads > 1 else ''}"
        for threads, flops in result.matmul.items()
    )
    out.append(f"{result.device}, {result.cores} cores; {result.matmul_format} matmul: {products}")
    out += ["", " threads  micro-batch  passes   tokens/s    ms/step  utilisation    memory  steps"]
    out += [_row(row, result) for row in result.rows]
    out.append("")
    out += [f"note: {notice}" for notice in result.notices]
    if result.interrupted:
        out.append("note: stopped before the end")
    out.append(
        f"fastest: {best.tokens_per_second:,.0f} tokens/s, {best.flops / 1e9:,.1f} GFLOP/s, "
        f"{best.utilisation:.0%} of matmul speed"
    )
    return [*out, line]


def _row(row: "Measurement", result: "Result") -> str:
    memory = result.memory.get(row.setup.micro_batch)
    mark = "*" if row is result.best else " "
    return (
        f"{mark}{row.setup.threads:7}  {row.setup.micro_batch:11}  {row.setup.accumulation:6}"
        f"  {row.tokens_per_second:9,.0f}  {row.step_seconds * 1000:9,.1f}"
        f"  {row.utilisation:11.0%}  {size(memory) if memory is not None else '-':>8}"
        f"  {row.steps:5}{'  compiled' if row.setup.compiled else ''}"
    )


def _values(result: "Result", line: str) -> dict[str, Any]:
    """The result for JSON output: one flat object per row."""
    values = {**vars(result), "command": line, "best": _flat(result.best, result)}
    return {**values, "rows": [_flat(row, result) for row in result.rows]}


def _flat(row: "Measurement", result: "Result") -> dict[str, Any]:
    values = {**vars(row.setup), **{k: v for k, v in vars(row).items() if k != "setup"}}
    return {**values, "memory": result.memory.get(row.setup.micro_batch)}
