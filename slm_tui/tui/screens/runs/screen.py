"""The Runs screen: a table of runs, one run's checkpoints, curves and settings of several."""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from slm_tui.config.drafts import Origin
from slm_tui.errors import CheckpointError, RunError, SlmTuiError
from slm_tui.experiments.queue_watcher import QueueWatcher
from slm_tui.live.run_scanner import CheckpointLine, RunDetail, RunLine, RunScanner
from slm_tui.runs import filter as filters
from slm_tui.runs.store import Run
from slm_tui.text import one_line
from slm_tui.tui.actions import BY_ID, Action, Room
from slm_tui.tui.base import RoomScreen
from slm_tui.tui.dialogs import copy, show_error_notice
from slm_tui.tui.resume_dialog import ask_to_resume
from slm_tui.tui.screens.experiments.lists import QueueList
from slm_tui.tui.screens.experiments.queue_pane import QueuePane, queue_actions
from slm_tui.tui.screens.runs import compare
from slm_tui.tui.screens.runs.changes import RunChanges
from slm_tui.tui.screens.runs.columns import (
    SORT_WORDS,
    SORTS,
    arranged,
    checkpoints_title,
    runs_title,
)
from slm_tui.tui.screens.runs.export import ask_to_export
from slm_tui.tui.screens.runs.questions import ask_to_evaluate, step_of
from slm_tui.tui.screens.runs.ranking import RunsRanking
from slm_tui.tui.screens.runs.table import CheckpointList, Heading, Overlay, RunFacts, RunsTable
from slm_tui.tui.widgets.line_list import LineList, Row

_CHANGES = ("keep", "promote", "delete", "rename", "undo")
_ON_CHECKPOINTS = ("load", "evaluate", "fork", "export", *_CHANGES)


