"""The chart widget: requests drawings from the plot process and repaints what changed."""

import math
import os
import textwrap
import time
from dataclasses import replace
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.reactive import reactive, var
from textual.strip import Strip
from textual.timer import Timer
from textual.widget import Widget

from slm_tui.text import cells, one_line
from slm_tui.tui import actions
from slm_tui.tui.charts import legend
from slm_tui.tui.charts import series as pure
from slm_tui.tui.charts.axes import (
    Axes,
    GrowingRange,
    Range,
    StickyRange,
    extent,
    make_axes,
    settled_top,
)
from slm_tui.tui.charts.client import DrawnChart, PlotClient, Row
from slm_tui.tui.charts.data import COLORS, ChartData, Curve, make_request, positive, row_span
from slm_tui.tui.charts.legend import Part

_SHARE = 0.02  # share of wall time that drawing may take
_SHARE_BESIDE_TRAINING = 0.01
_POLL = 0.03
_LATEST = 1.2  # seconds after which a drawing is shown although no new data came
_CATCH_UP = 0.01  # seconds between two parts of a long series
_ASLEEP = 0.5  # seconds between checks whether the chart is visible again
_COLOR_RULES = "".join(f"Chart > .chart--{one} {{ color: {COLORS[one]}; }}\n" for one in COLORS)


