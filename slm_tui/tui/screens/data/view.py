"""What the Data screen shows of a corpus: summary, verdicts, or why there is none."""

import textwrap
from typing import TYPE_CHECKING

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from slm_tui.config.estimate import (
    COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER,
    MANY_EPOCHS,
    estimate,
    few_tokens_per_parameter,
)
from slm_tui.config.preset import Preset
from slm_tui.formatting import count, ratio_text, size
from slm_tui.live.data_worker import CorpusSnapshot
from slm_tui.text import one_line, visible
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.status_line import bar

if TYPE_CHECKING:
    from slm_tui.corpus.statistics import PartStatistics, Statistics

PART_NAMES = {"train": "training", "val": "validation", "test": "test"}
_MOST_VERDICTS = 3
# `d` shows all.
_MOST_NOTES = 2
_FACT_WIDTH = 39
_LABEL = 10
_COLUMNS = {"documents": 10, "tokens": 8, "bytes": 9, "bytes/tok": 11, "floor": 7}


class Summary(Widget):
    """Source, tokenizer, splits, and how the preset uses them."""

    DEFAULT_CSS = "Summary { height: auto; width: 1fr; padding: 0 1; }"

    def __init__(self, *, id: str | None = None, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._snapshot = CorpusSnapshot()

    def show(self, snapshot: CorpusSnapshot) -> None:
        self._snapshot = snapshot
        self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        # A grid passes the width of one column; on a narrow screen the summary spans all columns.
        room = self.screen.size.width - 2 if self._is_narrow else width
        return len(self._summary(room))

    @property
    def _is_narrow(self) -> bool:
        return self.screen.has_class("-narrow")

    def _summary(self, width: int) -> list[Content]:
        # A narrow screen has space for one verdict; `d` shows all.
        many = 1 if self._is_narrow else _MOST_VERDICTS
        wraps = self.screen.has_class("-tall") and not self._is_narrow
        return summary(self._snapshot, width, many, wraps=wraps)

    def render(self) -> Content:
        width = self.content_size.width
        lines = [one.truncate(width, ellipsis=True) for one in self._summary(width)]
        return Content("\n").join(lines)


def summary(
    snapshot: CorpusSnapshot, width: int, verdicts: int = _MOST_VERDICTS, *, wraps: bool = False
) -> list[Content]:
    """The lines of the summary; facts are in as many columns as fit in `width`, and verdicts in
    as many lines as they need if it `wraps`."""
    preset, statistics = snapshot.preset, snapshot.statistics
    if preset is None or statistics is None:
        return []
    arrow = Content.styled(" → ", MUTED)
    tokenizer = f"{statistics.tokenizer}, {statistics.n_vocab:,} tokens"
    lines = [Content.styled(source_of(preset), "bold") + arrow + Content(tokenizer)]
    lines += _table(statistics)
    notes = statistics.left_out.get("notes", [])
    lines += [Content.styled(one_line(note, 200), MUTED) for note in notes[:_MOST_NOTES]]
    findings = verdict_lines(snapshot)
    if len(findings) > verdicts:
        findings[verdicts - 1] += Content.styled(
            f"  (+{len(findings) - verdicts}, d shows all)", MUTED
        )
    facts = _facts(snapshot, preset)
    columns = max(1, width // _FACT_WIDTH)
    for at in range(0, len(facts), columns):
        row = [
            fact.pad_right(max(0, _FACT_WIDTH - fact.cell_length)) for fact in facts[at:][:columns]
        ]
        lines.append(Content("").join(row).rstrip())
    if wraps:
        return lines + [part for one in findings[:verdicts] for part in one.wrap(max(8, width))]
    return lines + findings[:verdicts]


def heading(preset: Preset) -> str:
    """The preset, and its text unless that is the built-in stories."""
    name = one_line(preset.title or preset.name)
    return f"{source_of(preset)} · {name}" if preset.data.location_setting else name


def source_of(preset: Preset) -> str:
    """Where the text comes from, on one line that is safe to display."""
    return one_line(preset.data.label, 40)


def _table(statistics: "Statistics") -> list[Content]:
    """A heading and a line for each split that has text."""
    parts = {name: part for name, part in statistics.parts.items() if part.tokens}
    columns = dict(_COLUMNS)
    if all(part.floor is None for part in parts.values()):
        del columns["floor"]
    heading = "".join(name.rjust(width) for name, width in columns.items())
    lines = [Content.styled(" " * _LABEL + heading, MUTED)]
    for name, part in parts.items():
        values = {
            "documents": f"{part.documents:,}" if part.documents < 1e6 else count(part.documents),
            "tokens": count(part.tokens),
            "bytes": size(part.bytes),
            "bytes/tok": f"{part.bytes_per_token:.2f}",
            "floor": "–" if part.floor is None else f"{part.floor:.3f}",
        }
        cells = "".join(values[column].rjust(width) for column, width in columns.items())
        lines.append(Content.assemble((PART_NAMES[name].ljust(_LABEL), MUTED), cells))
    return lines


def _facts(snapshot: CorpusSnapshot, preset: Preset) -> list[Content]:
    plan, statistics = snapshot.plan, snapshot.statistics
    assert plan is not None
    assert statistics is not None
    few = plan.tokens_per_parameter < few_tokens_per_parameter(preset)
    many = plan.epochs is None or plan.epochs > MANY_EPOCHS
    epochs = "no window" if plan.epochs is None else ratio_text(plan.epochs)
    train = statistics.parts["train"]
    span = f"{count(train.shortest)}–{count(train.longest)} tokens"
    if train.documents == 1:
        span = "in one document"
    return [
        _fact(
            "tokens/param",
            ratio_text(plan.tokens_per_parameter),
            f"≈{COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER} is ideal",
            warn=few,
        ),
        _fact("epochs", epochs, f"{count(plan.sequences_per_epoch)} sequences", warn=many),
        _fact("seen", f"{statistics.distinct:,}", f"of {statistics.ordinary:,} tokens"),
        _fact("rare", f"{statistics.rare:,}", "seen < 5 times"),
        _fact("mean length", count(round(train.mean_length)), span),
        _leak(snapshot),
    ]


def _span(part: "PartStatistics") -> str:
    if part.documents == 1:
        return f"one document of {part.longest:,} tokens ({part.bytes:,} bytes)"
    return (
        f"{part.documents:,} documents of {part.shortest:,} to {part.longest:,} tokens, "
        f"mean {part.mean_length:,.0f} ({part.mean_bytes:,.0f} bytes)"
    )


def _leak(snapshot: CorpusSnapshot) -> Content:
    statistics = snapshot.statistics
    assert statistics is not None
    removed = statistics.duplicates_removed
    overlap = statistics.leakage.get("val")
    if overlap is None:
        return _fact("leakage", "–", f"{count(removed)} copies", warn=removed > 0)
    leaks = any(one.topic == "leakage" and not one.is_fine for one in snapshot.verdicts)
    remark = f"val, {count(removed)} copies"
    return _fact("leakage", f"{overlap['share']:.1%}", remark, warn=leaks or removed > 0)


def verdict_lines(snapshot: CorpusSnapshot) -> list[Content]:
    """What to know before training: all problems, or else what is fine, one per line."""
    wrong = [one for one in snapshot.verdicts if not one.is_fine]
    if not wrong:
        fine = "; ".join(one.text for one in snapshot.verdicts)
        return [Content.assemble(("✓ ", "$text-success"), fine)] if fine else []
    return [Content.assemble(("▲ ", "$text-warning"), visible(one.text)) for one in wrong]


def details(snapshot: CorpusSnapshot, width: int) -> list[Content]:
    """Each verdict with its reason, the lengths in each split, and the skipped files."""
    statistics = snapshot.statistics
    if statistics is None:
        return []
    lines: list[Content] = []
    for one in snapshot.verdicts:
        sign = ("✓ ", "$text-success") if one.is_fine else ("▲ ", "$text-warning")
        first, *rest = textwrap.wrap(visible(one.text), width - 2) or [""]
        lines += [Content.assemble(sign, (first, "bold"))]
        lines += [Content.styled(f"  {more}", "bold") for more in rest]
        lines += [
            Content.styled(f"  {more}", MUTED)
            for more in textwrap.wrap(visible(one.why), width - 2)
        ]
    lines.append(Content(""))
    for name, part in statistics.parts.items():
        if part.tokens:
            lines.append(Content.assemble((PART_NAMES[name].ljust(_LABEL + 1), MUTED), _span(part)))
    for name, why in statistics.left_out.get("skipped_files", ()):
        lines.append(Content.assemble(("skipped ", MUTED), one_line(f"{name}: {why}", width - 8)))
    return lines


def _fact(name: str, value: str, remark: str, *, warn: bool = False) -> Content:
    sign = ("▲ ", "$text-warning") if warn else ("  ", "")
    return Content.assemble(
        (name.ljust(12), MUTED), (value.rjust(7), "bold"), " ", sign, (remark, MUTED)
    )


def _what(preset: Preset) -> str:
    """The name of what is prepared."""
    name = one_line(preset.name)
    return f"{source_of(preset)} for {name}" if preset.data.location_setting else name


def missing(preset: Preset, note: str) -> Content:
    """The empty state: what preparing would produce, and the key that starts it."""
    tokens = estimate(preset).train_tokens
    about = one_line(preset.data.content, 40)
    expected = "tokens"
    if tokens:
        weight = size(tokens * preset.tokenizer.bytes_per_token)
        expected = f"about {weight} or {count(tokens)} tokens"
    lines = [
        Content.assemble((_what(preset), "bold"), " is not prepared yet."),
        Content(f"{about} → {expected} for training, {preset.tokenizer.kind}"),
        Content.assemble("Press ", ("p", "bold $text-accent"), " to prepare it."),
    ]
    return Content("\n").join(lines + ([Content(visible(note))] if note else []))


def preparing(snapshot: CorpusSnapshot) -> Content:
    """Stage, progress and time of a preparation, and the key that cancels it."""
    name = _what(snapshot.preset) if snapshot.preset else ""
    progress = snapshot.progress
    lines = [
        Content.assemble("Preparing ", (name, "bold")),
        Content(f"{progress.stage if progress else 'starting'}…"),
    ]
    if progress is not None and progress.share is not None:
        lines.append(Content.assemble(bar(progress.share, 30), f" {progress.share:4.0%}"))
    lines.append(Content(progress.detail if progress else ""))
    lines.append(Content.assemble(("esc", "bold $text-accent"), " cancels"))
    return Content("\n").join(lines)


def failed(snapshot: CorpusSnapshot) -> Content:
    """Why there is no corpus, and what to do."""
    error = snapshot.error
    if error is None:
        return Content("")
    lines = [Content.styled(f"✗ {visible(error.what)}", "$text-error")]
    lines += [Content(visible(error.why))] if error.why else []
    lines += (
        [Content.assemble(("→ ", "$text-success"), visible(error.remedy))] if error.remedy else []
    )
    return Content("\n").join([*lines, Content("Press 1 to edit the preset, p to try again")])
