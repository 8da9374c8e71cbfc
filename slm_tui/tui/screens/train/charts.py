"""The small charts of the Train screen: those of a table, and one for each other metric."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from textual.containers import VerticalScroll
from textual.widget import Widget

from slm_tui.runs.curves import Curves
from slm_tui.text import one_line
from slm_tui.tui.base import AppServices
from slm_tui.tui.charts.chart import Chart
from slm_tui.tui.charts.sparkline import SmallChart
from slm_tui.tui.keymap import shown


@dataclass(frozen=True)
class MetricChart:
    """How a metric is drawn. A chart that is not `usual` appears only in runs that log it."""

    id: str
    title: str
    metric: str  # the column of training_log.csv
    short_title: str = ""
    about: str = ""  # for the help
    from_zero: bool = False
    usual: bool = False


_CHUNKS = "How many {} one chunk holds on average. The dashed line is what training aims at."
# A metric without a row is drawn too, under its own name.
CHARTS: tuple[MetricChart, ...] = (
    MetricChart(
        "compression1", "bytes/chunk", "stage1_compression", "chunk", _CHUNKS.format("bytes")
    ),
    MetricChart(
        *("compression2", "compression 2", "stage2_compression", "chunk 2"),
        _CHUNKS.format("chunks of the first stage"),
    ),
    MetricChart(
        *("compression3", "compression 3", "stage3_compression", "chunk 3"),
        _CHUNKS.format("chunks of the second stage"),
    ),
    MetricChart(
        *("words", "chunks at words", "stage1_word_share", "words"),
        "The share of chunks that begin at a word, by the word loss of an H-Net.",
        from_zero=True,
    ),
    MetricChart(
        *("rate", "learning rate", "learning_rate", "rate"),
        "How far one step moves the weights. It warms up, then falls as the schedule says.",
        from_zero=True,
        usual=True,
    ),
    MetricChart(
        *("norm", "gradient norm", "grad_norm", "norm"),
        "How strongly a batch pulls at the weights. Spikes mean unstable training; a lower "
        "learning rate calms it.",
        from_zero=True,
        usual=True,
    ),
    MetricChart(
        *("speed", "tokens/s", "tokens_per_second", "speed"),
        "How many tokens are trained on per second.",
        from_zero=True,
        usual=True,
    ),
)
_USUAL = sum(row.usual for row in CHARTS)
# A foreign log may have hundreds of columns.
_MOST = 60
_LEAST_WIDTH = 18
_ZOOMED_WIDTH, _ZOOMED_HEIGHT = 36, 7
_LONGEST_TITLE = 40

_Series = tuple[MetricChart, Sequence[float], Sequence[float]]


def series_of(curves: Curves) -> Iterator[_Series]:
    """The metrics of a run besides the loss; those of the table come first."""
    steps, evaluations = curves.steps, curves.evaluations
    for row in CHARTS:
        values = steps.column(row.metric)
        if values is not None:
            yield row, steps.step, values
    table = {row.metric for row in CHARTS}
    for name, values in steps.metrics.items():
        if name not in table:
            yield _plain_chart(f"steps/{name}", name), steps.step, values
    for name, values in evaluations.metrics.items():
        yield _plain_chart(f"evaluations/{name}", name), evaluations.step, values


def _plain_chart(id: str, name: str) -> MetricChart:
    return MetricChart(id, one_line(name, _LONGEST_TITLE), name)


class SmallCharts(VerticalScroll):
    """The small charts in a row, as many as fit; all of them when zoomed."""

    def __init__(self) -> None:
        super().__init__(id="small-charts", classes="pane")
        self._charts: dict[str, SmallChart] = {}
        self._shown: list[SmallChart] = []
        self._arranged: tuple[int, ...] = ()
        for row in CHARTS:
            if row.usual:
                self._charts[row.id] = self._new_chart(row)
                self._shown.append(self._charts[row.id])

    @staticmethod
    def _new_chart(row: MetricChart) -> SmallChart:
        # The name of a metric may not be an identifier.
        id = row.id if row in CHARTS else None
        return SmallChart(row.title, short_title=row.short_title, from_zero=row.from_zero, id=id)

    def compose(self) -> Iterator[Widget]:
        yield from self._charts.values()

    def show(self, curves: Curves, targets: Mapping[str, float]) -> None:
        """Show the metrics of a run; the lists may be the same objects as before, extended.

        Args:
            targets: what training aims at, by the name of the metric.
        """
        series = list(series_of(curves))[:_MOST]
        new = [row for row, *_ in series if row.id not in self._charts]
        self._charts |= {row.id: self._new_chart(row) for row in new}
        self._shown = [self._charts[row.id] for row, *_ in series]
        if new:
            self.mount(*(self._charts[row.id] for row in new))
            order = {chart: number for number, chart in enumerate(self._shown)}
            self.sort_children(key=lambda chart: order.get(cast(SmallChart, chart), len(order)))
        self._arrange()
        for row, xs, ys in series:
            self._charts[row.id].show(xs, ys, targets.get(row.metric))

    def fit_anew(self) -> None:
        """See `SmallChart.fit_anew`."""
        for chart in self._charts.values():
            chart.fit_anew()

    def _arrange(self) -> None:
        """Show the charts that fit, and how many more there are."""
        zoomed, width, height = self.has_class("-zoomed"), *self.container_size
        arranged = (zoomed, width, height, *map(id, self._shown))
        if arranged == self._arranged:
            return
        self._arranged = arranged
        fit = len(self._shown) if zoomed else self._fitting(width)
        visible, hidden = self._shown[:fit], self._shown[fit:]
        for chart in self._charts.values():
            chart.display = chart in visible
            chart.note = ""
        if hidden:
            key = shown(cast(AppServices, self.app).keys["train.metrics"].split(",")[0])
            visible[-1].note = f"{key}: {len(hidden)} more"
        if zoomed:
            columns = max(1, min(math.ceil(math.sqrt(len(visible))), width // _ZOOMED_WIDTH))
            rows = -(-len(visible) // columns)
            self.styles.grid_size_columns = columns
            self.styles.grid_rows = str(max(_ZOOMED_HEIGHT, height // rows))

    def _fitting(self, width: int) -> int:
        """How many charts fit side by side with their whole titles; the usual ones always do."""
        most = min(len(self._shown), width // _LEAST_WIDTH)
        for count in range(most, _USUAL, -1):
            if all(chart.title_fits(width // count) for chart in self._shown[:count]):
                return count
        return _USUAL

    def on_resize(self) -> None:
        self._arrange()

    def on_hide(self) -> None:
        # On a small screen they are shown only while zoomed.
        if self.screen.focused in (None, self):
            self.screen.query_one(Chart).focus()
