"""`slm-tui serve`: who may connect, and what happens to a run when the page or server closes."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from slm_tui import cli
from slm_tui.config.preset import Preset
from slm_tui.runs import store
from tests import extent
from tests.tui.terminals import end_runs, events, steps, until
from tests.tui.web_pages import Page, Served, browser, origin, page, until_gone

pytest.importorskip("textual_serve", reason="textual-serve is not installed")

from slm_tui.tui.web import access, server

# Draws one line and what it receives, in packets; ends with its input.
ECHO = r"""
import os
def draw(data): os.write(1, b"D" + len(data).to_bytes(4, "big") + data)
os.write(1, b"__GANGLION__\n")
draw(b"size " + os.environ["COLUMNS"].encode() + b"x" + os.environ["ROWS"].encode())
while data := os.read(0, 65536):
    draw(data)
draw(b"ended")
"""


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """The address of a server whose app is `ECHO`."""
    listener = server.listen("127.0.0.1", 0)
    web = server.WebServer([sys.executable, "-c", ECHO], listener, "127.0.0.1")
    stop = asyncio.Event()
    serving = asyncio.create_task(web.serve(stop))
    yield web.url
    stop.set()
    await asyncio.wait_for(serving, 30)


async def status(client: aiohttp.ClientSession, url: str, path: str, **headers: str) -> int:
    base = url.split("/?")[0]
    async with client.get(f"{base}{path}", headers=headers, allow_redirects=False) as answer:
        return answer.status


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
PATHS = ["/", "/static/js/textual.js", "/static/", "/ws", "/download/x", "/elsewhere"]
WRONG = ["", "?token=", "?token=wrong", "?token=%ff%fe", "?token=wrong&token=x"]


async def test_every_request_needs_the_token(url: str) -> None:
    async with aiohttp.ClientSession() as client:
        for path in PATHS:
            for query in WRONG:
                assert await status(client, url, path + query) == 403, path + query
        assert await status(client, url, "/ws", **UPGRADE, **origin(url)) == 403
        # The token opens the page; all else needs the cookie that the page sets.
        token = "?" + url.partition("?")[2]
        assert await status(client, url, "/static/js/textual.js" + token) == 403
        cookies = {"Cookie": f"slm_tui_{aiohttp.client.URL(url).port}=wrong"}
        assert await status(client, url, "/", **cookies) == 403


async def test_a_page_loads_its_files_with_the_cookie(url: str) -> None:
    async with browser(url) as client:
        (cookie,) = client.cookie_jar
        assert (cookie["httponly"], cookie["samesite"]) == (True, "Strict")
        assert cookie.value not in url
        for path in ("/", "/static/js/textual.js", "/static/css/xterm.css"):
            assert await status(client, url, path) == 200
        assert await status(client, url, "/download/x") == 404
        assert await status(client, url, "/static/../server.py") in (403, 404)
        # A token that is out of date is refused, cookie or not.
        assert await status(client, url, "/?token=wrong") == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:8000", "Origin": "http://127.0.0.1.evil.example:8000"},
    ],
)
async def test_other_sites_and_names_are_refused_even_with_the_cookie(
    url: str, headers: dict[str, str]
) -> None:
    async with browser(url) as client:
        (cookie,) = client.cookie_jar
        # As a browser sends it that ignores the limits of the cookie.
        headers = {"Cookie": f"{cookie.key}={cookie.value}", **headers}
        assert await status(client, url, "/ws", **{**origin(url), **UPGRADE, **headers}) == 403
        assert await status(client, url, "/", **headers) == 403
        assert await status(client, url, "/ws", **UPGRADE) == 403  # no origin at all


async def test_a_tunnel_may_have_another_name_and_port(url: str) -> None:
    async with browser(url) as client:
        (cookie,) = client.cookie_jar
        headers = {"Cookie": f"{cookie.key}={cookie.value}", "Host": "localhost:9"}
        assert await status(client, url, "/", **headers) == 200
        headers = {"Cookie": f"{cookie.key}={cookie.value}", "Host": "[::1]:9"}
        assert await status(client, url, "/", **headers) == 200


async def test_a_page_talks_to_its_own_app(url: str) -> None:
    async with browser(url) as client, page(client, url, width=10**9) as one:
        async with page(client, url, width="wide") as two:
            await one.wait_for("size 1000x40")
            await two.wait_for("size 80x40")
            await two.press("to two")
            assert "one" not in await two.wait_for("to two")
            # What no page sends changes nothing.
            for wrong in ([], {}, 1, ["stdin"], ["stdin", 1], ["resize", []], ["resize", {}]):
                await two.socket.send_json(wrong)
            await two.socket.send_str("{")
            await two.socket.send_json(["ping", "1"])
            assert await two.wait_for("$") == ""
            await two.press("still here")
            await two.wait_for("still here")
        await one.press("to one")
        await one.wait_for("to one")


async def test_a_page_closes_with_its_app(url: str) -> None:
    async with browser(url) as client:
        web = server.WebServer([sys.executable, "-c", ""], server.listen("::1", 0), "::1")
        stop = asyncio.Event()
        serving = asyncio.create_task(web.serve(stop))
        async with browser(web.url) as client, page(client, web.url) as one:
            assert (await one.socket.receive(30)).type == aiohttp.WSMsgType.CLOSE
        stop.set()
        await serving


# The command


def test_a_missing_package_and_a_port_in_use_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["serve", "--port", str(port)]) == 1
    out = capsys.readouterr()
    assert out.err == (
        f"slm-tui: cannot listen at 127.0.0.1:{port}: Address already in use; try another --port\n"
    )
    assert cli.main(["serve", "--host", "no.such.host.invalid"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("; check --host")
    # An address for documentation, which no machine has.
    assert cli.main(["serve", "--host", "192.0.2.1"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("; check --host")
    for name in [name for name in sys.modules if name.startswith("slm_tui.tui.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("slm_tui.tui.web")
    monkeypatch.setitem(sys.modules, "textual_serve", None)
    assert cli.main(["serve"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("pip install 'slm-tui[serve]'")


@pytest.mark.parametrize(
    ("host", "warns"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)]
)
def test_only_other_machines_are_worth_a_warning(
    host: str, warns: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "run", lambda *_, **__: None)
    assert cli.main(["serve", "--host", host, "--port", "0"]) == 0
    out = capsys.readouterr()
    assert out.out.count("token=") == 1
    assert ("not encrypted" in out.err) == warns
    assert access.is_loopback(host) == (not warns)


@pytest.mark.xdist_group("terminal")
async def test_a_run_survives_its_page_and_the_server(tmp_path: Path, quick: Preset) -> None:
    """The real app behind the real server."""
    served = Served(tmp_path, "--port", "0")
    try:
        async with browser(served.url) as client:
            async with page(client, served.url) as one:
                await train(one)
                run = until(lambda: store.all_runs()[0] if store.all_runs() else None)
                until(lambda: steps(run) > 20)
                apps = served.processes()
                assert apps
            # Closing the page hangs up; the run leaves it, and nothing else stays.
            await until_gone(apps)
            at = steps(run)
            until(lambda: steps(run) > at + 20)
            assert f"{run.id} keeps training in the background" in served.said()
            async with page(client, served.url) as two:
                await two.wait_for("stories-tiny")
                apps = served.processes()
                assert served.end(signal.SIGINT) == 0
                await until_gone(apps)
                assert (await two.socket.receive(30)).type != aiohttp.WSMsgType.ERROR
        assert served.said().count("token=") == 1
        assert "Traceback" not in served.said()
        assert run.info().state == "running"
        os.kill(run.info().pid, signal.SIGTERM)
        until(lambda: run.info().state == "stopped")
        assert "failed" not in events(run)
    finally:
        served.process.kill()
        end_runs()


async def train(page: Page) -> None:
    """Train the preset `quick` from the list."""
    await page.wait_for("stories-tiny ★")
    await page.press("/quick")
    await page.wait_for("─ quick ─")
    await page.press("\r")
    await page.wait_for("Train")
    await page.press("t")
    await page.wait_for("training")


@extent.only_in_all
@pytest.mark.xdist_group("terminal")
@pytest.mark.parametrize("how", ["SIGTERM to the app", "SIGKILL to the server"])
async def test_other_ends_lose_nothing(tmp_path: Path, quick: Preset, how: str) -> None:
    served = Served(tmp_path, "--port", "0")
    try:
        async with browser(served.url) as client, page(client, served.url) as one:
            await train(one)
            run = until(lambda: store.all_runs()[0] if store.all_runs() else None)
            until(lambda: steps(run) > 20)
            if how == "SIGTERM to the app":
                (app,) = served.processes()
                os.kill(app, signal.SIGTERM)
                until(lambda: run.info().state == "stopped")
                assert (await drained(one)) == aiohttp.WSMsgType.CLOSE
                until(lambda: f"saved at step {run.info().step:,}" in served.said())
                assert served.end() == 0
            else:
                apps = served.processes()
                served.process.kill()
                await until_gone(apps)
                at = steps(run)
                until(lambda: steps(run) > at + 20)
    finally:
        served.process.kill()
        end_runs()


async def drained(page: Page) -> Any:
    """The type of the last message of the page."""
    while (message := await page.socket.receive(60)).type == aiohttp.WSMsgType.BINARY:
        pass
    return message.type
