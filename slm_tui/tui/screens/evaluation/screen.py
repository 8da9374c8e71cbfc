"""Evaluating checkpoints in a dialog: first the progress, then the report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from slm_tui.live.evaluation_worker import EvaluationSnapshot, EvaluationWorker
from slm_tui.runs.evaluation_report import Line, lines
from slm_tui.runs.evaluation_results import EvaluationSettings
from slm_tui.text import one_line, visible
from slm_tui.tui.dialogs import Dialog, copy
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.line_list import LineList, ReadingList, Row

_STYLES = {
    "": "",
    "title": "bold",
    "best": "bold $text-success",
    "muted": MUTED,
    "warning": "$text-warning",
}
_WORKING_HINT = "esc cancels"
_READING_HINT = "↑↓ · r evaluates again · c copies · esc closes"
_BAR = 30


class EvaluationDialog(Dialog[None]):
    """Evaluates `where` (checkpoints or runs) and shows the report; a saved one shows at once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "again", "Again", show=False),
        Binding("c", "copy", "Copy", show=False),
        Binding("enter,space", "close", "Close", show=False),
    ]
    DEFAULT_CSS = """
    EvaluationDialog > #box { width: 124; }
    EvaluationDialog #progress { height: auto; margin: 1 0; }
    """

    def __init__(
        self, where: Sequence[Path], settings: EvaluationSettings, *, is_training: bool
    ) -> None:
        super().__init__("Evaluation", _WORKING_HINT)
        self._where, self._settings, self._is_training = tuple(where), settings, is_training
        self.worker = EvaluationWorker(where, settings, is_training=is_training)
        self._drawn: EvaluationSnapshot | None = None
        self._width = 0

    def compose_box(self) -> ComposeResult:
        yield Static("", id="progress", markup=False)
        yield ReadingList(id="lines")

    def on_mount(self) -> None:
        self.query_one(LineList).display = False
        self.worker.start()
        self.set_interval(0.1, self._look)
        self._look()

    def on_unmount(self) -> None:
        self.worker.cancel()

    def on_resize(self) -> None:
        self._drawn = None
        self.call_after_refresh(self._look)

    # Drawing

    def _look(self) -> None:
        snapshot = self.worker.snapshot
        if snapshot is self._drawn:
            return
        self._drawn = snapshot
        if snapshot.state == "ready" and snapshot.report is not None:
            self._read(snapshot, snapshot.report)
        else:
            self._show_progress(snapshot)

    def _show_progress(self, snapshot: EvaluationSnapshot) -> None:
        self.query_one(LineList).display = False
        pane = self.query_one("#progress", Static)
        pane.display = True
        box = self.query_one("#box")
        box.border_subtitle = Content(f" {_WORKING_HINT} ")
        if snapshot.state == "failed" and snapshot.error is not None:
            error = snapshot.error
            parts = [Content.styled(f"✗ {visible(error.what)}", "$text-error")]
            parts += [Content(visible(error.why))] if error.why else []
            if error.remedy:
                parts.append(Content.assemble(("→ ", "$text-success"), visible(error.remedy)))
            pane.update(Content("\n").join(parts))
            box.border_subtitle = Content(" r tries again · esc closes ")
        else:
            pane.update(_progress(snapshot))

    def _read(self, snapshot: EvaluationSnapshot, report: dict[str, Any]) -> None:
        self.query_one("#progress").display = False
        listed = self.query_one(LineList)
        # The box and its padding take four cells, the scrollbar one more.
        box = self.query_one("#box")
        width = min(124, self.app.size.width * 96 // 100) - 5
        report_lines = lines(report, width)
        if snapshot.note:
            report_lines.append(Line(f"▲ {one_line(snapshot.note)}", "warning"))
        if snapshot.is_saved:
            report_lines.insert(
                1, Line(f"evaluated on {report.get('timestamp', '')[:16]}", "muted")
            )
        listed.set_rows(
            [
                Row(str(at), Content.styled(visible(line.text, keep=""), _STYLES[line.tone]))
                for at, line in enumerate(report_lines)
            ]
        )
        listed.styles.height = min(len(report_lines), max(3, self.app.size.height - 4))
        listed.display = True
        listed.focus()
        title = "Evaluation" if report["kind"] == "evaluation" else "Comparison"
        box.border_title = Content(f" {title} ")
        box.border_subtitle = Content(f" {_READING_HINT} ")

    # Keys

    def action_close(self) -> None:
        if self.worker.snapshot.state != "working":
            self.dismiss(None)

    def action_again(self) -> None:
        if self.worker.snapshot.state == "working":
            return
        self.worker = EvaluationWorker(
            self._where, self._settings, is_training=self._is_training, again=True
        )
        self.worker.start()
        self._look()

    def action_copy(self) -> None:
        rows = self.query_one(LineList).rows
        copy(self.app, "\n".join(row.content.plain.rstrip() for row in rows))


def _progress(snapshot: EvaluationSnapshot) -> Content:
    progress = snapshot.progress
    if progress is None:
        return Content("checking the checkpoints…")
    stage = Content(f"{one_line(progress.stage, 60)}…")
    if progress.share is None:
        return stage
    full = round(progress.share * _BAR)
    bar = Content.assemble(("█" * full, "$primary"), ("░" * (_BAR - full), MUTED))
    # Speed and remaining time have their own line: they do not fit next to the bar.
    detail = f"  {progress.share:4.0%}\n{progress.detail}"
    return Content.assemble(stage, "\n", bar, (detail, MUTED))
