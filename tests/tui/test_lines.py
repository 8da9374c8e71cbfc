"""Panes of lines are as high as their lines, also when their screen has just been opened."""

from pathlib import Path

import pytest
from textual.widgets import Static

from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.widgets.lines import Lines
from tests.tui.made_runs import until
from tests.tui.shown import ShownWorkshop, make_run


@pytest.mark.parametrize("attempt", range(3))
async def test_a_verdict_that_comes_while_the_screen_is_opened_hides_no_line(
    attempt: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which of two updates is laid out depends on the moment; without the second layout, five of
    six attempts failed."""
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    run = make_run("stories-tiny", 2, steps=1840, rate=1.0)
    app = SlmTuiApp(workshop=ShownWorkshop(run.id), load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        app.open_run(run.path)
        await pilot.press("2")
        await until(pilot, lambda: bool(app.screen.query("#diagnosis")))
        pane = app.screen.query_one("#diagnosis", Lines)
        text = pane.query_one(Static)

        def is_whole() -> bool:
            shown = "\n".join(
                "".join(segment.text for segment in strip)
                for strip in app.screen._compositor.render_strips()
            )
            return "STILL LEARNING" in shown and "floor 0.122" in shown and "00:37" in shown

        await until(pilot, is_whole)
        rows = text.get_content_height(text.container_size, app.size, text.content_size.width)
        assert text.content_size.height == rows