class Chart(Widget, can_focus=True):
    """Curves against steps, tokens or time, with a crosshair. Pass the data to show()."""

    DEFAULT_CSS = (
        """
    Chart {
        height: 1fr;
        border: round $foreground 20%;
        border-title-color: $text-warning;
        border-title-style: bold;
        border-subtitle-color: $text-warning;
        &:focus { border: round $border; }
        & > .chart--value { text-style: bold; }
    }
    """
        + _COLOR_RULES
    )
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"chart--{role}" for role in COLORS}
    BINDINGS: ClassVar[list[BindingType]] = [
        actions.BY_ID["chart.crosshair_left"].binding(),
        actions.BY_ID["chart.crosshair_right"].binding(),
        Binding("shift+left", "move_crosshair(-10)", "Far left", show=False, id="chart.far_left"),
        Binding("shift+right", "move_crosshair(10)", "Far right", show=False, id="chart.far_right"),
        # `back` also removes the crosshair.
        replace(actions.BY_ID["app.back"].binding(), action="clear_crosshair"),
    ]

    crosshair: reactive[int | None] = reactive(None, repaint=False)
    empty = reactive("")
    log_y = var(False)
    x_mode = var("steps")
    unit = var("")
    smoothing = var(0.95)

    def __init__(
        self,
        title: str = "",
        *,
        empty: str = "",
        min_interval: float | None = None,
        client: PlotClient | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.border_title = title
        self.set_reactive(Chart.empty, empty)
        if min_interval is None:
            min_interval = 1.0 if os.environ.get("SSH_CONNECTION") else 0.25
        self.min_interval = min_interval
        self.client = client or PlotClient()
        self.drawings = 0
        self._note = ""
        self._data = ChartData(())
        self._curves: dict[str, Curve] = {}
        self._x_range, self._y_range = GrowingRange(), StickyRange()
        self._last_request: tuple[dict[str, Any], Axes] | None = None
        self._axes: Axes | None = None
        self._rows: list[Row] = []
        self._strips: list[Strip] = []
        self._legend: list[Part] = []
        self._styles: dict[str, Style] = {}
        self._dirty = False
        self._seen = True
        self._cost = 0.0  # seconds that both processes spent on the last drawing
        self._own_cost = 0.0
        self._asked_at = -math.inf
        self._timer: Timer | None = None
        self._poller: Timer | None = None
        self._poll_seconds = 0.0
        self._with_next = False
        self._pinned: int | None = None

    # Data in

    def show(self, data: ChartData, *, with_next: bool = False) -> None:
        """Show `data`; drawn once the chart is visible and the last drawing is old enough.

        The lists of a series may be the same objects as before, extended: only the new points
        are processed.

        Args:
            with_next: the caller repaints other widgets, too, and will do so again with new data:
                show the drawing only then, so that the screen is painted once. Until there is a
                drawing, it is shown as soon as possible.
        """
        if self._poller is not None:
            self._poll()
        self._data = data
        self._set_note(data.note)
        self._redraw(with_next=with_next and bool(self._rows))

    def _set_note(self, note: str) -> None:
        # Setting a border's text repaints the whole chart, even if the text is unchanged.
        note = self.client.failed or note
        if note != self._note:
            self._note = note
            self.border_subtitle = one_line(note).replace("[", "\\[")

    @property
    def interval(self) -> float:
        """Seconds between two drawings, chosen so that drawing takes at most 2 % of the time, or
        1 % where they are shown with the next data: beside a training."""
        share = _SHARE_BESIDE_TRAINING if self._with_next else _SHARE
        return max(self.min_interval, self._cost / share)

    def _redraw(self, *, with_next: bool = False) -> None:
        self._dirty, self._with_next = True, with_next
        if self._timer is None and self.is_attached:
            wait = self._asked_at + self.interval - time.monotonic()
            if wait <= 0:
                self._ask()
            else:
                self._timer = self.set_timer(wait, self._ask)

    def _ask(self) -> None:
        self._timer = None
        if not self._dirty or not self.is_attached:
            return
        if not self._seen or not self.size.area or not self.screen.is_current:
            self._timer = self.set_timer(_ASLEEP, self._ask)
            return
        started = time.thread_time()
        self._dirty = False
        self._update_curves()
        if any(curve.is_behind for curve in self._curves.values()):
            # The rest of a long series follows before it is drawn, except for the first time.
            self._dirty = True
            self._timer = self.set_timer(_CATCH_UP, self._ask)
            if self._rows:
                return
        request = self._specify()
        self._update_legend(request[1] if request else None)
        if request is None:
            if self._rows:
                self._forget_drawing()
        elif self._last_request is None or request[0] != self._last_request[0]:
            self._last_request = request
            self._asked_at = time.monotonic()
            self.client.request(request[0] | {"id": self.drawings})
            self._poll_every(_LATEST if self._with_next else _POLL)
        self._own_cost = time.thread_time() - started

    def _specify(self) -> tuple[dict[str, Any], Axes] | None:
        """The request for the current data, and its axes; None if there is nothing to draw."""
        names = [line.name for line in self._data.series]
        points = [self._curves[name].points for name in names]
        if self.log_y:
            points = [positive(one) for one in points]
        across, up = extent([xs for xs, _ in points]), extent([ys for _, ys in points])
        if across is None or up is None:
            return None
        axes = make_axes(
            *self.size,
            self._x_range.fit(*across, self._data.x_end),
            self._fit_height((up[0], up[1] if self.log_y else settled_top(points, up[1]))),
            log_y=self.log_y,
            time=self.x_mode == "time",
            top=1,
        )
        return make_request(axes, self._data, points), axes

    def _update_curves(self) -> None:
        names = {line.name for line in self._data.series}
        self._curves = {name: curve for name, curve in self._curves.items() if name in names}
        columns = max(20, min(200, self.size.width))
        for line in self._data.series:
            curve = self._curves.setdefault(line.name, Curve())
            limit = min(pure.LIMIT, columns * (4 if line.shape == "dots" else 2))
            curve.update(line, self.smoothing, limit)

    def _fit_height(self, up: Range) -> Range:
        low, high = up
        levels = [line.y for line in self._data.hlines if math.isfinite(line.y)]
        levels = [level for level in levels if level > 0 or not self.log_y]
        low, high = min([low, *levels]), max([high, *levels])
        if self.log_y:
            low, high = math.log10(low), math.log10(high)
        return self._y_range.fit(low, high)

    # Drawings out

    def _poll_every(self, seconds: float) -> None:
        if self._poller is not None:
            if self._poll_seconds <= seconds:
                return
            self._poller.stop()
        self._poller, self._poll_seconds = self.set_interval(seconds, self._poll), seconds

    def _poll(self) -> None:
        started = time.thread_time()
        drawing = self.client.poll()
        if drawing is not None:
            self._apply(drawing)
            own = self._own_cost + time.thread_time() - started
            self._cost = drawing.cpu_seconds + own
        if not self.client.busy and self._poller is not None:
            self._poller.stop()
            self._poller = None
            if self.client.failed:
                self._set_note(self._data.note)

    def _apply(self, drawing: DrawnChart) -> None:
        assert self._last_request is not None
        self.drawings += 1
        old, self._rows = self._rows, drawing.rows
        was_empty, self._axes = self._axes is None, self._last_request[1]
        strips = self._strips if len(old) == len(drawing.rows) else []
        self._strips = []
        regions = []
        for y, row in enumerate(drawing.rows):
            if strips and old[y] == row:
                self._strips.append(strips[y])
                continue
            self._strips.append(self._strip(row))
            start, end = 0, self.size.width
            if strips and not was_empty:
                start, end = row_span(old[y], row) or (0, end)
            regions.append(Region(start, y, end - start, 1))
        self._update_legend(self._axes)
        if regions:
            self.refresh(*regions)

    def _forget_drawing(self) -> None:
        self._last_request = self._axes = None
        self._rows, self._strips, self._legend = [], [], []
        self._x_range.clear()
        self._y_range.clear()
        self.refresh()

    def _update_legend(self, axes: Axes | None) -> None:
        parts = self._make_legend(axes) if axes and axes.top else []
        if parts != self._legend:
            self._legend = parts
            self.refresh(Region(0, 0, self.size.width, 1))

    def _make_legend(self, axes: Axes) -> list[Part]:
        x = None if self.crosshair is None else axes.x_of(self.crosshair)
        # A drawing may arrive after the series were replaced.
        shown = [(s, c) for s in self._data.series if (c := self._curves.get(s.name))]
        groups = legend.groups(shown, self._data.hlines, x)
        room = axes.columns - 1
        if x is not None:
            groups.insert(0, [(legend.x_text(shown, x, self.x_mode), "value")])
        elif self.unit and legend.width(groups) + len(self.unit) + 2 <= room:
            groups.insert(0, [(self.unit, "label")])
        return legend.fitting(groups, room)

    # Painting

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if self._axes is None:
            return self._render_empty(y, width)
        blank = Strip([Segment(" " * width, self.rich_style)], width)
        if not self._strips:
            self._strips = [self._strip(row) for row in self._rows]
        strip = self._strips[y] if y < len(self._strips) else blank
        if strip.cell_length != width:
            strip = strip.adjust_cell_length(width, self.rich_style)
        if self.crosshair is not None:
            strip = self._with_crosshair(strip, y, self._axes)
        if y == 0 and self._legend:
            size = sum(cells(text) for text, _ in self._legend)
            parts = [Segment(text, self._style(role)) for text, role in self._legend]
            tail = strip.crop(width - 1, width)
            strip = Strip.join([strip.crop(0, width - size - 1), Strip(parts, size), tail])
        return strip

    def _render_empty(self, y: int, width: int) -> Strip:
        lines = textwrap.wrap(self.empty, max(1, width - 4))
        at = y - max(0, (self.size.height - len(lines)) // 2)
        text = lines[at] if 0 <= at < len(lines) else ""
        return Strip([Segment(text.center(width), self._style("label"))], width)

    def _with_crosshair(self, strip: Strip, y: int, axes: Axes) -> Strip:
        column = axes.gutter + min(self.crosshair or 0, axes.columns - 1)
        if y >= axes.rows or column >= strip.cell_length:
            return strip
        cell = strip.crop(column, column + 1)
        char = "│" if cell.text in " ·┈" else cell.text
        style = self._style("crosshair")
        if char != "│":
            style += Style(bold=True)
        middle = Strip([Segment(char, style)], 1)
        return Strip.join([strip.crop(0, column), middle, strip.crop(column + 1)])

    def _strip(self, row: Row) -> Strip:
        return Strip([Segment(text, self._style(role)) for text, role in row])

    def _style(self, role: str) -> Style:
        style = self._styles.get(role)
        if style is None:
            is_role = role in COLORS
            style = self.get_component_rich_style(f"chart--{role}") if is_role else self.rich_style
            self._styles[role] = style
        return style

    def notify_style_update(self) -> None:
        super().notify_style_update()
        # The styles of the roles are updated after this call: the strips are made when painted.
        self._styles.clear()
        self._strips = []

    def watch_crosshair(self, old: int | None, new: int | None) -> None:
        if self._axes is None:
            return
        for column in {old, new} - {None}:
            assert column is not None
            column = self._axes.gutter + min(column, self._axes.columns - 1)
            self.refresh(Region(column, 0, 1, max(1, self.size.height)))
        self._update_legend(self._axes)

    def watch_log_y(self) -> None:
        self._y_range.clear()
        self._redraw()

    watch_unit = watch_log_y

    def watch_x_mode(self) -> None:
        self._x_range.clear()
        self._redraw()

    def watch_smoothing(self) -> None:
        self._redraw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Do not handle the key while there is no crosshair to remove."""
        return action != "clear_crosshair" or self.crosshair is not None

    def action_crosshair_left(self) -> None:
        self.action_move_crosshair(-1)

    def action_crosshair_right(self) -> None:
        self.action_move_crosshair(1)

    def action_move_crosshair(self, columns: int) -> None:
        if self._axes is None:
            return
        last = self._axes.columns - 1
        newest = max((p[0] for c in self._curves.values() if (p := c.at(None))), default=0.0)
        start = self._axes.column_of(newest) if self.crosshair is None else self.crosshair
        self.crosshair = self._pinned = min(max(start + columns, 0), last)

    def action_clear_crosshair(self) -> None:
        self.crosshair = self._pinned = None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        column = self._column_under(event)
        self.crosshair = self._pinned if column is None else column

    def on_click(self, event: events.Click) -> None:
        column = self._column_under(event)
        if column is not None:
            self.crosshair = self._pinned = column

    def on_leave(self) -> None:
        self.crosshair = self._pinned

    def _column_under(self, event: events.MouseEvent) -> int | None:
        offset = event.get_content_offset(self)
        if offset is None or self._axes is None:
            return None
        column = offset.x - self._axes.gutter
        return column if 0 <= column < self._axes.columns else None

    def on_mount(self) -> None:
        self._redraw()

    def on_resize(self) -> None:
        self._asked_at = -math.inf
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._redraw()

    def on_show(self) -> None:
        self._seen = True
        self._redraw()

    def on_hide(self) -> None:
        self._seen = False

    def on_unmount(self) -> None:
        self.client.close()