class RunsScreen(RoomScreen):
    """The Runs screen."""

    ROOM: ClassVar[Room] = "runs"
    CSS_PATH = Path(__file__).with_suffix(".tcss")
    AUTO_FOCUS = "#table"

    def __init__(self) -> None:
        super().__init__()
        self.reader = RunScanner()
        self.queue_watcher = QueueWatcher()
        self.queue = QueuePane(self.queue_watcher.wake, id="queue-pane")
        self.note = ""
        self._drawn = 0
        self._sort = "when"
        self._axis = "steps"
        self._filter_problem = ""
        self._shown_run: Path | None = None
        # The run whose checkpoints another screen asked to show, until they are loaded.
        self._target: Path | None = None

    def compose_body(self) -> Iterable[Widget]:
        with Vertical(id="table-pane", classes="pane"):
            yield Input(id="filter", classes="-plain", placeholder="name, or: val<1.5 group:vocab")
            yield Heading(id="heading")
            yield RunsTable(id="table")
            yield self.queue
        yield Overlay("", empty="No evaluations yet", id="chart", classes="pane")
        yield CheckpointList(id="checkpoints", classes="pane")
        yield RunFacts(id="facts", classes="pane")
        yield Static("Reading runs…", id="nothing", classes="empty-state", markup=False)

    def on_mount(self) -> None:
        self.changes = RunChanges(self.app, self._changed)
        self.ranking = RunsRanking(self.app)
        self.query_one("#filter").display = False
        self.query_one("#body").add_class("-empty")

    def on_screen_resume(self) -> None:
        self.reader.wake()
        self.queue_watcher.wake()

    def on_screen_suspend(self) -> None:
        self.reader.sleep()
        self.queue_watcher.sleep()

    def on_unmount(self) -> None:
        self.reader.close()
        self.queue_watcher.close()

    # Current items

    @property
    def table(self) -> RunsTable:
        return self.query_one(RunsTable)

    @property
    def current(self) -> RunLine | None:
        return self.table.current

    @property
    def current_checkpoint(self) -> Path | None:
        line = self.query_one(CheckpointList).current
        return line.path if line is not None else None

    @property
    def on_checkpoints(self) -> bool:
        return isinstance(self.focused, CheckpointList)

    # Drawing

    def refresh_room(self) -> None:
        self.ranking.show()
        self.queue.show(self.queue_watcher.state, max(4, self.size.height // 4))
        snapshot = self.reader.snapshot
        if snapshot.version != self._drawn:
            self._drawn = snapshot.version
            self.draw()

    def draw(self) -> None:
        """Draw everything from the newest snapshot."""
        lines = self.reader.snapshot.lines
        empty = not lines
        self.query_one("#body").set_class(empty, "-empty")
        if empty:
            words = "Reading runs…"
            if self.reader.snapshot.version:
                words = "No runs yet. Press 1, choose a preset and press t."
                words += f"\n{self.note}" if self.note else ""
            self.query_one("#nothing", Static).update(Content(words))
            self.table.show([])
            return
        here = {line.path for line in lines}
        self.table.selected = [path for path in self.table.selected if path in here]
        query = self.query_one("#filter", Input).value
        wanted = filters.read(query)
        if wanted.needs_presets and not self.reader.snapshot.has_presets:
            # The thread reads them; until then, a filter over settings hides nothing.
            query = ""
            self.reader.reads_presets = True
            self.reader.wake()
        shown = arranged(lines, self._sort, query)
        self.table.show(shown)
        self._filter_problem = wanted.problem
        self._draw_titles(len(shown), len(lines))
        if self.focused is None:
            self.table.focus()
        self._go_to_target()
        self._look()
        self._draw_current()

    def show_checkpoints(self, path: Path) -> None:
        """Put the cursor on the checkpoints of a run, clearing the filter if needed."""
        self._target = path
        if self.is_mounted:
            self.step_out_of_filter()
        if self._drawn:
            self.draw()

    def _go_to_target(self) -> None:
        if self._target is not None and self.table.select(str(self._target)):
            self._target = None
            self.query_one(CheckpointList).focus()

    def _draw_titles(self, shown: int, total: int) -> None:
        words = one_line(self._filter_problem, 60)
        note = self.note or SORT_WORDS[self._sort]
        title = words or runs_title(shown, total, len(self.table.selected), note)
        self.query_one("#table-pane").border_title = Content(f" {title} ")
        titles = self.query_one(Heading)
        titles.sort = self._sort
        titles.refresh()

    def _look(self) -> None:
        current = self.current
        focused = [current.path] if current else []
        self.reader.look([*focused, *self.table.selected])

    def _draw_current(self) -> None:
        """The panes that follow the cursor and the selection."""
        current, details = self.current, self.reader.snapshot.details
        detail = details.get(current.path) if current else None
        self._draw_checkpoints(current, detail)
        bare = (detail is not None and detail.checkpoints == ()) or (current and current.error)
        self.query_one("#body").set_class(bool(bare), "-bare")
        pairs = self._pairs()
        self._draw_facts(current, detail, pairs)
        chart = self.query_one(Overlay)
        bits = compare.in_bits(pairs) or self.slm.in_bits
        chart.border_title = f"validation loss, {'bits per byte' if bits else 'nats per token'}"
        chart.x_mode, chart.unit = self._axis, "bpb" if bits else "nats"
        chart.show(compare.chart_data(pairs, self._axis, bits=bits))

    def _pairs(self) -> list[tuple[RunLine, RunDetail]]:
        """The compared runs: the selected ones, else the one under the cursor."""
        lines = {line.path: line for line in self.reader.snapshot.lines}
        details = self.reader.snapshot.details
        paths = self.table.selected or ([self.current.path] if self.current else [])
        return [(lines[path], details[path]) for path in paths if path in details]

    def _draw_checkpoints(self, current: RunLine | None, detail: RunDetail | None) -> None:
        widget = self.query_one(CheckpointList)
        checkpoints = detail.checkpoints if detail is not None else None
        reset = checkpoints is not None and (current is None or current.path != self._shown_run)
        widget.show(checkpoints or (), reset=reset)
        if checkpoints is not None and current is not None:
            self._shown_run = current.path
        title = checkpoints_title(current, checkpoints)
        # While comparing runs on a narrow screen, the pane is hidden and has no width.
        room = (widget.size.width or self.size.width) - 4
        widget.border_title = title.truncate(max(8, room), ellipsis=True)

    def _draw_facts(
        self,
        current: RunLine | None,
        detail: RunDetail | None,
        pairs: list[tuple[RunLine, RunDetail]],
    ) -> None:
        widget = self.query_one("#facts", RunFacts)
        width = widget.scrollable_content_region.width or max(30, self.size.width - 2)
        if len(pairs) > 1:
            widget.border_title = Content(" differences ")
            lines = compare.differences(pairs, width)
        elif current is not None:
            widget.border_title = compare.facts_title(widget.outer_size.width)
            lines = compare.facts(current, detail, width)
        else:
            lines = []
        rows = [Row(str(at), line) for at, line in enumerate(lines)]
        if rows != widget.rows:
            widget.set_rows(rows)

    # Moving about

    def on_line_list_highlighted(self, message: LineList.Highlighted) -> None:
        if isinstance(message.owner, RunsTable):
            self._look()
            self._draw_current()

    async def on_line_list_chosen(self, message: LineList.Chosen) -> None:
        if isinstance(message.owner, RunsTable | CheckpointList | QueueList):
            self.action_open()

    def on_resize(self) -> None:
        if self._drawn:
            self.call_after_refresh(self.draw)

    on_run_facts_widened = on_resize

    def watch_focused(self) -> None:
        super().watch_focused()
        if self.is_mounted:
            self.set_class(self.on_checkpoints, "-on-checkpoints")

    def footer_actions(self) -> list[Action]:
        if self.queue.is_focused:
            return [*queue_actions(), BY_ID["runs.open"], BY_ID["runs.suites"]]
        if not self.on_checkpoints:
            return super().footer_actions()
        return [BY_ID[f"runs.{name}"] for name in _ON_CHECKPOINTS]

    def sort_by(self, name: str) -> None:
        """Sort the table by this column."""
        self._sort = name
        self.note = ""
        self.draw()

    def on_heading_clicked(self, message: Heading.Clicked) -> None:
        self.sort_by(message.name)

    def action_sort(self) -> None:
        self.sort_by(SORTS[(SORTS.index(self._sort) + 1) % len(SORTS)])

    def action_axis(self) -> None:
        axes = compare.AXES
        self._axis = axes[(axes.index(self._axis) + 1) % len(axes)]
        self._draw_current()

    def action_log(self) -> None:
        chart = self.query_one(Overlay)
        chart.log_y = not chart.log_y
        self._draw_current()

    def action_smoothing(self) -> None:
        self.query_one(Overlay).smooth_more()

    def action_units(self) -> None:
        """Nats per token or bits per byte; different tokenizers only compare in bits."""
        if compare.in_bits(self._pairs()):
            self.app.notify("Only bits per byte compare different tokenizers", markup=False)
            return
        self.slm.in_bits = not self.slm.in_bits
        self._draw_current()

    def action_pin(self) -> None:
        line = self.current
        if line is not None:
            self.changes.pin(line)

    def action_suites(self) -> None:
        self.slm.open_experiments()

    def action_compare(self) -> None:
        """Rank the selected runs, or all that are shown."""
        shown = [line.path for line in self.table.lines.values()]
        self.ranking.start(self.table.selected or shown)

    def action_select(self) -> None:
        current = self.current
        if current is None:
            return
        selected = self.table.selected
        if current.path in selected:
            selected.remove(current.path)
        else:
            selected.append(current.path)
        self.set_class(len(selected) > 1, "-comparing")
        self.draw()
        self.table.refresh()

    def action_sidebar_right(self) -> None:
        self.toggle_class("-comparing" if self.has_class("-narrow") else "-no-right")

    def action_filter(self) -> None:
        box = self.query_one("#filter", Input)
        box.display = True
        box.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if self._drawn:
            self.draw()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.input.display = bool(event.value)
        self.table.focus()

    def action_zoom(self) -> None:
        super().action_zoom()
        self.query_one("#body").set_class(self.is_zoomed, "-single")

    def step_out(self) -> bool:
        if self.is_zoomed:
            self.action_zoom()
            return True
        if self.step_out_of_filter():
            return True
        if self.has_class("-comparing"):
            self.remove_class("-comparing")
            return True
        return super().step_out()

    def step_out_of_filter(self) -> bool:
        """Show all runs again; return whether some were hidden."""
        box = self.query_one("#filter", Input)
        if not box.display:
            return False
        box.value = ""
        box.display = False
        self.table.focus()
        return True

    def action_copy(self) -> None:
        path = self.current_checkpoint if self.on_checkpoints else None
        path = path or (self.current.path if self.current else None)
        if path is not None:
            copy(self.app, str(path))

    # Changing runs

    def _usable(self) -> RunLine | None:
        """The run under the cursor; shows a notice if it is unusable."""
        line = self.current
        if line is not None and line.error:
            show_error_notice(self.app, RunError(line.error, "", "D moves it to the trash"))
            return None
        return line

    def _idle(self, line: RunLine | None) -> RunLine | None:
        """The run if it is not training; else shows a notice."""
        if line is not None and line.is_live:
            busy = f"{one_line(line.name)} is training"
            show_error_notice(self.app, RunError(busy, "", "stop it first (2, then x)"))
            return None
        return line

    def _checkpoint(self) -> Path | None:
        """The checkpoint under the cursor; shows a notice if there is none."""
        line = self._usable()
        if line is None:
            return None
        if self.current_checkpoint is None:
            name = one_line(line.name)
            remedy = "r resumes the run" if not line.is_live else "wait until it saves one"
            show_error_notice(
                self.app, CheckpointError(f"{name} has no checkpoint yet", "", remedy)
            )
        return self.current_checkpoint

    def _changed(self, note: str) -> None:
        self.note = note
        self.reader.wake()

    def action_open(self) -> None:
        if self.queue.is_focused:
            self.queue.open(self.slm)
        elif self.on_checkpoints:
            self.action_load()
        elif (line := self._usable()) is not None:
            self.slm.open_run(line.path)

    def action_load(self) -> None:
        checkpoint = self._checkpoint()
        if checkpoint is not None:
            self.slm.open_chat(checkpoint)

    def action_evaluate(self) -> None:
        """Evaluate the checkpoint under the cursor, or compare the best ones of the selected
        runs."""
        several = list(self.table.selected) if not self.on_checkpoints else []
        is_training = self.slm.workshop.is_training
        if len(several) > 1:
            what = f"the best checkpoints of {len(several)} runs"
            ask_to_evaluate(self.app, several, what, is_training=is_training)
            return
        checkpoint, line = self._checkpoint(), self.current
        if checkpoint is not None and line is not None:
            what = f"{one_line(line.name, 30)} @ {step_of(checkpoint)}"
            ask_to_evaluate(self.app, [checkpoint], what, is_training=is_training)

    def action_resume(self) -> None:
        line = self._idle(self._usable())
        if line is not None:
            run = Run(line.path)
            started = functools.partial(self.slm.open_run, line.path)
            ask_to_resume(self.app, self.slm.workshop, run, line.info, started)

    def action_fork(self) -> None:
        checkpoint, line = self._checkpoint(), self.current
        if checkpoint is None or line is None:
            return
        try:
            preset = Run(line.path).preset()
        except SlmTuiError as error:
            show_error_notice(self.app, error)
            return
        origin = Origin(Run(line.path).id, line.name, checkpoint=checkpoint)
        self.slm.edit_settings(preset, origin)

    def action_export(self) -> None:
        """Write the checkpoint in the format of another program."""
        checkpoint, line = self._checkpoint(), self.current
        if checkpoint is not None and line is not None:
            ask_to_export(self.app, checkpoint, line)

    def action_rename(self) -> None:
        """Rename the run, or label the checkpoint."""
        if self.on_checkpoints:
            if (checkpoint := self.query_one(CheckpointList).current) is not None:
                self.changes.label(checkpoint)
        elif (line := self._idle(self._usable())) is not None:
            self.changes.rename(line)

    def action_keep(self) -> None:
        """Keep the checkpoint, or no longer."""
        if (checkpoint := self._chosen_checkpoint()) is not None:
            self.changes.keep(checkpoint)

    def action_promote(self) -> None:
        """Make the checkpoint the best one of its run."""
        checkpoint = self._chosen_checkpoint()
        if checkpoint is not None and self._idle(self.current) is not None:
            self.changes.promote(checkpoint)

    def _chosen_checkpoint(self) -> CheckpointLine | None:
        """The checkpoint under the cursor; shows a notice if the focus is elsewhere."""
        if not self.on_checkpoints:
            self.app.notify("Move to a checkpoint first (tab)", markup=False)
            return None
        return self.query_one(CheckpointList).current

    def action_delete(self) -> None:
        """Delete the run, or the checkpoint if its list has the focus."""
        line = self._idle(self.current)
        if line is None:
            return
        if not self.on_checkpoints:
            self.changes.delete(line)
            return
        listed = self.query_one(CheckpointList)
        if listed.current is not None:
            is_only = len(listed.checkpoints) == 1
            self.changes.delete_checkpoint(line, listed.current, is_only=is_only)

    def action_undo(self) -> None:
        self.changes.undo()
