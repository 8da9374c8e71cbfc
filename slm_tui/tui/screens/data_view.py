"""What the Data screen shows of a corpus: the summary, document lengths, frequent tokens."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from slm_tui.config.data import DirectoryData, FileData, HuggingFaceData, StoriesData
from slm_tui.config.estimate import (
    COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER,
    bytes_per_token,
    estimate,
)
from slm_tui.config.preset import Preset
from slm_tui.figures import count, ratio_text, size
from slm_tui.text import one_line, visible
from slm_tui.tui.screens.data_worker import Snapshot
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.line_list import LineList, Row
from slm_tui.tui.widgets.status_line import bar

if TYPE_CHECKING:
    from slm_tui.corpus.statistics import Bin, PartStatistics, Statistics, TokenCount

PART_NAMES = {"train": "training", "val": "validation", "test": "test"}
# The same bounds as the budget of a preset warns at.
_FEW_TOKENS_PER_PARAMETER = COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER / 4
_MANY_EPOCHS = 4
_FACT_WIDTH = 39
_LABEL = 10
_COLUMNS = {"documents": 10, "tokens": 8, "bytes": 9, "bytes/tok": 11, "floor": 7}
_LEAST_ROWS, _MOST_ROWS = 9, 16
_EIGHTHS = " ▁▂▃▄▅▆▇█"


class Summary(Widget):
    """Source, tokenizer, parts, and what the preset makes of them."""

    DEFAULT_CSS = "Summary { height: auto; width: 1fr; padding: 0 1; }"

    def __init__(self, *, id: str | None = None, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._snapshot = Snapshot()

    def show(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        # A grid asks with the width of one column; on a narrow screen the summary spans them all.
        spans = self.screen.has_class("-narrow")
        return len(summary(self._snapshot, self.screen.size.width - 2 if spans else width))

    def render(self) -> Content:
        width = self.content_size.width
        lines = [one.truncate(width, ellipsis=True) for one in summary(self._snapshot, width)]
        return Content("\n").join(lines)


def summary(snapshot: Snapshot, width: int) -> list[Content]:
    """The lines of the summary; facts stand in as many columns as `width` has room for."""
    preset, statistics = snapshot.preset, snapshot.statistics
    if preset is None or statistics is None:
        return []
    arrow = Content.styled(" → ", MUTED)
    tokenizer = f"{statistics.tokenizer}, {statistics.n_vocab:,} tokens"
    lines = [Content.styled(source_of(preset), "bold") + arrow + Content(tokenizer)]
    lines += _table(statistics)
    if preset.data.split.validation and not statistics.parts["val"].tokens:
        lines.append(
            Content.styled("▲ validation is empty: training has all its text", "$text-warning")
        )
    facts = _facts(snapshot)
    columns = max(1, width // _FACT_WIDTH)
    for at in range(0, len(facts), columns):
        row = [
            fact.pad_right(max(0, _FACT_WIDTH - fact.cell_length)) for fact in facts[at:][:columns]
        ]
        lines.append(Content("").join(row).rstrip())
    return lines


def source_of(preset: Preset) -> str:
    """Where the text comes from, on one safe line."""
    data = preset.data
    if isinstance(data, StoriesData):
        return f"stories, {data.richness}"
    if isinstance(data, FileData | DirectoryData):
        return one_line(Path(data.path).name, 40)
    assert isinstance(data, HuggingFaceData)
    return one_line(data.dataset, 40)


def _table(statistics: "Statistics") -> list[Content]:
    """A heading and a line for each part that has text."""
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


def _facts(snapshot: Snapshot) -> list[Content]:
    plan, statistics = snapshot.plan, snapshot.statistics
    assert plan is not None
    assert statistics is not None
    few = plan.tokens_per_parameter < _FEW_TOKENS_PER_PARAMETER
    many = plan.epochs is None or plan.epochs > _MANY_EPOCHS
    epochs = "no window" if plan.epochs is None else ratio_text(plan.epochs)
    gone = statistics.duplicates_removed
    facts = [
        _fact(
            "tokens/param",
            ratio_text(plan.tokens_per_parameter),
            f"≈{COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER} is ideal",
            warn=few,
        ),
        _fact("epochs", epochs, f"{count(plan.sequences_per_epoch)} sequences", warn=many),
        _fact("seen", f"{statistics.distinct:,}", f"of {statistics.ordinary:,} tokens"),
        _fact("rare", f"{statistics.rare:,}", "seen < 5 times"),
        _fact("duplicates", f"{gone:,}", "removed", warn=gone > 0),
    ]
    if statistics.floor is not None:
        facts.append(_fact("floor", f"{statistics.floor:.3f}", "bits per byte"))
    return facts


def _fact(name: str, value: str, remark: str, *, warn: bool = False) -> Content:
    sign = ("▲ ", "$text-warning") if warn else ("  ", "")
    return Content.assemble(
        (name.ljust(12), MUTED), (value.rjust(7), "bold"), " ", sign, (remark, MUTED)
    )


class Lengths(Widget, can_focus=True):
    """How long documents and tokens are, or which bytes there are: as many charts as fit."""

    DEFAULT_CSS = "Lengths { height: 1fr; width: 1fr; padding: 0 1; }"

    def __init__(self, *, id: str | None = None, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._charts: list[Chart] = []

    def show(self, statistics: "Statistics") -> None:
        self._charts = charts(statistics)
        self.border_title = Content(self._charts[0].title)
        self.refresh()

    def render(self) -> Content:
        width, height = self.content_size
        if not self._charts or width < 8 or height < 2:
            return Content("")
        many = max(1, min(len(self._charts), height // _LEAST_ROWS))
        each = min(_MOST_ROWS, height // many)
        lines: list[Content] = []
        for chart in self._charts[:many]:
            if many == 1:
                lines = chart.draw(width, each)
                break
            caption = Content.assemble(chart.caption, (f"  {chart.remark}", MUTED))
            lines += [caption, *chart.draw(width, each - 2), Content("")]
        return Content("\n").join(line.truncate(width, ellipsis=True) for line in lines)


@dataclass(frozen=True)
class Chart:
    """`draw(width, height)` gives its lines; `title` is for when it stands alone."""

    title: str
    caption: str
    remark: str
    draw: Callable[[int, int], list[Content]]


def charts(statistics: "Statistics") -> list[Chart]:
    """What is worth drawing: a single document has no distribution of lengths."""
    found = []
    for name, part in statistics.parts.items():
        if part.shortest < part.longest:
            middle = f"median {part.quantile(0.5):,}, 9 in 10 up to {part.quantile(0.9):,} tokens"
            title = f"document lengths, mean {count(round(part.mean_length))}"
            draw = partial(_length_lines, part)
            found.append(Chart(title, f"{PART_NAMES[name]} documents", middle, draw))
    if statistics.byte_counts:
        remark = f"{statistics.distinct} of 256 occur"
        found.append(Chart("bytes 00 to ff", "bytes", remark, partial(_byte_lines, statistics)))
    else:
        found.append(
            Chart(
                "bytes per token",
                "tokens",
                "by their length in bytes",
                partial(_token_lines, statistics),
            )
        )
    return found


def _length_lines(part: "PartStatistics", width: int, height: int) -> list[Content]:
    """`height` lines: blocks, and the lengths in tokens under them."""
    # With few documents narrow bins show chance only.
    most = max(10, round(2 * part.documents**0.5))
    choices = [part.histogram(max(1, min(most, width // at))) for at in (1, 2, 3, 4)]
    wide_enough = (bins for bins in choices if width // len(bins) * len(bins) >= 0.7 * width)
    bins = next(wide_enough, choices[0])
    columns = width // len(bins)
    values = [one.documents for one in bins]
    return _drawn(values, height, columns, axis(bins, columns))


def _byte_lines(statistics: "Statistics", width: int, height: int) -> list[Content]:
    """All 256 bytes in a power of two of columns, with hexadecimal values under them."""
    columns = next((one for one in (256, 128, 64, 32) if one <= width), 16)
    each = 256 // columns
    counts = statistics.byte_counts or ()
    values = [sum(counts[at : at + each]) for at in range(0, 256, each)]
    scale = "".join(f"{at * 32:02x}".ljust(columns // 8) for at in range(8))
    return _drawn(values, height, 1, scale)


def _token_lines(statistics: "Statistics", width: int, height: int) -> list[Content]:
    """How many tokens of the text have one byte, two, and so on."""
    values = statistics.token_lengths[1:][:width] or (0,)
    columns = max(1, min(6, width // len(values)))
    labels = (str(at).center(columns) for at in range(1, len(values) + 1))
    last = str(len(values))
    scale = "1" + last.rjust(len(values) * columns - 1)
    return _drawn(values, height, columns, "".join(labels) if columns > len(last) else scale)


def _drawn(values: Sequence[int], height: int, columns: int, scale: str) -> list[Content]:
    lines = [Content.styled(row, "$primary") for row in blocks(values, height - 1, columns)]
    return [*lines, Content.styled(scale, MUTED)]


def blocks(values: Sequence[int], height: int, columns: int = 1) -> list[str]:
    """`values` as bars of `height` rows, each `columns` wide; what is not zero can be seen."""
    most = max(values, default=0) or 1
    eighths = [max(int(value > 0), round(value / most * height * 8)) for value in values]
    rows = []
    for row in range(height - 1, -1, -1):
        cells = (_EIGHTHS[min(8, max(0, one - row * 8))] * columns for one in eighths)
        rows.append("".join(cells))
    return rows


def axis(bins: "Sequence[Bin]", columns: int) -> str:
    """The first length, the last, and one between where there is room."""
    width = len(bins) * columns
    last = bins[-1]
    widened = len(bins) > 1 and last.high - last.low > bins[0].high - bins[0].low
    end = f"{last.low:,}–{last.high - 1:,}" if widened else f"{last.high - 1:,} tokens"
    first = f"{bins[0].low:,}"
    middle = bins[len(bins) // 2]
    line = first.ljust(len(bins) // 2 * columns) + f"{middle.low:,}"
    if len(first) + 2 > len(bins) // 2 * columns or len(line) + 2 + len(end) > width:
        line = first
    return line + end.rjust(max(len(end) + 1, width - len(line)))


class TokenTable(LineList):
    """The most frequent tokens of the training part."""

    def __init__(self, *, id: str | None = None, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._statistics: Statistics | None = None
        self._tokens: dict[str, TokenCount] = {}

    def show(self, statistics: "Statistics") -> None:
        if statistics is self._statistics:
            return
        self._statistics = statistics
        self._tokens = {str(at): one for at, one in enumerate(statistics.frequent, 1)}
        self.border_title = "most frequent " + ("bytes" if statistics.byte_counts else "tokens")
        self.set_rows([Row(key) for key in self._tokens])

    def draw_row(self, row: Row, index: int, width: int) -> Content:
        statistics, token = self._statistics, self._tokens.get(row.key)
        if statistics is None or token is None:
            return row.content
        total = statistics.parts["train"].tokens
        return token_line(row.key, token, total, statistics.frequent[0].count, width)

    def as_text(self) -> str:
        """The table as tab-separated lines."""
        lines = [f"{token_name(one.data)}\t{one.count}" for one in self._tokens.values()]
        return "\n".join(["token\tcount", *lines])


def token_line(rank: str, token: "TokenCount", total: int, most: int, width: int) -> Content:
    """Rank, token, count, share of all tokens, and a bar where there is room."""
    name_width = max(6, min(18, width - 22))
    share = token.count / total
    name = Content(one_line(token_name(token.data), name_width))
    room = width - name_width - 23
    line = Content.assemble(
        (rank.rjust(4) + " ", MUTED),
        name.pad_right(max(0, name_width - name.cell_length)),
        count(token.count).rjust(8),
        (f"{share:7.2%}", MUTED),
    )
    if room >= 5:
        line += Content(" ") + bar(token.count / most, min(room, 24))
    return line


def token_name(data: bytes) -> str:
    """A token in quotes, so that its spaces can be seen."""
    from slm_tui.corpus.statistics import shown

    return f"'{one_line(shown(data))}'"


def missing(preset: Preset, note: str) -> Content:
    """The empty state: what preparing would make, and the key that does it."""
    tokens = estimate(preset).train_tokens
    about = source_of(preset)
    if isinstance(preset.data, StoriesData):
        about = f"{preset.data.documents:,} stories ({preset.data.richness})"
    expected = "tokens"
    if tokens:
        weight = size(tokens * bytes_per_token(preset))
        expected = f"about {weight} or {count(tokens)} tokens"
    lines = [
        Content.assemble((one_line(preset.name), "bold"), " is not prepared yet."),
        Content(f"{about} → {expected} for training, {preset.tokenizer.kind}"),
        Content.assemble("Press ", ("p", "bold $text-accent"), " to prepare it."),
    ]
    return Content("\n").join(lines + ([Content(visible(note))] if note else []))


def preparing(snapshot: Snapshot) -> Content:
    """Stage, share and time of a preparation, and the key that ends it."""
    name = snapshot.preset.name if snapshot.preset else ""
    told = snapshot.progress
    lines = [
        Content.assemble("Preparing ", (one_line(name), "bold")),
        Content(f"{told.stage if told else 'starting'}…"),
    ]
    if told is not None and told.share is not None:
        lines.append(Content.assemble(bar(told.share, 30), f" {told.share:4.0%}"))
    lines.append(Content(told.detail if told else ""))
    lines.append(Content.assemble(("esc", "bold $text-accent"), " cancels"))
    return Content("\n").join(lines)


def failed(snapshot: Snapshot) -> Content:
    """Why there is no corpus, and what helps."""
    error = snapshot.error
    if error is None:
        return Content("")
    lines = [Content.styled(f"✗ {visible(error.what)}", "$text-error")]
    lines += [Content(visible(error.why))] if error.why else []
    lines += (
        [Content.assemble(("→ ", "$text-success"), visible(error.remedy))] if error.remedy else []
    )
    return Content("\n").join([*lines, Content("1 goes to the preset, p tries again")])
