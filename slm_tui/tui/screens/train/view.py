"""What the Train screen shows of a run, computed from its log; no widgets here."""

import math
import time
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from textual.content import Content

from slm_tui.config.estimate import (
    COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER,
    FEW_TOKENS_PER_PARAMETER,
    MANY_EPOCHS,
    few_tokens_per_parameter,
)
from slm_tui.errors import SlmTuiError
from slm_tui.evaluation.diagnosis import Verdict, diagnose
from slm_tui.evaluation.diagnosis.outcome import outcome
from slm_tui.formatting import clock, count, ratio_text, size
from slm_tui.live.copy_watcher import CopyWatcher
from slm_tui.live.status import Status
from slm_tui.runs.curves import Curves, LoggedEvent
from slm_tui.runs.evidence import EvidenceBuilder
from slm_tui.runs.info import INFO, LoggedEvaluation, stamp_of
from slm_tui.runs.info import evaluations as evaluations_of
from slm_tui.runs.store import LIVE_STATES, Run, RunInfo
from slm_tui.text import one_line, visible
from slm_tui.training.events import (
    Changed,
    Continued,
    Event,
    Failed,
    Finished,
    Paused,
    Saved,
    Skipped,
    Spiked,
    Started,
    Warned,
    WentBack,
)
from slm_tui.tui.charts.data import MARK, ChartData, HorizontalLine, Series, VerticalLine
from slm_tui.tui.screens.train.compared import RunBefore, run_before
from slm_tui.tui.screens.train.film import sample_body
from slm_tui.tui.screens.train.verdicts import headline_lines, other_line
from slm_tui.tui.theme import MUTED

# How long a screen may wait for the log.
_READ_SECONDS = 0.01
# Seconds after which the record of the run is read, and a verdict on new steps is made, again.
_RECORD_SECONDS = _VERDICT_SECONDS = 2.0
X_MODES = ("steps", "tokens", "time")


