"""The web server: the page, its static files, its websocket, and downloads."""

import asyncio
import contextlib
import errno
import os
import secrets
import signal
import socket
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from string import Template

import textual_serve
from aiohttp import WSCloseCode, web
from textual_serve.download_manager import DownloadManager

from slm_tui.errors import SlmTuiError, cause_of
from slm_tui.tui.web.access import Access, guarded
from slm_tui.tui.web.page_app import PageApp

_STATIC = Path(textual_serve.__file__).parent / "static"
_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SMALLEST_FONT, _FONT, _LARGEST_FONT = 6, 16, 60
_CLOSE_SECONDS = 600.0


class WebServer:
    """Serves the app on a bound socket.

    Args:
        command: starts one app, which draws with `PageDriver`.
        listener: from `listen`.
        host: the name or address it is bound to.
    """

    def __init__(self, command: Sequence[str], listener: socket.socket, host: str) -> None:
        port = listener.getsockname()[1]
        self._command = command
        self._listener = listener
        self._access = Access(host, port)
        self._downloads = DownloadManager()
        self._pages: set[web.WebSocketResponse] = set()
        self.url = f"http://{_in_url(host)}:{port}/?token={self._access.token}"

    async def serve(self, stop: asyncio.Event) -> None:
        """Answer requests until `stop` is set; then close all pages and wait for their apps."""
        application = guarded(self._access)
        application.add_routes(
            [
                web.get("/", self._page),
                web.get("/ws", self._websocket),
                web.get("/download/{key}", self._download),
                web.static("/static", _STATIC),
            ]
        )
        # Requests are not logged: the first one has the token.
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=_CLOSE_SECONDS)
        application.on_shutdown.append(self._close_pages)
        await runner.setup()
        try:
            await web.SockSite(runner, self._listener).start()
            await stop.wait()
        finally:
            await runner.cleanup()

    async def _close_pages(self, _: web.Application) -> None:
        for page in tuple(self._pages):
            await page.close(code=WSCloseCode.GOING_AWAY, message=b"the server ended")

    async def _page(self, request: web.Request) -> web.StreamResponse:
        nonce = secrets.token_urlsafe(16)
        text = (resources.files("slm_tui.tui.web") / "page.html").read_text(encoding="utf-8")
        response = web.Response(
            text=Template(text).substitute(nonce=nonce, font=_font(request)),
            content_type="text/html",
            headers={"Content-Security-Policy": _POLICY.format(nonce=nonce)},
        )
        self._access.set_cookie(response)
        return response

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        page = web.WebSocketResponse(heartbeat=15)
        await page.prepare(request)
        self._pages.add(page)
        try:
            app = PageApp(self._command, page, self._downloads)
            await app.talk(request.query.get("width"), request.query.get("height"))
        finally:
            self._pages.discard(page)
        return page

    async def _download(self, request: web.Request) -> web.StreamResponse:
        key = request.match_info["key"]
        try:
            file = await self._downloads.get_download_metadata(key)
        except KeyError:
            raise web.HTTPNotFound from None
        # Never shown as a page of this origin.
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{_file_name(file.file_name)}"',
        }
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        async for chunk in self._downloads.download(key):
            await response.write(chunk)
        await response.write_eof()
        return response


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to `host` and `port`; 0 takes any free port.

    Raises:
        SlmTuiError: the address cannot be used.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or 0
        # Python adds the address to the system's reason. An unknown host has a negative number.
        why = os.strerror(number) if number > 0 else cause_of(error)
        is_port = number > 0 and number != errno.EADDRNOTAVAIL
        remedy = "try another --port" if is_port else "check --host"
        raise SlmTuiError(f"cannot listen at {_in_url(host)}:{port}", why, remedy) from None


def run(server: WebServer, closing: Callable[[], None], again: Callable[[], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP.

    Args:
        closing: called at the first signal.
        again: called at each further one.
    """
    asyncio.run(_run(server, closing, again))


async def _run(server: WebServer, closing: Callable[[], None], again: Callable[[], None]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end(*_: object) -> None:
        if stop.is_set():
            again()
            return
        closing()
        stop.set()

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if (number := getattr(signal, name, None)) is None:
            continue
        try:
            loop.add_signal_handler(number, end)
        except NotImplementedError:
            with contextlib.suppress(ValueError):
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(end))
    await server.serve(stop)


def _font(request: web.Request) -> int:
    try:
        return min(max(int(request.query["fontsize"]), _SMALLEST_FONT), _LARGEST_FONT)
    except (KeyError, ValueError):
        return _FONT


def _file_name(name: str) -> str:
    return "".join(char if char.isalnum() or char in "-_. " else "_" for char in name)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
