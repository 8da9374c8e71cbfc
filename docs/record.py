"""Records the animated screenshot of the README from the real program.

    python docs/record.py [--output docs/first-minutes.svg] [--width 100] [--height 30]

Opens the app in a temporary home directory, trains the default preset for two minutes, chats with
the best checkpoint, and combines screenshots into one animated SVG. Takes about three minutes.
"""

import argparse
import asyncio
import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROMPT = "Once upon a time"
CAPTURE_SECONDS = 4.0
TRAINING_SECONDS = 100.0
MOST_TRAINING_FRAMES = 9


@dataclass(frozen=True)
class Frame:
    """One screenshot, and how long it is shown, in seconds."""

    svg: str
    seconds: float


async def record(width: int, height: int) -> list[Frame]:
    """Drive the app through its first minutes and return the frames in order."""
    from slm_tui.live.training_workshop import TrainingWorkshop
    from slm_tui.tui.app import SlmTuiApp
    from slm_tui.tui.screens.chat.prompt_input import PromptInput
    from slm_tui.tui.screens.chat.screen import ChatScreen

    workshop = TrainingWorkshop()
    app = SlmTuiApp(workshop)
    frames: list[Frame] = []

    def capture(seconds: float) -> None:
        frames.append(Frame(app.export_screenshot(), seconds))

    async with app.run_test(size=(width, height)) as pilot:
        await pilot.pause(2.0)
        capture(2.5)
        await pilot.press("t")
        training: list[str] = []
        until = time.monotonic() + TRAINING_SECONDS
        while workshop.session is None or (workshop.session.is_live and time.monotonic() < until):
            await pilot.pause(CAPTURE_SECONDS)
            training.append(app.export_screenshot())
        if workshop.session.is_live:
            workshop.session.stop()
            while workshop.session.is_live:
                await pilot.pause(0.2)
        await pilot.pause(3.0)
        frames += [Frame(one, 1.0) for one in _spread(training, MOST_TRAINING_FRAMES)]
        capture(3.0)
        await pilot.press("b")
        screen: Any = app.screen
        assert isinstance(screen, ChatScreen)
        while screen.generation.state != "ready":
            await pilot.pause(0.2)
        capture(1.0)
        screen.query_one(PromptInput).value = PROMPT
        await pilot.pause(0.3)
        capture(1.0)
        await pilot.press("enter")
        while screen.transcript.last_text is None or not screen.transcript.last_text.ending:
            await pilot.pause(0.1)
            capture(0.4)
        capture(3.0)
        await pilot.press("ctrl+s")
        await pilot.pause(3.0)
        capture(4.0)
    return frames


def _spread(shots: list[str], most: int) -> list[str]:
    """At most `most` of the screenshots, with more from the beginning, where most happens."""
    if len(shots) <= most:
        return shots
    last = len(shots) - 1
    places = {round(last * (number / (most - 1)) ** 1.7) for number in range(most)}
    return [shots[place] for place in sorted(places)]


def animated(frames: list[Frame]) -> str:
    """One SVG that shows the frames in a loop."""
    total = sum(frame.seconds for frame in frames)
    box = re.search(r'viewBox="([^"]+)"', frames[0].svg)
    assert box is not None
    rules, groups, at = [], [], 0.0
    for number, frame in enumerate(frames):
        begin, end = 100 * at / total, 100 * (at + frame.seconds) / total
        hidden = "visibility:hidden"
        rules.append(
            f"@keyframes k{number}{{0%{{{hidden}}}{begin:.3f}%{{visibility:visible}}"
            f"{end:.3f}%{{{hidden}}}100%{{{hidden}}}}}"
            f".f{number}{{{hidden};animation:k{number} {total:.2f}s step-end infinite}}"
        )
        # Classes and ids in a screenshot contain a number, shared by frames that look alike.
        svg = re.sub(r"terminal-\d+", f"t{number}", frame.svg)
        groups.append(f'<g class="f{number}">{svg}</g>')
        at += frame.seconds
    style = "<style>" + "".join(rules) + "</style>"
    body = "".join(groups)
    return f'<svg viewBox="{box[1]}" xmlns="http://www.w3.org/2000/svg">{style}{body}</svg>\n'


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_name("first-minutes.svg")
    )
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--height", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["SLM_TUI_HOME"] = home
        frames = asyncio.run(record(options.width, options.height))
    options.output.write_text(animated(frames), encoding="utf-8")
    size = options.output.stat().st_size
    print(f"{len(frames)} frames, {size / 1e6:.1f} MB: {options.output}")


if __name__ == "__main__":
    main()
