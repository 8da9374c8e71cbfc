"""Palette entries for runs: open each run, and load each checkpoint into Chat."""

import functools
from collections.abc import Iterator

from slm_tui.errors import RunError
from slm_tui.runs import store
from slm_tui.training import checkpoint_dir
from slm_tui.tui.base import AppServices, PaletteEntry
from slm_tui.tui.screens.runs.questions import step_of


def entries(app: AppServices) -> Iterator[PaletteEntry]:
    """All runs, newest first, each followed by its checkpoints. Needs no torch."""
    for run in store.all_runs():
        try:
            info = run.info()
        except RunError:
            continue
        opened = functools.partial(app.open_run, run.path)
        yield PaletteEntry(f"Run {info.name}", f"{info.state}, {run.id}", opened)
        for checkpoint in reversed(checkpoint_dir.all_in(run.checkpoints)):
            title = f"Checkpoint {info.name} @ {step_of(checkpoint)}"
            load = functools.partial(app.open_chat, checkpoint)
            yield PaletteEntry(title, f"load into Chat, {run.id}", load)
