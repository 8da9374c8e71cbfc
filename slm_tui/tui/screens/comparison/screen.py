"""The comparison of runs in a dialog: ranking and verdicts, settings that differ, curves."""

import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from slm_tui import paths, safe_files
from slm_tui.experiments.markdown import write_report
from slm_tui.experiments.report import RunsReport
from slm_tui.experiments.samples import ComparedSample, side_by_side
from slm_tui.experiments.table import csv_of
from slm_tui.formatting import count, duration
from slm_tui.live.background import Background
from slm_tui.runs.curves import Curves
from slm_tui.text import one_line, pad, visible
from slm_tui.tui.charts.chart import Chart
from slm_tui.tui.charts.data import ChartData, Series
from slm_tui.tui.dialogs import Dialog, copy
from slm_tui.tui.screens.runs.columns import role_of, shape_of
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.line_list import ReadingList, Row

_MOST_CURVES = 12
_POLL_SECONDS = 0.2
_MOST_SAMPLE = 400
_NAME = "comparison"


class ComparisonDialog(Dialog[None]):
    """Shows `report`. Keys write it as a picture, a table, or a report with its picture."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("p", "write('png')", "PNG", show=False),
        Binding("s", "write('svg')", "SVG", show=False),
        Binding("v", "write('csv')", "CSV", show=False),
        Binding("m", "write('md')", "Markdown", show=False),
        Binding("c", "copy", "Copy", show=False),
        Binding("enter,space", "leave", "Close", show=False),
    ]
    DEFAULT_CSS = """
    ComparisonDialog > #box { width: 118; height: 96%; }
    ComparisonDialog #curves { height: 12; }
    ComparisonDialog.-short #curves { height: 8; }
    ComparisonDialog.-tall #curves { height: 16; }
    ComparisonDialog #lines { height: 1fr; }
    """

    def __init__(self, report: RunsReport) -> None:
        super().__init__(
            f"{report.title}: {report.state}", "p PNG · s SVG · v CSV · m Markdown · esc closes"
        )
        self._report = report
        self._writing: Background[str] = Background("comparison", "")
        self._read: Background[tuple[ChartData, list[ComparedSample]] | None] = Background(
            "curves", None
        )
        self._samples: list[ComparedSample] = []

    def compose_box(self) -> ComposeResult:
        yield Chart("", empty="No evaluations yet", id="curves")
        yield ReadingList(id="lines")

    def on_mount(self) -> None:
        chart = self.query_one(Chart)
        chart.border_title = "validation loss, bits per byte"
        chart.unit = "bpb"
        report = self._report
        self._read.start(
            lambda cancel: (curves_of(report), side_by_side(report)),
            lambda error: None,
            "the logs cannot be read",
        )
        self.query_one(ReadingList).focus()
        self.call_after_refresh(self._draw)
        self.set_interval(_POLL_SECONDS, self._look)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        reading = self.query_one(ReadingList)
        # Room for a scroll bar, whether or not there is one now.
        width = (reading.size.width or 60) - 1
        lines = [*lines_of(self._report, width), *sample_lines(self._samples, width)]
        reading.set_rows([Row(str(at), line) for at, line in enumerate(lines)])

    def action_copy(self) -> None:
        copy(self.app, "\n".join(row.content.plain for row in self.query_one(ReadingList).rows))

    def action_write(self, ending: str) -> None:
        """Write the comparison to the data directory, in a thread."""
        path = paths.data_dir() / "reports" / f"{_file_name(self._report)}.{ending}"

        def write(cancel: threading.Event) -> str:
            try:
                _WRITERS[ending](self._report, path)
            except ImportError:
                return "matplotlib is not installed: pip install 'slm-tui[plots]'"
            return f"Wrote {path}"

        self._writing.start(write, str, f"{path} was not written")

    def _look(self) -> None:
        read, self._read.snapshot = self._read.snapshot, None
        if read is not None:
            curves, self._samples = read
            self.query_one(Chart).show(curves)
            self._draw()
        if self._writing.snapshot:
            self.app.notify(self._writing.snapshot, title="Comparison", markup=False)
            self._writing.snapshot = ""


def _file_name(report: RunsReport) -> str:
    words = "".join(char if char.isalnum() else "-" for char in report.title.lower())
    return "-".join(word for word in words.split("-") if word)[:60] or _NAME


def _write_picture(report: RunsReport, path: Path) -> None:
    from slm_tui.experiments.picture import comparison

    safe_files.write_atomically(path, comparison(report, "svg" if path.suffix == ".svg" else "png"))


def _write_table(report: RunsReport, path: Path) -> None:
    safe_files.write_atomically(path, csv_of(report))


_WRITERS: dict[str, Callable[[RunsReport, Path], None]] = {
    "png": _write_picture,
    "svg": _write_picture,
    "csv": _write_table,
    "md": write_report,
}


def curves_of(report: RunsReport) -> ChartData:
    """The validation curves of the first seed of each variation, best variation first."""
    firsts = {one.label: one for one in reversed(report.runs)}
    series: list[Series] = []
    for at, row in enumerate(report.rows[:_MOST_CURVES]):
        curves = Curves(firsts[row.name].run)
        curves.read()
        found = curves.evaluations
        name = one_line(row.name, 20)
        if name in {one.name for one in series}:
            name = f"{one_line(row.name, 17)} {at}"
        series.append(
            Series(name, role_of(at), list(found.step), list(found.bits_per_byte), shape_of(at))
        )
    return ChartData(series, note="vs. steps, first seed of each")


def lines_of(report: RunsReport, width: int) -> list[Content]:
    """The ranking with its verdicts, the settings that differ, and their associations."""
    name_width = min(28, max((len(row.name) for row in report.rows), default=8))
    lines = [
        Content.styled(
            f"{pad('', name_width)} seeds   bits per byte       parameters   time", MUTED
        )
    ]
    for row in report.rows:
        spread = f"± {row.spread:.4f}" if row.spread is not None else ""
        parameters = count(row.parameters) if row.parameters else "–"
        seconds = duration(row.seconds) if row.seconds else "–"
        figures = f" {row.seeds:5}   {row.mean:.4f} {spread:9}"
        lines.append(
            Content.assemble(
                (pad(one_line(row.name, name_width), name_width), "bold"),
                f"{figures} {parameters:>11} {seconds:>8}",
            )
        )
        if len(report.rows) > 1:
            lines += _wrapped(row.verdict, width, MUTED, "  ")
    for note in report.notes:
        lines += _wrapped(f"▲ {note}", width, "$text-warning")
    for name, error in report.failures:
        lines += _wrapped(f"✗ {name}: {error}", width, "$text-error")
    lines += _settings(report, width)
    if report.associations:
        lines += [Content(""), _heading("Settings and the loss associated with them")]
        for line in report.associations:
            lines += _wrapped(line, width, indent="  ")
    return lines


def sample_lines(samples: list[ComparedSample], width: int) -> list[Content]:
    """The samples side by side, one below the other."""
    if not samples:
        return []
    lines = [Content(""), _heading("Samples side by side")]
    for sample in samples:
        lines.append(Content.styled(f"{one_line(sample.label, 40)}, step {sample.step:,}", "bold"))
        text = " ".join((sample.prompt + sample.text).split())
        lines += _wrapped(text[:_MOST_SAMPLE], width, indent="  ")
    return lines


def _settings(report: RunsReport, width: int) -> list[Content]:
    if not report.settings:
        return []
    lines = [Content(""), _heading("Settings that differ")]
    for path, values in report.settings.items():
        lines.append(Content.styled(path, "bold"))
        for row, value in zip(report.rows, values, strict=True):
            text = "unset" if value is None else str(value)
            name = pad(one_line(row.name, 28), 28)
            lines.append(Content(f"  {name} {one_line(text, max(8, width - 32))}"))
    return lines


def _heading(text: str) -> Content:
    return Content.styled(text, "bold $text-accent")


def _wrapped(text: str, width: int, style: str = "", indent: str = "") -> list[Content]:
    parts: Any = textwrap.wrap(
        visible(text, keep=""), max(20, width), initial_indent=indent, subsequent_indent=indent
    )
    return [Content.styled(part, style) for part in parts]
