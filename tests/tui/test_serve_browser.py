"""`slm-tui serve` in a real browser: headless Chromium, driven over its DevTools protocol."""

import asyncio
import base64
import io
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from slm_tui.config.preset import Preset
from slm_tui.runs import store
from tests import extent, limits
from tests.tui.terminals import end_runs, steps, until
from tests.tui.web_pages import Served

pytest.importorskip("textual_serve", reason="textual-serve is not installed")
Image = pytest.importorskip("PIL.Image", reason="pillow is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    extent.only_in_all,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
    pytest.mark.xdist_group("terminal"),
]


class Tab:
    """One tab of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, folder: Path) -> None:
        self._socket = socket
        self._folder = folder
        self._numbers = itertools.count(1)
        self.problems: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            answer = await self._socket.receive_json(timeout=limits.LIMIT)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        if event["method"] == "Runtime.exceptionThrown":
            self.problems.append(str(event["params"]))
        elif event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.problems.append(str(event["params"]["entry"]))

    async def value(self, expression: str) -> Any:
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    async def until(self, expression: str) -> None:
        end = time.monotonic() + limits.LIMIT
        while not await self.value(expression):
            assert time.monotonic() < end, f"{expression} never came true: {self.problems}"
            await asyncio.sleep(0.1)

    async def type(self, text: str) -> None:
        for char in text:
            key = "Enter" if char == "\r" else char
            code = 13 if char == "\r" else 0
            await self.call(
                "Input.dispatchKeyEvent",
                type="keyDown",
                text=char,
                key=key,
                windowsVirtualKeyCode=code,
            )
            await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def picture(self, name: str) -> Any:
        """A screenshot, also kept in the test's directory."""
        data = base64.b64decode((await self.call("Page.captureScreenshot"))["data"])
        (self._folder / f"{name}.png").write_bytes(data)
        return Image.open(io.BytesIO(data)).convert("RGB")


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    """An empty tab of a browser with a profile of its own."""
    profile = tmp_path / "profile"
    assert CHROMIUM is not None
    process = limits.start(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--window-size=1280,800",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        file = profile / "DevToolsActivePort"
        port = until(lambda: file.exists() and file.read_text().split("\n")[0])
        async with aiohttp.ClientSession() as client:
            async with client.get(f"http://127.0.0.1:{port}/json/list") as answer:
                (target,) = [one for one in await answer.json() if one["type"] == "page"]
            address = target["webSocketDebuggerUrl"]
            async with client.ws_connect(address, max_msg_size=0) as socket:
                one = Tab(socket, tmp_path)
                for domain in ("Page", "Runtime", "Log"):
                    await one.call(f"{domain}.enable")
                yield one
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def colors(picture: Any) -> int:
    """How many colors cover more than a few points."""
    return sum(count > 20 for count, _ in picture.getcolors(1 << 24))


async def test_a_preset_trains_in_a_browser(tmp_path: Path, quick: Preset, tab: Tab) -> None:
    served = Served(tmp_path, "--port", "0")
    try:
        await tab.call("Page.navigate", url=served.url)
        await tab.until("document.body && document.body.classList.contains('-first-byte')")
        assert "token" not in await tab.value("location.href")
        await asyncio.sleep(3)
        first = await tab.picture("first")
        await tab.type("/quick")
        await asyncio.sleep(1)
        await tab.type("\r")
        await asyncio.sleep(1)
        await tab.type("t")
        run = until(lambda: store.all_runs()[0] if store.all_runs() else None)
        until(lambda: steps(run) > 500)
        await asyncio.sleep(2)
        training = await tab.picture("training")
        assert training.size == first.size
        assert colors(first) > 10
        assert colors(training) > 10
        assert training.tobytes() != first.tobytes()
        await tab.type(" ")
        until(lambda: run.info().state == "paused")
        await tab.type(" ")
        until(lambda: run.info().state == "running")
        # The server ends: the page says so, and the run continues.
        assert served.end() == 0
        await tab.until("document.body.classList.contains('-closed')")
        await tab.picture("closed")
        at = steps(run)
        until(lambda: steps(run) > at + 20)
        assert tab.problems == []
    finally:
        served.process.kill()
        end_runs()
