"""The charts of the Data screen: lengths of documents and tokens, or byte frequencies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget

from slm_tui.formatting import count
from slm_tui.tui.screens.data.view import PART_NAMES
from slm_tui.tui.theme import MUTED

if TYPE_CHECKING:
    from slm_tui.corpus.statistics import Bin, PartStatistics, Statistics

_LEAST_ROWS, _MOST_ROWS = 9, 16
_EIGHTHS = " ▁▂▃▄▅▆▇█"


class Lengths(Widget, can_focus=True):
    """Lengths of documents and tokens, or byte frequencies: as many charts as fit."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "turn(-1)", "Previous chart", show=False),
        Binding("right", "turn(1)", "Next chart", show=False),
    ]
    DEFAULT_CSS = "Lengths { height: 1fr; width: 1fr; padding: 0 1; }"

    def __init__(self, *, id: str | None = None, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._charts: list[DataChart] = []

    def show(self, statistics: "Statistics") -> None:
        self._charts = charts(statistics)
        self.action_turn(0)

    def action_turn(self, direction: int) -> None:
        """Show the next chart first."""
        if self._charts:
            at = direction % len(self._charts)
            self._charts = self._charts[at:] + self._charts[:at]
            arrows = ("◀ ", " ▶") if len(self._charts) > 1 else ("", "")
            self.border_title = Content(self._charts[0].title.join(arrows))
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
class DataChart:
    """`draw(width, height)` returns its lines; `title` is used if it is the only chart."""

    title: str
    caption: str
    remark: str
    draw: Callable[[int, int], list[Content]]


def charts(statistics: "Statistics") -> list[DataChart]:
    """The useful charts: a single document has no length distribution."""
    result = []
    for name, part in statistics.parts.items():
        if part.shortest < part.longest:
            middle = f"median {part.quantile(0.5):,}, 90% up to {part.quantile(0.9):,} tokens"
            title = f"document lengths, mean {count(round(part.mean_length))}"
            draw = partial(_length_lines, part)
            result.append(DataChart(title, f"{PART_NAMES[name]} documents", middle, draw))
    if statistics.byte_counts:
        remark = f"{statistics.distinct} of 256 occur"
        result.append(
            DataChart("bytes 00 to ff", "bytes", remark, partial(_byte_lines, statistics))
        )
    else:
        result.append(
            DataChart(
                "bytes per token",
                "tokens",
                "by length in bytes",
                partial(_token_lines, statistics),
            )
        )
    return result


def _length_lines(part: "PartStatistics", width: int, height: int) -> list[Content]:
    """`height` lines: blocks, and the lengths in tokens under them."""
    # With few documents, narrow bins would show only noise.
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
    """`values` as bars of `height` rows, each `columns` wide; nonzero bars are always visible."""
    most = max(values, default=0) or 1
    eighths = [max(int(value > 0), round(value / most * height * 8)) for value in values]
    rows = []
    for row in range(height - 1, -1, -1):
        cells = (_EIGHTHS[min(8, max(0, one - row * 8))] * columns for one in eighths)
        rows.append("".join(cells))
    return rows


def axis(bins: "Sequence[Bin]", columns: int) -> str:
    """The first and last length, and one in between if space allows."""
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
