"""Trains one preset and reads its verdicts from the files of the run."""

import shutil
import time
from typing import Any

from slm_tui.config.preset import Preset, parse
from slm_tui.live.session import Session
from slm_tui.runs import evidence
from slm_tui.runs.info import evaluations


def measure(preset: Preset) -> dict[str, Any]:
    """The best and the last loss in bits per byte, and the verdicts at the end of the run."""
    began = time.monotonic()
    session = Session.start(preset)
    session.wait()
    run = session.run
    try:
        losses = [one.bits_per_byte for one in evaluations(run.path) if one.step]
        finite = [loss for loss in losses if loss == loss]
        verdicts = [
            {
                "word": one.word,
                "sure": round(one.confidence, 3),
                "remedies": [
                    {"text": each.text, "changes": list(each.changes)} for each in one.remedies
                ],
            }
            for one in evidence.of_run(run)
        ]
        return {
            "state": run.info().state,
            "step": run.info().step,
            "best": round(min(finite), 5) if finite else None,
            "last": round(losses[-1], 5) if losses and losses[-1] == losses[-1] else None,
            "seconds": round(time.monotonic() - began, 2),
            "verdicts": verdicts,
        }
    finally:
        shutil.rmtree(run.path, ignore_errors=True)


def measure_values(values: dict[str, Any]) -> dict[str, Any]:
    """`measure` for a preset as plain values, which another process can receive."""
    return measure(parse(values, "a run of the grid"))