@dataclass
class RunView:
    """The view of a run: its curves, facts, and verdict."""

    run: Run
    curves: Curves = field(init=False)
    info: RunInfo = field(default_factory=RunInfo)
    verdicts: tuple[Verdict, ...] = (Verdict("", ""),)
    prompt_settings: str = ""
    metric_targets: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.curves = Curves(self.run)
        self.copying = CopyWatcher()
        self._gathering = EvidenceBuilder(None)
        self._info_at = self._judged_at = -math.inf
        self._info_stamp: tuple[int, ...] = ()
        self._judged_evaluations = 0
        self._is_judged = True
        self._bits: tuple[list[float], list[float]] = ([], [])
        self._few_tokens = FEW_TOKENS_PER_PARAMETER
        self.in_bits = False
        self._compared: tuple[tuple[str, str], RunBefore | None] | None = None
        self._before_read: tuple[str, list[LoggedEvaluation]] | None = None
        self._read_preset()

    def _read_preset(self) -> None:
        try:
            preset = self.run.preset()
        except SlmTuiError:
            return
        self._gathering = EvidenceBuilder(preset)
        self.metric_targets = preset.model.metric_targets
        self._few_tokens = few_tokens_per_parameter(preset)
        sampling = preset.sampling
        self.prompt_settings = f"T {sampling.temperature:g} · seed {sampling.seed}"

    def refresh(self) -> bool:
        """Read new data; return whether there was any."""
        new_steps = self.curves.read(_READ_SECONDS)
        now = time.monotonic()
        changed = self._is_record_due(now) and self._read_info()
        self.copying.ask(str(self.info.facts.get("corpus") or ""), self.curves.samples)
        if self.copying.copying is not self._gathering.copying:
            self._gathering.copying = self.copying.copying
            changed = True
        evaluations = len(self.curves.evaluations.step)
        changed |= evaluations != self._judged_evaluations
        self._is_judged &= not (changed or new_steps)
        # What steps alone tell may be a little late: a verdict takes time from the training.
        is_due = changed or now - self._judged_at > _VERDICT_SECONDS
        # A long log is read in slices: its verdict waits for the end.
        if is_due and not self._is_judged and not self.curves.has_more:
            self._judged_at, self._judged_evaluations = now, evaluations
            self._judge()
            return True
        return changed or new_steps

    def _is_record_due(self, now: float) -> bool:
        """Whether `run.json` was replaced or some time has passed. `live.json`, which is written
        every second, has only figures that are in the log too."""
        stamp = stamp_of(self.run.path, (INFO,))
        if stamp == self._info_stamp and now - self._info_at < _RECORD_SECONDS:
            return False
        self._info_at, self._info_stamp = now, stamp
        return True

    def _read_info(self) -> bool:
        try:
            info = self.run.info()
        except SlmTuiError:
            return False
        before = (self.info.state, self.info.max_steps, len(self.info.facts), self.info.error)
        self.info = info
        return before != (info.state, info.max_steps, len(info.facts), info.error)

    def _judge(self) -> None:
        evidence = self._gathering.evidence(self.curves, self.info)
        if self.in_bits:
            evidence = replace(evidence, unit="bits per byte", per_nat=self._nats_to_bits())
        self.verdicts = diagnose(evidence)
        self._is_judged = True

    def use_bits(self, on: bool) -> None:
        """Give losses in bits per byte, or in nats per token."""
        if on != self.in_bits:
            self.in_bits = on
            self._judge()

    @property
    def verdict(self) -> Verdict:
        """The headline."""
        return self.verdicts[0]

    @property
    def floor(self) -> float | None:
        value = self.info.facts.get("floor_bits_per_byte")
        return float(value) if value is not None else None

    def _nats_to_bits(self) -> float:
        """Factor from nats per token to bits per byte of the training text."""
        per_token = float(self.info.facts.get("train_bytes_per_token") or 1.0)
        return 1 / (math.log(2) * per_token)

    def loss_chart(self, x_mode: str, *, bits: bool) -> ChartData:
        """Raw, smoothed and validation loss, the best checkpoint, the floor, live changes."""
        steps, evaluations = self.curves.steps, self.curves.evaluations
        xs, val_xs = self._xs(x_mode)
        losses, val = steps.loss, evaluations.loss
        if bits:
            losses, val = self._in_bits(), evaluations.bits_per_byte
        series = [
            Series("raw", "raw", xs, losses, "dots"),
            Series("train", "train", xs, losses, "line", smooth=True),
            Series("val", "val", val_xs, val, "points"),
        ]
        best = evaluations.best()
        lines = [VerticalLine(val_xs[best])] if best is not None and len(val_xs) > 1 else []
        lines += [VerticalLine(x, "mark") for x in self._changes(x_mode)]
        note = ""
        if best is not None:
            note = f"best val {val[best]:.3f} @ {evaluations.step[best]:,} {MARK}"
        series += self._before_series(x_mode, bits=bits)
        return ChartData(series, lines, self._floor_line(bits), self._end(x_mode), note)

    def _before_series(self, x_mode: str, *, bits: bool) -> list[Series]:
        """The validation loss of the run that this one is meant to improve on."""
        before = self._before
        if before is None or x_mode == "time":
            return []
        each = float(self.info.facts.get("tokens_per_step") or 1) if x_mode == "tokens" else 1.0
        xs = [one.step * each for one in before]
        ys = [one.bits_per_byte if bits else one.loss for one in before]
        return [Series("before", "mark", xs, ys, "dashed")]

    def outcome_lines(self, *, short: bool = False) -> list[Content]:
        """What remedy this run tries and, once it has ended, whether it helped; `short` without
        the name of the run before."""
        if self._before is None or not self.info.remedy:
            return []
        lines = [Content.assemble(("trying ", MUTED), one_line(self.info.remedy))]
        result = outcome(
            [one.bits_per_byte for one in self._before], self.curves.evaluations.bits_per_byte
        )
        if result is not None and self.info.state not in LIVE_STATES:
            style = "$text-success" if result.is_clear and result.change < 0 else "$text-warning"
            name = "" if short else one_line(self.info.before, 40)
            lines.append(Content.styled(result.sentence(name), style))
        return lines

    @property
    def _before(self) -> list[LoggedEvaluation] | None:
        """The evaluations of the run before, read once; `None` if there is none."""
        name = self.info.before
        if not name or Path(name).name != name:
            return None
        if self._before_read is None or self._before_read[0] != name:
            self._before_read = (name, evaluations_of(self.run.path.with_name(name)))
        return self._before_read[1] or None

    @property
    def spans_decades(self) -> bool:
        """Whether the loss has fallen so far that a linear axis shows only its start."""
        losses = [loss for loss in self.curves.evaluations.loss if loss > 0]
        return len(losses) > 2 and losses[0] > 4 * min(losses)

    def _xs(self, x_mode: str) -> tuple[list[Any], list[Any]]:
        steps, evaluations = self.curves.steps, self.curves.evaluations
        if x_mode == "tokens":
            return steps.tokens, evaluations.tokens
        if x_mode == "time":
            return steps.seconds, evaluations.seconds
        return steps.step, evaluations.step

    def _in_bits(self) -> list[float]:
        """Training losses in bits per byte, as a list that grows with the log."""
        losses, (seen, bits) = self.curves.steps.loss, self._bits
        if seen is not losses or len(bits) > len(losses):
            bits = []
            self._bits = (losses, bits)
        factor = self._nats_to_bits()
        bits += [loss * factor for loss in losses[len(bits) :]]
        return bits

    def _floor_line(self, bits: bool) -> list[HorizontalLine]:
        if self.floor is None:
            return []
        per_token = float(self.info.facts.get("val_bytes_per_token") or 1.0)
        return [HorizontalLine(self.floor if bits else self.floor * math.log(2) * per_token)]

    def _end(self, x_mode: str) -> float | None:
        if x_mode == "steps":
            return float(self.info.max_steps) or None
        if x_mode == "tokens":
            per_step = float(self.info.facts.get("tokens_per_step") or 0)
            return self.info.max_steps * per_step or None
        return None

    def _changes(self, x_mode: str) -> list[float]:
        """Where the user changed the run."""
        xs, _ = self._xs(x_mode)
        steps = self.curves.steps.step
        marks = []
        for one in self.curves.events:
            event = one.event
            if isinstance(event, Changed) and event.what != "threads" and steps:
                at = bisect_left(steps, event.step)
                marks.append(float(xs[min(at, len(xs) - 1)]))
        return marks

    def data_lines(self) -> list[Content]:
        """Data versus model: parameters, tokens, epochs, bits per byte. Old runs have less."""
        facts = self.info.facts
        parameters = float(facts.get("parameters") or 0)
        tokens = float(facts.get("train_tokens") or 0)
        lines = []
        if parameters:
            vocabulary = int(facts.get("n_vocab") or 0)
            lines.append(_pair("parameters", count(parameters), f"vocab {vocabulary:,}"))
        if parameters and tokens:
            size_each = float(facts.get("train_bytes_per_token") or 1)
            lines.append(_pair("train tokens", count(tokens), f"{size_each:.2f} bytes each"))
            lines += self._ratios(parameters, tokens)
        if self.info.val_bpb is not None:
            above = f"floor {self.floor:.3f}" if self.floor else "validation"
            lines.append(_pair("bits per byte", f"{self.info.val_bpb:.3f}", above))
        threads = _threads(facts["threads"]) if "threads" in facts else ""
        return [*lines, _pair("time", clock(self.info.elapsed_seconds), threads)]

    def _ratios(self, parameters: float, tokens: float) -> list[Content]:
        ideal = COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER
        ratio = tokens / parameters
        epochs = self.info.tokens_seen / tokens
        return [
            _pair(
                "tokens/param",
                ratio_text(ratio) + (" ▲" if ratio < self._few_tokens else ""),
                f"≈{ideal} is ideal",
            ),
            _pair(
                "epochs", ratio_text(epochs) + (" ▲" if epochs > MANY_EPOCHS else ""), "seen so far"
            ),
        ]

    def verdict_lines(self) -> list[Content]:
        """The verdict, its evidence, and what to try."""
        if self.info.error:
            failed = [
                Content.styled("✗ FAILED", "bold $text-error"),
                Content(visible(self.info.error)),
            ]
            verdict = self.verdict if self.verdict.sign == "✗" else None
            return failed + (headline_lines(verdict)[2:] if verdict is not None else [])
        return headline_lines(self.verdict)

    def other_verdict_lines(self) -> list[Content]:
        """The names of the other verdicts."""
        return other_line(self.verdicts[1:])

    @property
    def run_before(self) -> RunBefore | None:
        """The run to compare this one with, read once."""
        names = (self.info.before, self.info.parent)
        if self._compared is None or self._compared[0] != names:
            self._compared = (names, run_before(self.run, self.info))
        return self._compared[1]

    def evaluations(self) -> list[LoggedEvaluation]:
        """The evaluations of this run, as of the run before."""
        logged = self.curves.evaluations
        rows = zip(logged.step, logged.loss, logged.bits_per_byte, strict=False)
        return [LoggedEvaluation(*row) for row in rows]

    def losses_by_step(self) -> dict[int, str]:
        """The validation losses in the current unit, as text."""
        logged = self.curves.evaluations
        losses = logged.bits_per_byte if self.in_bits else logged.loss
        return {step: f"{loss:.3f}" for step, loss in zip(logged.step, losses, strict=False)}

    def sample_lines(self) -> list[Content]:
        """Samples, newest first: step, prompt and continuation."""
        lines: list[Content] = []
        copied = self.copying.copying
        shown: int | None = None
        for sample in reversed(self.curves.samples):
            if sample.step != shown:
                shown = sample.step
                lines.append(Content.styled(f"step {sample.step:,}", "bold $text-accent"))
            if copied is not None and copied.step == sample.step and not lines[:-1]:
                lines.append(Content.styled(copied.short, MUTED))
            lines += [*sample_body(sample), Content("")]
        return lines

    def event_lines(self) -> list[Content]:
        """The events, newest first."""
        lines: list[Content] = []
        saved: int | None = None
        for one in reversed(self.curves.events):
            # A manual checkpoint that is also the best is a single checkpoint.
            is_saved = isinstance(one.event, Saved)
            again = is_saved and one.event.step == saved
            saved = one.event.step if is_saved else saved
            line = None if again else event_line(one)
            if line is not None:
                lines.append(line)
        return lines


