"""The budget of a preset: estimated cost and warnings, from the preset alone."""

from typing import Any

from textual.content import Content
from textual.widget import Widget

from slm_tui.config import estimate
from slm_tui.config.drafts import Draft
from slm_tui.config.estimate import Calibration, Estimate
from slm_tui.config.preset import Preset
from slm_tui.formatting import count, duration, ratio_text, size
from slm_tui.text import one_line
from slm_tui.tui.theme import MUTED

_FAR_BELOW = estimate.FEW_TOKENS_PER_PARAMETER
# Muennighoff et al. 2023 (arXiv:2305.16264): up to four epochs are nearly as good as new data.
_MANY_EPOCHS = estimate.MANY_EPOCHS
_NOT_MEASURED = "not measured yet"


class Budget(Widget):
    """Shows the full budget, or two lines on a narrow screen."""

    DEFAULT_CSS = "Budget { height: auto; padding: 0 1; }"

    def __init__(self, *, id: str | None = None, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._draft: Draft | None = None
        self._shown_values: tuple[Preset | None, Calibration | None, tuple[str, ...]] = (
            None,
            None,
            (),
        )
        self._estimate: Estimate | None = None

    def show(self, draft: Draft | None, calibration: Calibration | None) -> None:
        """Show the cost of `draft`; repaints only on a change."""
        preset = draft.preset if draft else None
        shown = (preset, calibration, tuple(draft.problems) if draft else ())
        if shown == self._shown_values and draft is self._draft:
            return
        self._draft, self._shown_values = draft, shown
        self._estimate = estimate.estimate(preset, calibration=calibration) if preset else None
        self.refresh(layout=True)

    def render(self) -> Content:
        if self._draft is None:
            return Content("")
        short = self.screen.has_class("-narrow")
        lines = self._two_lines() if short else self._all_lines()
        return Content("\n").join(line for line in lines)

    def _two_lines(self) -> list[Content]:
        width = self.content_size.width
        facts = _facts(self._estimate)
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
            for name, value, sign in _facts(self._estimate)
        ]
        warned = self._warnings()
        return lines + ([Content(""), *warned] if warned else [])

    def _warnings(self) -> list[Content]:
        assert self._draft is not None
        wrong = [
            Content.styled(f"✗ {one_line(f'{path}: {problem.message}')}", "$text-error")
            for path, problem in self._draft.problems.items()
        ]
        preset = self._draft.preset
        unwise = warnings(preset, self._estimate) if preset and self._estimate else []
        return wrong + [Content.styled(f"▲ {text}", "$text-warning") for text in unwise]


def _in_a_row(facts: list[tuple[str, str, str]]) -> Content:
    return Content("  ").join(
        Content.assemble((f"{name} ", MUTED), (value, "bold"), (sign, "$text-warning"))
        for name, value, sign in facts
    )


def _facts(cost: Estimate | None) -> list[tuple[str, str, str]]:
    """`(name, value, sign)`; for an invalid preset each value is a dash."""
    if cost is None:
        names = ("params", "non-embedding", "memory", "checkpoint", "tokens/step", "tokens")
        return [(name, "–", "") for name in (*names, "epochs", "tokens/param", "time")]
    ratio, epochs = cost.tokens_per_parameter, cost.epochs
    timed: Any = f"~{duration(cost.seconds)}" if cost.seconds is not None else None
    return [
        ("params", count(cost.parameters), ""),
        ("non-embedding", count(cost.non_embedding), ""),
        ("memory", f"~{size(cost.memory_bytes)}", ""),
        ("checkpoint", size(cost.checkpoint_bytes), ""),
        ("tokens/step", f"{cost.tokens_per_step:,}", ""),
        ("tokens", count(cost.tokens), ""),
        ("epochs", "unknown" if epochs is None else ratio_text(epochs), ""),
        (
            "tokens/param",
            "unknown" if ratio is None else ratio_text(ratio),
            " ▲" if ratio is not None and ratio < _FAR_BELOW else "",
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
    ratio, epochs = cost.tokens_per_parameter, cost.epochs
    if ratio is not None and ratio < _FAR_BELOW:
        texts.append(f"{ratio_text(ratio)} tokens per parameter: may overfit (about 20 is ideal)")
    if epochs is not None and epochs > _MANY_EPOCHS:
        texts.append(
            f"{ratio_text(epochs)} passes over the text: little is gained beyond {_MANY_EPOCHS}"
        )
    return texts
