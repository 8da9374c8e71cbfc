"""A comparison as CSV: one row for each run, with the settings that differ."""

import csv
import io

from slm_tui.experiments.association import differing
from slm_tui.experiments.report import RunsReport

_COLUMNS = (
    "run",
    "variation",
    "seed",
    "state",
    "steps",
    "tokens",
    "seconds",
    "parameters",
    "final_train_loss",
    "final_val_loss",
    "best_val_loss",
    "final_val_bpb",
    "best_val_bpb",
    "best_step",
)


def csv_of(report: RunsReport) -> str:
    """One row for each run; losses in nats per token, `bpb` in bits per byte."""
    settings = differing([one.preset for one in report.runs])
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_COLUMNS, *settings])
    for at, one in enumerate(report.runs):
        info = one.info
        writer.writerow(
            [
                one.run.id,
                one.label,
                one.seed,
                info.state,
                info.step,
                info.tokens_seen,
                round(info.elapsed_seconds, 2),
                info.facts.get("parameters"),
                info.last_train_loss,
                info.val_loss,
                info.best_loss,
                info.val_bpb,
                info.best_bpb,
                info.best_step,
                *(values[at] for values in settings.values()),
            ]
        )
    return out.getvalue()