def _threads(number: Any) -> str:
    return "1 CPU thread" if int(number) == 1 else f"{int(number)} CPU threads"


def _pair(label: str, value: str, remark: str = "") -> Content:
    return Content.assemble((f"{label:13}", MUTED), (f"{value:>9} ", "bold"), (remark, MUTED))


_KINDS = {"best": " best so far", "manual": " kept", "last": " last"}


def event_line(logged: LoggedEvent) -> Content | None:
    """An event as a line; `None` if it is not worth showing."""
    text = _event_text(logged.event)
    if text is None:
        return None
    sign, style = _sign(logged.event)
    at = time.strftime("%H:%M:%S", time.localtime(logged.timestamp))
    return Content.assemble((f"{at} ", MUTED), (f"{sign} ", style), one_line(text))


def _sign(event: Event) -> tuple[str, str]:
    match event:
        case Saved():
            return "✓", "$text-success"
        case Warned() | Skipped() | Spiked() | WentBack():
            return "▲", "$text-warning"
        case Failed():
            return "✗", "$text-error"
        case Finished():
            return "■", "$text-success"
    return "·", MUTED


def _event_text(event: Event) -> str | None:
    step = f"{event.step:,}"
    match event:
        case Saved():
            what = _KINDS.get(event.kind, "")
            return f"checkpoint {step}{what} ({size(event.bytes)}, {event.seconds:.2f} s)"
        case Warned() | Skipped() | Spiked() | WentBack():
            return event.message
        case Failed():
            return f"failed at step {step}: {event.error}"
        case Finished():
            ending = "finished" if event.reason == "done" else event.reason
            return f"{ending} at step {step}"
        case Changed(what="learning_rate"):
            return f"step {step}: learning rate × {event.value:g}"
        case Changed(what="threads"):
            return f"step {step}: using {_threads(event.value)}"
        case Changed():
            return f"step {step}: extended to {int(event.value):,} steps"
        case Started():
            return f"training from step {step}"
        case Paused():
            return f"paused at {step}" + (f": {event.reason}" if event.reason else "")
        case Continued():
            return f"resumed at {step}"
    return None


