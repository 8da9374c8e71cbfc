"""Running out of file descriptors: the number left decides where the process fails."""

import contextlib
import os
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

from slm_tui import paths
from slm_tui.errors import SlmTuiError
from slm_tui.live.session import Session
from slm_tui.runs import store
from tests import limits
from tests.conftest import make_tiny
from tests.training.forks import run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors as Linux does")
LIMIT = 256
ENOUGH = 200
REMEDY = "close other programs, or raise the limit on open files (ulimit -n)"


@contextlib.contextmanager
def descriptors(free: int) -> Any:
    """Limit this process to `free` more open files."""
    limits_before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, limits_before[1]))
    opened = []
    with contextlib.suppress(OSError):
        while True:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    for _ in range(free):
        os.close(opened.pop())
    try:
        yield
    finally:
        for one in opened:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits_before)


def started_with(free: int) -> tuple[str, str]:
    """How and why a run that starts with `free` descriptors ends."""
    preset = make_tiny(training__max_steps=4)
    with descriptors(free):
        try:
            session = Session.start(preset)
        except SlmTuiError as error:
            return "refused", str(error)
        assert session.wait(limits.LIMIT)
        return session.status.state, session.status.error


def every_start() -> list[tuple[int, str, str, list[str]]]:
    # A first run has loaded the modules and prepared the corpus.
    assert started_with(ENOUGH)[0] == "done"
    (corpus,) = paths.corpora_dir().glob("[!.]*/train.bin")
    whole = corpus.stat()
    ends = []
    for free in (*range(12), ENOUGH):
        before = set(os.listdir(paths.runs_dir()))
        state, why = started_with(free)
        ends.append((free, state, why, len(set(os.listdir(paths.runs_dir())) - before)))
        # It can be prepared again only while its text exists.
        assert corpus.stat() == whole
    return ends


def test_a_start_without_descriptors_is_reported_and_leaves_nothing_behind(home: Path) -> None:
    ends = run(every_start, home)
    refused = [one for one in ends if one[1] != "done"]
    assert len(refused) > 5
    for _, _, why, left in refused:
        assert "Too many open files" in why
        assert why.endswith(REMEDY)
        assert left <= 1
    hidden = list(paths.runs_dir().glob(".*"))
    assert all(one.name.startswith(".making-") for one in hidden)
    assert {one.info().state for one in store.all_runs()} == {"done"}
    assert ends[-1][:2] == (ENOUGH, "done")
    for one in hidden:
        os.utime(one, (0, 0))
    assert run(started_with, home, ENOUGH)[0] == "done"
    assert list(paths.runs_dir().glob(".*")) == []


def every_resume() -> list[tuple[str, str]]:
    session = Session.start(make_tiny(training__max_steps=8, training__checkpoint_every=2))
    assert session.wait(limits.LIMIT)
    names = sorted(os.listdir(session.run.checkpoints))
    ends = []
    for free in range(40):
        with descriptors(free):
            try:
                # Readers may see incomplete data, but it is never called damaged.
                with contextlib.suppress(SlmTuiError):
                    store.checkpoint_of(session.run)
                again = Session.resume(session.run, more_steps=1)
            except SlmTuiError as error:
                ends.append(("refused", str(error)))
                continue
            assert again.wait(limits.LIMIT)
            ends.append((again.status.state, again.status.error))
        if ends[-1][0] == "done":
            break
        assert sorted(os.listdir(session.run.checkpoints)) == names
    return ends


def test_a_resume_without_descriptors_never_goes_back_to_an_older_checkpoint(home: Path) -> None:
    ends = run(every_resume, home)
    assert ends[-1] == ("done", "")
    for _, why in ends[:-1]:
        assert "Too many open files" in why
        assert why.endswith(REMEDY)
    (one,) = store.all_runs()
    # One more step in total: none was repeated from an older checkpoint.
    assert one.info().step == 9
