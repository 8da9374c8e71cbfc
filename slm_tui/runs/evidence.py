"""The evidence of a run, gathered from its files: for the screen, command line and results."""

import math
from bisect import bisect_right
from typing import TYPE_CHECKING, Any

from slm_tui.config.estimate import few_tokens_per_parameter
from slm_tui.config.preset import Preset
from slm_tui.config.usual import usual_rates
from slm_tui.errors import SlmTuiError
from slm_tui.evaluation.diagnosis import CurveBlock, Evidence, Verdict, diagnose
from slm_tui.evaluation.diagnosis.remedies import Remedies
from slm_tui.runs.curves import Curves
from slm_tui.runs.store import LIVE_STATES, Run, RunInfo
from slm_tui.training.events import Event, Skipped, Spiked, WentBack

if TYPE_CHECKING:
    from slm_tui.evaluation.memorisation import Copying

_RECENT_ROWS = 20
_MOST_BLOCKS = 512
_FIRST_BLOCK = 4


class EvidenceBuilder:
    """Turns the curves of a run into evidence; each call reads only what is new."""

    def __init__(self, preset: Preset | None) -> None:
        self.preset = preset
        self.copying: Copying | None = None
        self._remedies = Remedies(preset) if preset is not None else None
        self._generation = -1
        self._forget()

    def _forget(self) -> None:
        self._blocks: list[CurveBlock] = []
        self._size, self._rows_done, self._last = _FIRST_BLOCK, 0, 0
        self._train: list[float] = []

    def evidence(self, curves: Curves, info: RunInfo) -> Evidence:
        """The evidence so far."""
        if self._generation != curves.generation:
            self._generation = curves.generation
            self._forget()
        self._take(curves)
        evaluations, facts = curves.evaluations, info.facts
        return Evidence(
            val_steps=evaluations.step,
            val_losses=evaluations.loss,
            train_losses=self._train,
            val_bits_per_byte=evaluations.bits_per_byte,
            blocks=self._blocks,
            step=max(info.step, self._last),
            max_steps=info.max_steps,
            is_over=info.state not in LIVE_STATES and info.step >= info.max_steps > 0,
            has_ended=info.state not in LIVE_STATES,
            floor_bits_per_byte=_number(facts, "floor_bits_per_byte") or None,
            n_vocab=int(_number(facts, "n_vocab")),
            parameters=int(_number(facts, "parameters")),
            train_tokens=int(_number(facts, "train_tokens")),
            val_tokens=int(_number(facts, "val_tokens")),
            tokens_per_step=int(_number(facts, "tokens_per_step")),
            skipped=_steps(curves, Skipped),
            went_back=_steps(curves, WentBack),
            spikes=_steps(curves, Spiked),
            failed_non_finite=info.state == "failed" and info.cause == "not finite",
            is_forked=bool(info.parent),
            copying=self.copying,
            metric_steps=curves.steps.step,
            metrics=curves.steps.metrics,
            remedies=self._remedies,
            **self._planned(int(_number(facts, "val_tokens")), int(_number(facts, "parameters"))),
        )

    def _planned(self, val_tokens: int, parameters: int) -> dict[str, Any]:
        preset = self.preset
        if preset is None:
            return {}
        training, schedule = preset.training, preset.schedule
        planned = training.evaluate_batches * training.micro_batch * preset.model.block_size
        warmup = schedule.warmup_steps
        if warmup is None:
            warmup = round((schedule.warmup_fraction or 0.0) * training.max_steps)
        return {
            "few_tokens_per_parameter": few_tokens_per_parameter(preset),
            "evaluated_tokens": min(planned, max(0, val_tokens - 1)) if val_tokens else 0,
            "learning_rate": preset.optimizer.learning_rate,
            "usual_rates": usual_rates(preset, parameters),
            "gradient_clip": preset.optimizer.gradient_clip,
            "dropout": preset.model.dropout_rate,
            "metric_targets": preset.model.metric_targets,
            "is_ternary": preset.model.is_ternary,
            "warmup_steps": warmup,
            "early_stop_patience": training.early_stop_patience,
        }

    def _take(self, curves: Curves) -> None:
        steps, evaluations = curves.steps, curves.evaluations
        while self._rows_done + self._size <= len(steps.step):
            self._blocks.append(self._block(curves, self._rows_done, self._rows_done + self._size))
            self._rows_done += self._size
            if len(self._blocks) >= _MOST_BLOCKS:
                self._blocks = [
                    _merged(*self._blocks[at : at + 2]) for at in range(0, _MOST_BLOCKS, 2)
                ]
                self._size *= 2
        del self._train[len(evaluations.step) :]
        for step in evaluations.step[len(self._train) :]:
            at = bisect_right(steps.step, step)
            rows = [one for one in steps.loss[max(0, at - _RECENT_ROWS) : at] if math.isfinite(one)]
            self._train.append(sum(rows) / len(rows) if rows else math.nan)
        # The row of a step may come after its evaluation: recompute the newest one.
        del self._train[-1:]
        if evaluations.step:
            at = bisect_right(steps.step, evaluations.step[-1])
            rows = [one for one in steps.loss[max(0, at - _RECENT_ROWS) : at] if math.isfinite(one)]
            self._train.append(sum(rows) / len(rows) if rows else math.nan)

    def _block(self, curves: Curves, begin: int, end: int) -> CurveBlock:
        steps = curves.steps
        losses = steps.loss[begin:end]
        last = steps.step[end - 1]
        stands_for = last - self._last
        self._last = last
        return CurveBlock(
            last,
            end - begin,
            sum(losses) / len(losses),
            sum(steps.learning_rate[begin:end]) / len(losses) * stands_for,
            sum(steps.gradient_norm[begin:end]) / len(losses),
        )


def _merged(one: CurveBlock, two: CurveBlock) -> CurveBlock:
    return CurveBlock(
        two.last,
        one.count + two.count,
        (one.loss + two.loss) / 2,
        one.rates + two.rates,
        (one.norm + two.norm) / 2,
    )


def _steps(curves: Curves, kind: type[Event]) -> list[int]:
    """The steps of the events of a kind."""
    return [one.event.step for one in curves.events if isinstance(one.event, kind)]


def _number(facts: dict[str, Any], name: str) -> float:
    try:
        return float(facts.get(name) or 0)
    except (TypeError, ValueError):
        return 0.0


def summary(verdict: Verdict) -> str:
    """A verdict as one line of plain text: what, since when, evidence, and what to try."""
    since = f" since step {verdict.since:,}" if verdict.since is not None else ""
    sure = "" if verdict.certainty == "certain" else f" ({verdict.certainty})"
    text = f"{verdict.short}{since}{sure}: {verdict.evidence}" if verdict.word else verdict.evidence
    changes = " ".join(f"--set {one}" for one in verdict.remedy)
    advice = f"; try {verdict.advice}" if verdict.advice else ""
    return text + advice + (f" ({changes})" if changes else "")


def of_run(run: Run, *, copied: bool = True) -> tuple[Verdict, ...]:
    """The verdicts on a run from its files alone.

    With `copied`, also check whether its samples copy the training text: about a second per ten
    million tokens.

    Raises:
        RunError: `run.json` cannot be read.
    """
    curves = Curves(run)
    curves.read()
    try:
        preset = run.preset()
    except SlmTuiError:
        preset = None
    info, gathering = run.info(), EvidenceBuilder(preset)
    if copied:
        from slm_tui.runs.copied_samples import of_samples

        gathering.copying = of_samples(str(info.facts.get("corpus") or ""), curves.samples)
    return diagnose(gathering.evidence(curves, info))
