"""The messages of unexpected errors."""

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from slm_tui.errors import RunError, in_words
from slm_tui.live.session import Session
from tests.conftest import make_tiny
from tests.training.forks import FullMemory, run

NO_THREAD = "cannot start another thread: the limit on processes or memory has been reached"


def thread_in_full_memory() -> str:
    full = FullMemory(0)
    try:
        threading.Thread(target=print).start()
    except RuntimeError as error:
        return in_words(error)
    finally:
        full.free()
    return "it started"


def session_in_full_memory() -> str:
    begin: Any = Session._begin

    def without_memory(session: Session) -> None:
        full = FullMemory(0)
        try:
            begin(session)
        finally:
            full.free()

    Session._begin = without_memory  # type: ignore[method-assign]
    try:
        Session.start(make_tiny())
    except RunError as error:
        return str(error)
    return "it started"


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's memory limit")
def test_a_thread_that_cannot_start_is_reported_with_a_remedy(home: Path) -> None:
    assert run(thread_in_full_memory, home).startswith(NO_THREAD)
    assert run(session_in_full_memory, home).startswith(f"training cannot start: {NO_THREAD}")


def test_a_thread_that_torch_cannot_start_gets_the_same_message() -> None:
    assert in_words(RuntimeError("Resource temporarily unavailable")).startswith(NO_THREAD)


def test_a_system_error_keeps_its_text_and_names_the_file() -> None:
    assert in_words(PermissionError(13, "Permission denied", "a.txt")) == "Permission denied: a.txt"
    assert in_words(PermissionError(13, "Permission denied")) == "Permission denied"


def test_any_other_error_names_its_class() -> None:
    assert in_words(KeyError("a")) == "KeyError: 'a'"
    assert in_words(RecursionError()) == "RecursionError"
