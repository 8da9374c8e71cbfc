"""The real web server, and pages of it without a browser."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests import limits
from tests.tui.terminals import plain_environment

_SEQUENCE = re.compile(r"\x1b(\[[0-9;?<>=$]*[A-Za-z]|\][^\x07]*\x07)")


class Served:
    """`slm-tui serve` with these words; its messages go to a file."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._log = folder / "serve.log"
        with self._log.open("w") as log:
            self.process = limits.start(
                [sys.executable, "-m", "slm_tui", "serve", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=plain_environment(),
            )
        found = limits.until(lambda: re.search(r"http://\S+", self.said()) or self._ended())
        self.url = found[0]

    def said(self) -> str:
        return self._log.read_text()

    def _ended(self) -> None:
        assert self.process.poll() is None, self.said()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status after a signal."""
        self.process.send_signal(number)
        return self.process.wait(limits.LIMIT)

    def processes(self) -> list[int]:
        """Its child processes."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]


class Page:
    """A websocket to the app; collects what it draws, without escape sequences."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self._drawn = b""

    def text(self) -> str:
        return _SEQUENCE.sub("", self._drawn.decode("utf-8", "replace"))

    async def wait_for(self, pattern: str, seconds: float = limits.LIMIT) -> str:
        """What was drawn since the last call, once `pattern` is in it."""
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text()):
            assert time.monotonic() < end, f"{pattern!r} never came: {self.text()}"
            message = await self.socket.receive(seconds)
            assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), self.text()
            if message.type == aiohttp.WSMsgType.BINARY:
                self._drawn += message.data
        text, self._drawn = self.text(), b""
        return text

    async def press(self, keys: str) -> None:
        await self.socket.send_json(["stdin", keys])


def origin(url: str) -> dict[str, str]:
    return {"Origin": url.split("/?")[0]}


@asynccontextmanager
async def browser(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A client that has opened the page at `url` and keeps its cookie."""
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an IP address too
    async with aiohttp.ClientSession(cookie_jar=jar) as client:
        async with client.get(url) as answer:
            assert answer.status == 200
        yield client


@asynccontextmanager
async def page(client: aiohttp.ClientSession, url: str, **query: Any) -> AsyncIterator[Page]:
    """The websocket that the page at `url` opens."""
    address = url.split("?")[0] + "ws"
    query = {"width": 120, "height": 40, **query}
    async with client.ws_connect(address, params=query, headers=origin(url)) as socket:
        yield Page(socket)


async def until_gone(pids: list[int]) -> None:
    """Wait until all these processes have ended."""
    end = time.monotonic() + limits.LIMIT
    while any(os.path.exists(f"/proc/{pid}") for pid in pids):
        assert time.monotonic() < end, pids
        await asyncio.sleep(0.05)
