"""One app behind one page: its process, and the packets between it and the browser."""

import asyncio
import contextlib
import json
import select
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from typing import Any

from aiohttp import WSMessage, WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

_DRIVER = "slm_tui.tui.web.driver:PageDriver"
# Columns and rows of a page; more would only take memory.
_MOST_CELLS = 1000


class PageApp(AppService):  # type: ignore[misc]
    """Starts the app for a page, and hangs up on it when the page closes.

    A closed page is to the app what a closed terminal is: a run in it continues in the background.

    Args:
        command: the program and its arguments. No shell reads them.
        page: the websocket of the page.
        downloads: shared by all pages.
    """

    def __init__(
        self, command: Sequence[str], page: web.WebSocketResponse, downloads: DownloadManager
    ) -> None:
        super().__init__(
            "",
            write_bytes=self._send_bytes,
            write_str=self._send_text,
            close=page.close,
            download_manager=downloads,
        )
        self._task: asyncio.Task[None] | None = None
        self._arguments = command
        self._page = page

    async def talk(self, width: Any, height: Any) -> None:
        """Start the app and pass on what the page sends, until either ends.

        Raises:
            OSError: the process cannot be started.
        """
        await self.start(_cells(width, 80), _cells(height, 24))
        try:
            async for message in self._page:
                # A page that sends something else only loses that.
                with contextlib.suppress(ValueError, LookupError, TypeError, AttributeError):
                    await self._receive(message)
        finally:
            await self.stop()

    async def _receive(self, message: WSMessage) -> None:
        if message.type != WSMsgType.TEXT:
            return
        kind, *values = message.json()
        if kind == "stdin":
            await self.send_bytes(values[0].encode("utf-8"))
        elif kind == "resize":
            size = values[0]
            await self.set_terminal_size(_cells(size["width"], 80), _cells(size["height"], 24))
        elif kind == "ping":
            await self._send_text(json.dumps(["pong", values[0]]))
        elif kind == "blur":
            await self.blur()
        elif kind == "focus":
            await self.focus()

    async def stop(self) -> None:
        """Hang up, and wait until the app has ended or left the run to the background."""
        task, self._task = self._task, None
        if task is None:
            return
        await self._download_manager.cancel_app_downloads(app_service_id=self.app_service_id)
        if not hasattr(select, "poll"):
            # There the app does not notice that its input ended.
            await self.send_meta({"type": "quit"})
        self.stdin.close()
        await task
        if self._process is not None:
            await self._process.wait()

    async def run(self) -> None:
        """Pass on the app's packets until it closes its output, then close the page."""
        assert self._process is not None
        output = self._process.stdout
        assert output is not None
        receive = {b"D": self.on_data, b"M": self.on_meta, b"P": self.on_packed}
        with contextlib.suppress(asyncio.IncompleteReadError, ValueError):
            await output.readuntil(b"__GANGLION__\n")
            while True:
                kind = await output.readexactly(1)
                size = int.from_bytes(await output.readexactly(4), "big")
                payload = await output.readexactly(size)
                if kind in receive:
                    await receive[kind](payload)
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._page.close()

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        environment: dict[str, str] = super()._build_environment(width, height)
        return {**environment, "TEXTUAL_DRIVER": _DRIVER}

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        # In its own session: ctrl+c in the server's terminal is not meant for it. Its messages go
        # where those of the server go.
        process = await asyncio.create_subprocess_exec(
            *self._arguments,
            stdin=PIPE,
            stdout=PIPE,
            env=self._build_environment(width, height),
            start_new_session=True,
        )
        self._process, self._stdin = process, process.stdin
        return process

    async def _send_bytes(self, data: bytes) -> None:
        # The page may be closed before the app: the app's output is still read to its end.
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._page.send_bytes(data)

    async def _send_text(self, text: str) -> None:
        with contextlib.suppress(ConnectionError, RuntimeError):
            await self._page.send_str(text)


def _cells(value: Any, default: int) -> int:
    try:
        return min(max(int(value), 1), _MOST_CELLS)
    except (ValueError, TypeError, OverflowError):
        return default
