"""The budget of a preset: estimated cost and warnings, from the preset alone."""

import os
import sys
import time
from typing import TYPE_CHECKING, Any

from textual.content import Content
from textual.widget import Widget

from slm_tui.config import estimate
from slm_tui.config.drafts import Draft
from slm_tui.config.estimate import Calibration, Estimate
from slm_tui.config.preset import Preset
from slm_tui.config.usual import usual_values
from slm_tui.formatting import count, duration, ratio_text, size
from slm_tui.live.background import Background
from slm_tui.text import one_line
from slm_tui.tui.theme import MUTED

if TYPE_CHECKING:
    from slm_tui.corpus.known import CorpusSize

_NOT_MEASURED = "not measured yet"
_NAMES = (
    *("params", "vocabulary", "non-embedding", "memory", "checkpoint", "tokens/step", "tokens"),
    *("epochs", "tokens/param", "time"),
)
_POLL_SECONDS = 0.05
# A corpus may be prepared, or its text changed, meanwhile: look again after this time.
_LOOK_AGAIN_SECONDS = 5.0


class Budget(Widget):
    """Shows the full budget, or two lines on a narrow screen."""

    DEFAULT_CSS = "Budget { height: auto; padding: 0 1; }"

    def __init__(self, *, id: str | None = None, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._draft: Draft | None = None
        self._shown_values: tuple[Preset | None, Calibration | None, tuple[str, ...], str] = (
            None,
            None,
            (),
            "",
        )
        self._estimate: Estimate | None = None
        self._sizes = PreparedSizes()

    def show(self, draft: Draft | None, calibration: Calibration | None, varied: str = "") -> None:
        """Show the cost of `draft`, and in `varied` that of all its variations; repaints only on a
        change."""
        preset = draft.preset if draft else None
        if preset is not None and self._sizes.look(preset):
            self.set_timer(_POLL_SECONDS, self._found)
        shown = (preset, calibration, tuple(draft.problems) if draft else (), varied)
        if shown == self._shown_values and draft is self._draft:
            return
        self._draft, self._shown_values = draft, shown
        self._estimate_again()
        self.refresh(layout=True)

    def _estimate_again(self) -> None:
        preset, calibration, *_ = self._shown_values
        self._estimate = None
        if preset is not None:
            known = self._sizes.of(preset)
            self._estimate = estimate.estimate(
                preset,
                n_vocab=known.n_vocab if known else None,
                train_tokens=known.train_tokens if known else None,
                calibration=calibration,
            )

    def _found(self) -> None:
        if not self._sizes.take():
            self.set_timer(_POLL_SECONDS, self._found)
            return
        before = self._estimate
        self._estimate_again()
        if self._estimate != before:
            self.refresh(layout=True)

    def render(self) -> Content:
        if self._draft is None:
            return Content("")
        short = self.screen.has_class("-narrow")
        lines = self._two_lines() if short else self._all_lines()
        if varied := self._shown_values[3]:
            at = 0 if short else len(lines)
            lines.insert(at, Content.styled(f"varied: {varied}", "$text-accent"))
            lines = lines[:2] if short else lines
        return Content("\n").join(line for line in lines)

    def _two_lines(self) -> list[Content]:
        width = self.content_size.width
        facts = self._facts()
        first = ("params", "memory", "epochs", "tokens/param", "time")
        lines = [_in_a_row([one for one in facts if one[0] in first and one[1] != _NOT_MEASURED])]
        warned = self._warnings()
        if len(warned) > 1:
            more = Content.styled(f"  +{len(warned) - 1}", MUTED)
            lines.append(warned[0].truncate(max(1, width - 5), ellipsis=True) + more)
        elif warned:
            lines.append(warned[0])
        else:
            others = ("tokens/step", "tokens", "checkpoint")
            lines.append(_in_a_row([one for one in facts if one[0] in others]))
        return [line.truncate(width, ellipsis=True) for line in lines]

    def _all_lines(self) -> list[Content]:
        lines = [
            Content.assemble(
                (name.ljust(14), MUTED),
                (value, MUTED if value == _NOT_MEASURED else "bold"),
                (sign, "$text-warning"),
            )
            for name, value, sign in self._facts()
        ]
        lines += self._usual_lines()
        warned = self._warnings()
        return lines + ([Content(""), *warned] if warned else [])

    def _facts(self) -> list[tuple[str, str, str]]:
        preset = self._draft.preset if self._draft else None
        few = estimate.few_tokens_per_parameter(preset) if preset is not None else 0.0
        return _facts(self._estimate, few)

    def _usual_lines(self) -> list[Content]:
        preset = self._draft.preset if self._draft else None
        values = (
            usual_values(preset, self._estimate.parameters) if preset and self._estimate else None
        )
        if values is None:
            return []
        pairs = [("batch", values.batch), ("rate", values.learning_rate), ("steps", values.steps)]
        return [Content.styled(f"{f'typical {name}':<14}{value}", MUTED) for name, value in pairs]

    def _warnings(self) -> list[Content]:
        assert self._draft is not None
        wrong = [
            Content.styled(f"✗ {one_line(f'{path}: {problem.message}')}", "$text-error")
            for path, problem in self._draft.problems.items()
        ]
        preset = self._draft.preset
        unwise = warnings(preset, self._estimate) if preset and self._estimate else []
        return wrong + [Content.styled(f"▲ {text}", "$text-warning") for text in unwise]


class PreparedSizes:
    """The sizes of prepared corpora, looked up in a thread: a checksum may take a while."""

    def __init__(self) -> None:
        self._known: dict[str, CorpusSize | None] = {}
        self._asked: tuple[str, float] = ("", 0.0)
        self._work: Background[tuple[str, CorpusSize | None] | None] = Background("sizes", None)

    def of(self, preset: Preset) -> "CorpusSize | None":
        """What is known by now."""
        return self._known.get(_corpus_key(preset))

    def look(self, preset: Preset) -> bool:
        """Look for the corpus of `preset`, unless that was just done; whether it was begun."""
        key, now = _corpus_key(preset), time.monotonic()
        # The first frame does not wait for heavy libraries; a later look finds them loaded.
        if self._work.is_busy or "numpy" not in sys.modules:
            return False
        if self._asked[0] == key and now - self._asked[1] < _LOOK_AGAIN_SECONDS:
            return False
        self._asked = key, now

        def found(cancel: object) -> "tuple[str, CorpusSize | None]":
            from slm_tui.corpus.known import size_of

            return key, size_of(preset)

        self._work.start(found, lambda error: (key, None), "the corpus cannot be read")
        return True

    def take(self) -> bool:
        """Take in the result of `look`; `False` if it is still busy."""
        if self._work.is_busy:
            return False
        found, self._work.snapshot = self._work.snapshot, None
        if found is not None:
            self._known[found[0]] = found[1]
        return True


def _corpus_key(preset: Preset) -> str:
    return preset.data.model_dump_json() + preset.tokenizer.model_dump_json()


def _in_a_row(facts: list[tuple[str, str, str]]) -> Content:
    return Content("  ").join(
        Content.assemble((f"{name} ", MUTED), (value, "bold"), (sign, "$text-warning"))
        for name, value, sign in facts
    )


def _facts(cost: Estimate | None, few: float) -> list[tuple[str, str, str]]:
    """`(name, value, sign)`; for an invalid preset each value is a dash."""
    if cost is None:
        return [(name, "–", "") for name in _NAMES]
    ratio, epochs = cost.tokens_per_parameter, cost.epochs
    timed: Any = f"~{duration(cost.seconds)}" if cost.seconds is not None else None
    return [
        ("params", count(cost.parameters), ""),
        ("vocabulary", f"{cost.n_vocab:,}", ""),
        ("non-embedding", count(cost.non_embedding), ""),
        ("memory", f"~{size(cost.memory_bytes)}", ""),
        ("checkpoint", size(cost.checkpoint_bytes), ""),
        ("tokens/step", f"{cost.tokens_per_step:,}", ""),
        ("tokens", count(cost.tokens), ""),
        ("epochs", "unknown" if epochs is None else ratio_text(epochs), ""),
        (
            "tokens/param",
            "unknown" if ratio is None else ratio_text(ratio),
            " ▲" if ratio is not None and ratio < few else "",
        ),
        ("time", timed or _NOT_MEASURED, ""),
    ]


def warnings(preset: Preset, cost: Estimate) -> list[str]:
    """Warnings about settings that are valid but look unwise."""
    training, texts = preset.training, []
    steps = training.max_steps
    if training.early_stop_patience is not None and training.early_stop_patience >= steps:
        texts.append(f"early_stop_patience has no effect in {steps:,} steps")
    if training.evaluate_every > steps:
        texts.append("evaluated only at the start and the end")
    if training.sample_every > steps:
        texts.append("no samples before the end")
    texts += _long_time(preset, cost)
    ratio, epochs = cost.tokens_per_parameter, cost.epochs
    if ratio is not None and ratio < estimate.few_tokens_per_parameter(preset):
        texts.append(f"{ratio_text(ratio)} tokens per parameter: may overfit (about 20 is ideal)")
    if epochs is not None and epochs > estimate.MANY_EPOCHS:
        most = estimate.MANY_EPOCHS
        texts.append(f"{ratio_text(epochs)} passes over the text: little is gained beyond {most}")
    return texts


def _long_time(preset: Preset, cost: Estimate) -> list[str]:
    """A warning if training takes more than a day, measured or at the least."""
    if cost.seconds is not None:
        is_long = cost.seconds > estimate.DAY
        return [f"takes about {duration(cost.seconds)} on this machine"] if is_long else []
    if preset.training.device not in ("auto", "cpu"):
        return []
    seconds = estimate.least_seconds_on_cpu(preset, os.cpu_count() or 1)
    if seconds <= estimate.DAY:
        return []
    return [f"takes at least {duration(seconds)} on this CPU: meant for a GPU"]
