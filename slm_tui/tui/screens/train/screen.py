"""The Train screen: loss curves, samples, and controls of the run."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from slm_tui.config.drafts import Origin
from slm_tui.errors import RunError, SlmTuiError
from slm_tui.live.remote_session import RemoteSession
from slm_tui.live.workshop import Workshop
from slm_tui.runs import store
from slm_tui.runs.store import Run
from slm_tui.text import visible
from slm_tui.tui import actions
from slm_tui.tui.actions import Action, Room
from slm_tui.tui.base import RoomScreen
from slm_tui.tui.charts.chart import Chart
from slm_tui.tui.dialogs import copy, show_error_notice
from slm_tui.tui.resume_dialog import ask_to_resume
from slm_tui.tui.screens.train import large
from slm_tui.tui.screens.train.charts import SmallCharts
from slm_tui.tui.screens.train.film import Film
from slm_tui.tui.screens.train.picture import picture_lines
from slm_tui.tui.screens.train.questions import ask_for_steps, ask_to_stop
from slm_tui.tui.screens.train.remedies import ask_for_remedy
from slm_tui.tui.screens.train.verdicts import VerdictDetails, explained_lines
from slm_tui.tui.screens.train.view import (
    X_MODES,
    RunView,
    in_two_lines,
    outcome_in_two_lines,
    preparing,
)
from slm_tui.tui.widgets.line_list import ReadingList
from slm_tui.tui.widgets.lines import Lines

if TYPE_CHECKING:
    from slm_tui.live.workshop import Training

NO_RUN = "No runs yet. Press 1, choose a preset and press t."
_BETWEEN_SLICES = 0.01
_DRAW_SECONDS = 0.4
# Seconds between two drawings of the small charts beside a training in this process.
_SMALL_SECONDS = 1.7
_SMOOTHINGS = (0.95, 0.99, 0.0)


class TrainScreen(RoomScreen):
    """The Train screen: follows the live run, or one opened from the Runs screen."""

    ROOM: ClassVar[Room] = "train"
    CSS_PATH = Path(__file__).with_suffix(".tcss")

    def __init__(self) -> None:
        super().__init__()
        self.view: RunView | None = None
        # The last opened run and the last started run; the later of the two is shown.
        self.opened: Path | None = None
        self._started: Path | None = None
        self._log: bool | None = None  # chosen by the user; else by how far the loss has fallen
        self._looked = False
        self._reads_on = False
        self._drawn_at = self._small_drawn_at = 0.0
        self._small_are_behind = False
        self._footer_shows: object = None

    def compose_body(self) -> Iterable[Widget]:
        with Horizontal(id="train"):
            with Vertical(id="left"):
                chart = Chart("loss", empty=NO_RUN, id="loss")
                chart.add_class("pane")
                yield chart
                yield SmallCharts()
                yield Static("", id="verdict-line", markup=False)
                yield Lines("events", id="events")
            with Vertical(id="middle"):
                yield Lines("diagnosis", id="diagnosis")
                yield ReadingList(id="compared", classes="pane")
                yield ReadingList(id="legend", classes="pane")
            yield Lines("samples", id="samples")
            yield Film(id="film")

    def on_resize(self) -> None:
        if self.view is not None:
            self.call_after_refresh(self._show_more, self.view)

    # What is shown

    @property
    def workshop(self) -> Workshop:
        return self.slm.workshop

    @property
    def session(self) -> "Training | None":
        """The session of the shown run, if it is training or did while the app was open."""
        if self.view is None:
            return None
        return self.workshop.training_of(self.view.run)

    def open(self, path: Path) -> None:
        """Show the run in `path` from now on."""
        self.opened, self._started = path, None

    def show_started(self, path: Path) -> None:
        """Show the run in `path`, which has just started, instead of the opened one."""
        self.opened, self._started = None, path

    def on_screen_resume(self) -> None:
        self._looked = False
        if self.focused is None:
            self.query_one(Chart).focus()

    def _choose_run(self) -> Run | None:
        """The run opened or started last; else the live one; else the newest on disk."""
        if self.opened is not None:
            self.workshop.look_at(self.opened)
            return Run(self.opened)
        if self._started is not None:
            return Run(self._started)
        session = self.workshop.current_training()
        if session is not None:
            return session.run
        if self.view is not None or self._looked:
            return self.view.run if self.view else None
        self._looked = True
        runs = store.all_runs()
        return next((run for run in runs if _is_live(run)), runs[0] if runs else None)

    def refresh_room(self) -> None:
        run = self._choose_run()
        if run is None:
            self.set_class(True, "-empty")
            return
        if self.view is None or self.view.run != run:
            if self.view is not None:
                self.view.copying.close()
            self.view = RunView(run)
            self.set_class(False, "-empty")
            self._show(self.view, fresh=True)
        elif self._is_time():
            if self.view.refresh():
                self._show(self.view, often=self.workshop.is_training)
            elif self._small_are_behind:
                self._show_small_charts(self.view)
        self._read_on()
        self._show_preparing()
        session = self.session
        if isinstance(session, RemoteSession) and (problem := session.problem()):
            self.notify(problem, severity="warning", markup=False)
        if (basis := self._footer_basis()) != self._footer_shows:
            self._footer_shows = basis
            self.refresh_footer()

    def _read_on(self) -> None:
        """Read the rest of a long log in slices, between which keys are handled."""
        if self.view is not None and self.view.curves.has_more and not self._reads_on:
            self._reads_on = True
            self.set_timer(_BETWEEN_SLICES, self._read_slice)

    def _read_slice(self) -> None:
        self._reads_on = False
        view = self.view
        if view is None or not self.is_current:
            return
        view.refresh()
        if view.curves.has_more:
            # The charts take in what is new: all at once, it would take too long.
            self._show_charts(view)
        else:
            # The picture of a run does not depend on the slices in which its log was read.
            self.query_one(SmallCharts).fit_anew()
            self._show(view)
        self._read_on()

    def _is_time(self) -> bool:
        """Twice a second is enough for curves: drawing takes time from the training."""
        now = time.monotonic()
        due = now - self._drawn_at > _DRAW_SECONDS
        if due:
            self._drawn_at = now
        return due

    def _show(self, view: RunView, *, fresh: bool = False, often: bool = False) -> None:
        """Show all that is known of the run.

        Args:
            fresh: it is shown for the first time.
            often: this is repeated while a model trains in this process: to save its time, the
                drawing of the chart is painted with what the next call shows.
        """
        if fresh:
            view.refresh()
        view.use_bits(self.slm.in_bits)
        self._show_charts(view, often=often)
        self.query_one("#events", Lines).show(view.event_lines()[:200])
        samples = self.query_one("#samples", Lines)
        _set_title(samples, f"samples · {view.prompt_settings}")
        samples.show(
            view.sample_lines() or [Content.styled("No samples yet. g writes one.", "dim")]
        )
        verdict, told = view.verdict_lines(), view.outcome_lines()
        others = view.other_verdict_lines()
        shown = [*told, *verdict, *others, Content(""), *view.data_lines()]
        self.query_one("#diagnosis", Lines).show(shown)
        self._show_more(view)
        line = self.query_one("#verdict-line", Static)
        width = line.content_size.width or 78
        short = in_two_lines(verdict, others, width)
        if len(told) > 1:
            short = outcome_in_two_lines(view.outcome_lines(short=True)[1], verdict, width)
        text = Content("\n").join(short)
        if line.content != text:
            line.update(text, layout=False)
        if self.session is not None:
            self.workshop.verdicts[view.run.path] = view.verdict.short

    def _show_more(self, view: RunView) -> None:
        if self.has_class("-vast"):
            large.show(self, view, self.query_one(Chart).x_mode)

    def _show_charts(self, view: RunView, *, often: bool = False) -> None:
        chart = self.query_one(Chart)
        chart.log_y = view.spans_decades if self._log is None else self._log
        chart.unit = "bits per byte" if self.slm.in_bits else "nats"
        # If the status line is about another run, the chart names the run.
        current = self.workshop.current_training()
        is_current = current is not None and current.run == view.run
        which = "" if is_current else f"{view.run.id} · {view.info.state} · "
        _set_title(chart, f"{which}loss · {chart.unit}")
        chart.show(view.loss_chart(chart.x_mode, bits=self.slm.in_bits), with_next=often)
        if often and time.monotonic() - self._small_drawn_at < _SMALL_SECONDS:
            self._small_are_behind = True
        else:
            self._show_small_charts(view)

    def _show_small_charts(self, view: RunView) -> None:
        self._small_drawn_at, self._small_are_behind = time.monotonic(), False
        self.query_one(SmallCharts).show(view.curves, view.metric_targets)

    def _has_points(self) -> bool:
        curves = self.view.curves if self.view is not None else None
        return curves is not None and bool(curves.evaluations.step or curves.steps.step)

    def _show_preparing(self) -> None:
        """Until the first point exists, the chart shows what is being done."""
        chart, session = self.query_one(Chart), self.session
        if self.view is None or self._has_points():
            return
        text = f"{self.view.run.id}: {self.view.info.state}"
        if session is not None:
            text = preparing(session.status)
            if session.status.error:
                message = Content.styled("✗ did not start: see above", "$text-error")
                self.query_one("#verdict-line", Static).update(message, layout=False)
                self.query_one("#diagnosis", Lines).show([message])
        chart.empty = visible(text)

    def _footer_basis(self) -> tuple[bool, bool]:
        """Whether there is a run that started, and whether it is training."""
        session = self.session
        failed = session is not None and session.status.error and not self._has_points()
        return self.view is not None and not failed, session is not None and session.is_live

    def footer_actions(self) -> list[Action]:
        has_started, is_live = self._footer_basis()
        if not has_started:
            return [actions.BY_ID["app.go_presets"], actions.BY_ID["app.help"]]
        if is_live:
            return super().footer_actions()
        names = ("resume", "fork", "best_to_chat", "log", "axis")
        return [*(actions.BY_ID[f"train.{name}"] for name in names), actions.BY_ID["app.help"]]

    def step_out(self) -> bool:
        """Go back from an opened run to the one that is training."""
        if super().step_out():
            return True
        current = self.workshop.current_training()
        if (
            current is None
            or not current.is_live
            or self.view is None
            or current.run == self.view.run
        ):
            return False
        self.show_started(current.run.path)
        self.refresh_room()
        return True

    # Keys: steering the live run, in this process or another

    def _live(self) -> "Training | None":
        """The session of the shown run; shows a toast if it is not training."""
        session = self.session
        if session is not None and session.is_live:
            return session
        self.notify(self._why_not(), markup=False)
        return None

    def _why_not(self) -> str:
        if self.view is None:
            return NO_RUN
        current = self.workshop.current_training()
        if current is not None and current.is_live and current.run != self.view.run:
            return f"{self.view.run.id} is not training; esc shows {current.run.id}, which is."
        return f"{self.view.run.id} is not training. Press r to resume it."

    def action_pause(self) -> None:
        if (training := self._live()) is not None:
            if training.status.state == "paused":
                training.control.resume()
            else:
                training.control.pause()

    def action_save(self) -> None:
        if (training := self._live()) is not None:
            training.control.save()

    def action_sample(self) -> None:
        if (training := self._live()) is not None:
            training.control.sample()

    def action_evaluate(self) -> None:
        if (training := self._live()) is not None:
            training.control.evaluate()

    def action_stop(self) -> None:
        if (training := self._live()) is not None:
            ask_to_stop(self.app, training)

    def action_halve_rate(self) -> None:
        if (training := self._live()) is not None:
            training.control.scale_learning_rate(0.5)

    def action_double_rate(self) -> None:
        if (training := self._live()) is not None:
            training.control.scale_learning_rate(2.0)

    def action_more_steps(self) -> None:
        if (training := self._live()) is not None and self.view is not None:
            ask_for_steps(self.app, training, self.view.info.max_steps)

    # Keys: the chart

    def action_log(self) -> None:
        self._log = not self.query_one(Chart).log_y
        self._redraw()

    def action_axis(self) -> None:
        chart = self.query_one(Chart)
        chart.x_mode = X_MODES[(X_MODES.index(chart.x_mode) + 1) % len(X_MODES)]
        self._redraw()

    def action_smoothing(self) -> None:
        chart = self.query_one(Chart)
        at = _SMOOTHINGS.index(chart.smoothing) if chart.smoothing in _SMOOTHINGS else 0
        chart.smoothing = _SMOOTHINGS[(at + 1) % len(_SMOOTHINGS)]

    def action_units(self) -> None:
        self.slm.in_bits = not self.slm.in_bits
        if self.view is not None:
            self._show(self.view)

    def action_metrics(self) -> None:
        self.zoom(self.query_one(SmallCharts))

    def _redraw(self) -> None:
        if self.view is not None:
            self._show_charts(self.view)

    def action_copy(self) -> None:
        view = self.view
        if view is None:
            return
        focused = self.focused
        film = self.query_one(Film)
        sample = film.sample_in(focused) if focused is not None else None
        if focused is not None and focused.id == "samples" and view.curves.samples:
            sample = view.curves.samples[-1]
        if sample is not None:
            copy(self.app, sample.prompt + sample.text)
        else:
            lines = [*view.verdict_lines(), *view.other_verdict_lines(), *view.data_lines()]
            text = "\n".join(line.plain for line in lines)
            copy(self.app, f"{view.run.path}\n{text}")

    # Keys: follow-up

    def action_details(self) -> None:
        if self.view is not None:
            view = self.view
            failed = [*view.verdict_lines()[:2], Content("")] if view.info.error else []
            self.app.push_screen(
                VerdictDetails(view.verdicts, view.copying.copying, failed, view.data_lines())
            )

    def help_lines(self, width: int) -> list[Content]:
        """What the help screen shows above the keys: the verdict and the picture, in words."""
        if self.view is None:
            return picture_lines(width)
        logged = self.view.curves.steps.metrics
        return [*explained_lines(self.view.verdict, width), *picture_lines(width, logged)]

    def action_best_to_chat(self) -> None:
        if self.view is None:
            return
        try:
            self.slm.open_chat(store.checkpoint_of(self.view.run))
        except SlmTuiError as error:
            show_error_notice(self.app, error)

    def action_checkpoints(self) -> None:
        if self.view is not None:
            self.slm.show_checkpoints(self.view.run.path)

    def action_resume(self) -> None:
        view = self.view
        if view is None:
            return
        if self.session is not None and self.session.is_live:
            self.notify("The run is training already.")
        else:
            ask_to_resume(self.app, self.workshop, view.run, view.info, self.refresh_room)

    def action_fork(self) -> None:
        if self.view is None:
            return
        run = self.view.run
        try:
            preset, checkpoint = run.preset(), store.checkpoint_of(run)
        except SlmTuiError as error:
            show_error_notice(self.app, error)
            return
        self.slm.edit_settings(preset, Origin(run.id, self.view.info.name, checkpoint=checkpoint))

    def action_apply(self) -> None:
        if self.view is None:
            return
        run, verdict = self.view.run, self.view.verdict
        if not verdict.remedies:
            self.notify(
                f"Nothing to apply: “{verdict.word}” has no automatic remedy. "
                "Press d for details and suggestions."
            )
            return
        origin = Origin(run.id, self.view.info.name)
        ask_for_remedy(self.app, self.slm, verdict, run, origin)


def _is_live(run: Run) -> bool:
    try:
        return run.info().state in store.LIVE_STATES
    except RunError:
        return False


def _set_title(widget: Widget, title: str) -> None:
    if widget.border_title != title:  # setting the same text would repaint the whole widget
        widget.border_title = title
