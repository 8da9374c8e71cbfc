"""The progress line: rewritten on a terminal, a few lines elsewhere."""

import io

import pytest

from slm_tui.commands import progress_line
from slm_tui.commands.progress_line import CorpusProgress, ProgressLine, bar
from slm_tui.corpus.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that the test advances."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(progress_line.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setenv("TERM", "xterm-256color")
    return Clock(monkeypatch)


def test_a_terminal_has_one_line_that_is_rewritten(clock: Clock) -> None:
    out = Terminal()
    line = ProgressLine(out)
    for share in ("10%", "9%"):
        line.show(lambda _, share=share: share)  # type: ignore[misc]
        clock.now += 1
    assert out.getvalue() == "\r10%\r9% "
    line.clear()
    assert out.getvalue().endswith("\r  \r")
    assert "\n" not in out.getvalue()


def test_it_is_rewritten_ten_times_a_second_at_most(clock: Clock) -> None:
    out = Terminal()
    line = ProgressLine(out)
    for number in range(1001):
        line.show(lambda _, number=number: f"{number}")  # type: ignore[misc]
        clock.now += 0.001
    assert out.getvalue().count("\r") <= 11


def test_another_stage_is_shown_at_once(clock: Clock) -> None:
    out = Terminal()
    line = ProgressLine(out)
    line.show(lambda _: "reading 3%", "reading")
    line.show(lambda _: "writing 0%", "writing")
    assert "writing 0%" in out.getvalue()


def test_a_permanent_line_is_printed_above(clock: Clock) -> None:
    out = Terminal()
    line = ProgressLine(out)
    line.show(lambda _: "10%")
    line.say("saved")
    line.show(lambda _: "11%")
    assert out.getvalue() == "\r10%\r   \rsaved\n\r11%"


@pytest.mark.parametrize("kind", ["pipe", "dumb", "no TERM"])
def test_elsewhere_it_prints_few_lines(
    kind: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", {"dumb": "dumb", "no TERM": ""}.get(kind, "xterm"))
    out = io.StringIO() if kind == "pipe" else Terminal()
    progress = CorpusProgress(out)
    for second in range(90):
        progress(Progress("reading", second, 90, "documents", seconds=second))
        clock.now += 1
    progress(Progress("writing"))
    progress.clear()
    lines = out.getvalue().splitlines()
    assert [lines[0], lines[-1], len(lines)] == ["reading…", "writing…", 4]
    assert "33%" in lines[1]
    assert "\r" not in out.getvalue()


def test_in_a_pipe_an_unchanged_line_is_not_repeated(clock: Clock) -> None:
    out = io.StringIO()
    line = ProgressLine(out)
    for _ in range(200):
        line.show(lambda _: "paused")
        clock.now += 1
    assert out.getvalue() == "paused\n"


@pytest.mark.parametrize("share", [-1.0, 0.0, 0.013, 0.5, 0.999, 1.0, 7.0])
def test_a_bar_has_the_requested_width(share: float) -> None:
    assert len(bar(share, 20)) == 20
    assert bar(share, 20).count("█") == int(20 * max(0.0, min(1.0, share)) + 1 / 16)
