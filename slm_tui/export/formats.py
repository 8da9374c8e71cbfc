"""Writes a checkpoint in any of the formats."""

import shlex
from collections.abc import Callable
from pathlib import Path

from slm_tui.export import gguf, huggingface, ternary, written
from slm_tui.export.catalog import WeightType
from slm_tui.export.written import Report, Usage, Written
from slm_tui.formatting import size


def export(
    format_name: str,
    source: Path,
    target: Path,
    report: Report = written.quiet,
    weight_type: WeightType = "f32",
) -> Written:
    """Write the checkpoint at `source` to `target`, which must not exist.

    Args:
        format_name: one of `catalog.FORMATS`.
        report: called with what is being done; may raise to cancel.
        weight_type: how a GGUF file stores matrices.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ExportError: the format does not hold its model, or `target` cannot be written.
    """
    if format_name == "gguf":
        return gguf.export(source, target, report, weight_type)
    return _WRITERS[format_name](source, target, report)


def _ternary(source: Path, target: Path, report: Report) -> Written:
    report("packing the weights")
    made = ternary.export(source, target)
    path = shlex.quote(str(target))
    return Written(
        target,
        made.after,
        f"saved {target}: {size(made.after)} instead of {size(made.before)}, "
        f"{made.before / made.after:.1f} times smaller; {made.ternary:,} of "
        f"{made.parameters:,} weights take two bits each",
        (
            Usage("generate text", f"slm-tui generate {path}"),
            Usage("chat with it", f"slm-tui chat {path}"),
            Usage("open it in the app", f"slm-tui --run {path}"),
        ),
        details={
            "bytes_before": made.before,
            "bytes_after": made.after,
            "ternary_weights": made.ternary,
            "parameters": made.parameters,
        },
    )


_WRITERS: dict[str, Callable[[Path, Path, Report], Written]] = {
    "huggingface": huggingface.export,
    "ternary": _ternary,
}