def preparing(status: Status) -> str:
    """What is being done before the first step, with progress; or why the run did not start."""
    if status.error:
        return status.error
    share = f"{status.progress:.0%}" if status.progress and status.stage else "…"
    return f"{status.stage or 'the first step'} {share}  {status.pace}".rstrip()


def in_two_lines(verdict: list[Content], others: list[Content], width: int) -> list[Content]:
    """The verdict in two lines of at most `width` cells: its name with the evidence, which may
    continue on the second, then the advice, the keys, and other verdicts, as far as they fit."""
    if len(verdict) < 3:
        return verdict[:2]
    return _wrapped_before(Content(": ").join(verdict[:2]), [*verdict[2:], *others], width)


def outcome_in_two_lines(told: Content, verdict: list[Content], width: int) -> list[Content]:
    """Whether a remedy helped, and the name of the current verdict, in two lines."""
    return _wrapped_before(told, verdict[:1], width)


def _wrapped_before(text: Content, others: list[Content], width: int) -> list[Content]:
    """`text` in one line or two, and after it those of `others` that fit as a whole."""
    wrapped = text.wrap(max(1, width))
    last = [] if len(wrapped) == 1 else wrapped[1:]
    for one in others:
        for part in (one, *_shorter(one)):
            if sum(each.cell_length + 2 for each in [*last, part]) <= width + 2:
                last.append(part)
                break
    return [wrapped[0].rstrip(), Content("  ").join(last)]


def _shorter(keys: Content) -> list[Content]:
    """A line of keys with fewer of them."""
    parts = keys.split(" · ")
    return [Content(" · ").join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
