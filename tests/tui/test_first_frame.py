"""The first frame: what it needs, that it is drawn once, and what is loaded after it."""

import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest
from textual._compositor import Compositor
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.widget import Widget

from slm_tui.tui import dialogs
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.base import RoomScreen
from slm_tui.tui.widgets.status_line import StatusLine
from tests import extent


def written(widget: Widget) -> str:
    return str(widget.render())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("size", extent.sizes([(66, 20), (80, 24), (120, 40), (200, 60)]))
async def test_the_first_frame_is_styled_once_and_no_picture_is_discarded(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Textual would apply all styles three times, and draw a picture that it discards."""
    drawn: list[int] = []
    styled: list[int] = []
    at_first: list[int] = []
    draw, style = Compositor.render_full_update, Stylesheet.update_nodes

    def count_drawn(self: Compositor, *arguments: object, **options: object) -> object:
        drawn.append(app._batch_count)
        return draw(self, *arguments, **options)  # type: ignore[arg-type]

    def count_styled(self: Stylesheet, nodes: Iterable[DOMNode], animate: bool = False) -> None:
        nodes = list(nodes)
        styled.append(len(nodes))
        style(self, nodes, animate)

    class Once(SlmTuiApp):
        def _after_first_frame(self) -> None:
            at_first.append(max(styled))
            super()._after_first_frame()

    monkeypatch.setattr(Compositor, "render_full_update", count_drawn)
    monkeypatch.setattr(Stylesheet, "update_nodes", count_styled)
    app = Once(load_torch=False)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        widgets = len(app.screen.query("*"))
    # While updates are in a batch, pictures are discarded.
    assert drawn
    assert not any(drawn)
    # The focus changes the styles of a few widgets.
    assert widgets > 10 > 2 * at_first[0]


def test_the_first_frame_needs_no_heavy_library(home: Path) -> None:
    code = """
import sys
from slm_tui.live.training_workshop import TrainingWorkshop
from slm_tui.tui.app import SlmTuiApp

class Once(SlmTuiApp):
    def _after_first_frame(self):
        self.seen = list(sys.modules)
        super()._after_first_frame()
        self.exit()
app = Once(workshop=TrainingWorkshop())
app.run(headless=True, size=(120, 40))
heavy = {"torch", "numpy", "tiktoken", "plotext", "datasets", "tokenizers"}
later = {"slm_tui.live.other_process_runs", "slm_tui.runs.store", "slm_tui.training.events"}
assert not (heavy | later) & set(app.seen), (heavy | later) & set(app.seen)
assert later <= set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_torch_loads_after_the_first_frame_and_the_hint_disappears(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    release, waited = threading.Event(), threading.Event()

    def import_slowly(self: SlmTuiApp) -> None:
        release.wait(10)
        self.torch_ready.set()
        waited.set()

    monkeypatch.setattr(SlmTuiApp, "_import_torch", import_slowly)
    app = SlmTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        screen = app.screen
        assert isinstance(screen, RoomScreen)
        assert "loading torch…" in written(screen.query_one(StatusLine))
        release.set()
        assert waited.wait(10)
        screen.refresh_status()
        assert "torch" not in written(screen.query_one(StatusLine))


async def test_a_broken_torch_is_reported_once_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    app = SlmTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(40):
            await pilot.pause(0.05)
            if isinstance(app.screen, dialogs.Notice):
                break
        assert isinstance(app.screen, dialogs.Notice)
        assert "doctor" in app.screen.error.remedy
        await pilot.press("escape")
        await pilot.pause(0.6)
        assert isinstance(app.screen, RoomScreen)
        assert "no torch" in written(app.screen.query_one(StatusLine))
