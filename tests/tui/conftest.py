"""Fixtures for tests of the app."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual._styles_cache import StylesCache

from slm_tui import paths
from slm_tui.config import library
from slm_tui.config.preset import Preset, parse
from slm_tui.live.other_process_runs import OtherProcessRuns
from tests.tui.terminals import Terminal, end_runs
from tests.tui.two_presets import MINE, TINY

READERS = ("run-scanner", "other-runs", "suite-watcher", "queue-notices")


@pytest.fixture(autouse=True)
def _readers_have_ended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ends what still looks for runs, and waits for the last look: it would read the next test's
    runs."""
    before = set(threading.enumerate())
    started: list[OtherProcessRuns] = []
    start = OtherProcessRuns.start

    def noted(self: OtherProcessRuns) -> None:
        if self not in started:
            started.append(self)
        start(self)

    monkeypatch.setattr(OtherProcessRuns, "start", noted)
    yield
    for one in started:
        one.close()
    # The first of them starts one of the others.
    for names in (("watch-queue",), READERS):
        for thread in set(threading.enumerate()) - before:
            if thread.name in names:
                thread.join(5)


@pytest.fixture(autouse=True)
def _lines_are_freed() -> Iterator[None]:
    """Textual keeps the lines of a thousand widgets that are gone; garbage collections visited them
    for a fifth of the time of these tests."""
    yield
    StylesCache.get_inner_outer.cache_clear()


@pytest.fixture
def quick(home: Path) -> Preset:
    """A user preset that trains for a while, in small steps."""
    preset = parse(
        {
            "name": "quick",
            "data": {"kind": "stories", "richness": "tiny", "documents": 300},
            "tokenizer": {"kind": "bytes"},
            "model": {"n_layer": 1, "n_head": 2, "n_embd": 32, "block_size": 32},
            "training": {
                "max_steps": 100_000,
                "micro_batch": 4,
                "threads": 1,
                "evaluate_every": 200,
                "evaluate_batches": 2,
                "sample_every": 400,
                "checkpoint_every": 500,
            },
            "sampling": {"max_tokens": 40},
        },
        "the test's preset",
    )
    library.save(preset)
    return preset


@pytest.fixture
def terminal(tmp_path: Path, home: Path) -> Iterator[Terminal]:
    started = Terminal(tmp_path)
    yield started
    started.close()
    end_runs()


@pytest.fixture
def two_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with the presets of `two_presets.py`; returns its directory."""
    home = tmp_path / "home"
    monkeypatch.setenv("SLM_TUI_HOME", str(home))
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "stories-tiny.toml").write_text(TINY)
    monkeypatch.setattr(paths, "builtin_presets_dir", lambda: shipped)
    mine = home / "config" / "presets"
    mine.mkdir(parents=True)
    (mine / "mine.toml").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return home
