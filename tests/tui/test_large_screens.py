"""What Presets, Runs and Data do with a terminal of 200 by 60."""

from pathlib import Path
from typing import Any

import pytest

from slm_tui.config import library
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.screens.presets.screen import PresetsScreen
from tests.conftest import make_tiny
from tests.tui.cut_hints import rows_of
from tests.tui.made_runs import add_run, until
from tests.tui.test_data_screen import Tiny, chosen, comes, opened
from tests.tui.test_runs_screen import open_runs, with_checkpoints

LARGE = (200, 60)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    return tmp_path


async def test_the_runs_are_on_top_and_their_chart_is_wide() -> None:
    add_run("a-run", checkpoints=[10], best=10)
    app: Any = SlmTuiApp(load_torch=False)
    async with app.run_test(size=LARGE) as pilot:
        screen = await open_runs(pilot, 1)
        await with_checkpoints(pilot, screen)
        table, chart = screen.query_one("#table-pane"), screen.query_one("#chart")
        assert table.region.width == 200
        assert chart.region.y >= table.region.bottom
        assert chart.region.width > 2 * chart.region.height
        line = next(row for row in rows_of(app) if "a-run" in row and "done" in row)
        # Figures stay close to the name.
        assert line.index("done") - line.index("a-run") < 70
        # Titles are written again when a pane has got its width.
        await until(pilot, lambda: "space selects runs to compare" in "\n".join(rows_of(app)))
        await pilot.press("]")
        await until(pilot, lambda: not chart.region.area)
        assert table.region.width == 200
        await pilot.press("]")
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: table.region.width < 120)
        assert "-vast" not in screen.classes


async def test_titles_of_presets_are_aligned_and_whole() -> None:
    library.save(make_tiny())
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=LARGE) as pilot:
        await pilot.pause()
        presets = app.screen
        assert isinstance(presets, PresetsScreen)
        width = presets.presets.size.width
        places = set()
        for number, row in enumerate(presets.presets.rows):
            entry = library.find(row.key)
            if entry is not None and entry.builtin and entry.preset is not None:
                text = presets.presets.draw_row(row, number, width).plain
                assert entry.preset.title in text
                places.add(text.index(entry.preset.title, 1 + len(row.key)))
        assert len(places) == 1


async def test_a_finding_about_a_text_is_shown_in_whole(tiny: Tiny) -> None:
    preset = chosen(tiny())
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=LARGE) as pilot:
        screen = await opened(pilot, preset)
        await comes(pilot, screen, "tokens/param")
        finding = screen.worker.snapshot.verdicts[0].text
        region = screen.query_one("#summary").region
        pane = [row[1 : region.right - 1] for row in rows_of(app)[region.y + 1 : region.bottom]]
        assert finding in " ".join(" ".join(pane).split())
        assert not any("…" in row for row in pane)
