"""Another model is loaded after a completion: what was written stays, and can be continued."""

from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.screens.chat.screen import ChatScreen
from tests.conftest import make_tiny
from tests.tui.made_runs import add_checkpoints, add_run, until


async def test_a_completion_stays_and_continues_when_a_newer_checkpoint_is_loaded() -> None:
    preset = make_tiny()
    run = add_run("growing", preset=preset, checkpoints=[10])
    async with SlmTuiApp(load_torch=False).run_test(size=(80, 24)) as pilot:
        await pilot.press("4")
        screen = pilot.app.screen
        assert isinstance(screen, ChatScreen)
        await until(pilot, lambda: screen.generation.state == "ready")
        screen.begin("Once")
        entry = screen.writer.entry
        assert entry is not None
        await until(pilot, lambda: entry.ending)
        written = entry.text
        assert written
        add_checkpoints(run, preset, [20])
        await until(pilot, lambda: screen.query_one("#newer").display)
        await pilot.press("f8")
        await until(pilot, lambda: screen.generation.facts and screen.generation.facts.step == 20)
        await until(pilot, lambda: screen.generation.state == "ready")
        assert entry.text == written
        assert written.split()[0] in screen.transcript.as_text()
        screen.action_continue()
        await until(pilot, lambda: entry.ending)
        assert entry.text.startswith(written)
