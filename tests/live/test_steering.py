"""Steering: every request arrives, only from the owner, and no input does harm."""

import json
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slm_tui import paths
from slm_tui.config.preset import Preset
from slm_tui.errors import RunError
from slm_tui.live import steering
from slm_tui.live.session import Session
from slm_tui.runs.store import Run
from slm_tui.training.control import Request
from tests import limits
from tests.conftest import make_tiny
from tests.limits import until

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
Make = Callable[..., Preset]
PATIENCE = 60.0


@pytest.fixture
def session() -> Iterator[Session]:
    """A run of very many steps, paused at one of the first."""
    started = Session.start(make_tiny(training__max_steps=1_000_000))
    started.control.pause()
    until(lambda: started.status.state == "paused")
    yield started
    started.stop()
    assert started.wait(PATIENCE)


def ask(session: Session, verb: str, value: float = 0.0) -> dict[str, Any]:
    return steering.ask(session.run.path, verb, value, seconds=PATIENCE)


def connected(session: Session) -> socket.socket:
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(PATIENCE)
    until(lambda: connects(line, session.run.path / steering.SOCKET))
    return line


def connects(line: socket.socket, path: Path) -> bool:
    try:
        # Not by its full path, which may be too long for a socket address.
        with steering.short_address(path.parent) as short:
            line.connect(short)
    except BlockingIOError:  # the backlog is full
        return False
    return True


def send_until_hung_up(line: socket.socket, data: bytes) -> None:
    """Send without ever reading."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            line.send(data)
        except BlockingIOError:
            time.sleep(0.001)
        except OSError:
            return
    raise AssertionError("nobody hung up")


def events(run: Run) -> list[str]:
    return [json.loads(line)["event"] for line in (run.path / "events.jsonl").open()]


def test_every_request_is_obeyed(session: Session) -> None:
    at, run = session.status.step, session.run
    for verb, value in (
        ("save", 0.0),
        ("evaluate", 0.0),
        ("sample", 0.0),
        ("rate", 0.5),
        ("extend", 7.0),
    ):
        assert ask(session, verb, value) == {"ok": True}
    until(lambda: session.status.max_steps == 1_000_007)
    result = [json.loads(line) for line in (run.path / "events.jsonl").open()]
    assert [one["verb"] for one in result if one["event"] == "requested"] == [
        "save",
        "evaluate",
        "sample",
    ]
    assert 0.5 in [one.get("value") for one in result]
    assert session.status.step == at
    ask(session, "continue")
    until(lambda: session.status.step > at)
    ask(session, "pause")
    until(lambda: session.status.state == "paused")
    ask(session, "stop")
    assert session.wait(PATIENCE)
    assert run.info().state == "stopped"


def test_the_status_is_that_of_the_session(session: Session) -> None:
    answer = ask(session, "status")["status"]
    status = session.status
    assert (answer["run"], answer["state"], answer["step"]) == (
        session.run.id,
        "paused",
        status.step,
    )
    assert answer["max_steps"] == 1_000_000


def test_stop_works_while_preparing(tiny: Make) -> None:
    started = Session.start(tiny(data__documents=2_000_000, data__limit={}))
    path = started.run.path / steering.SOCKET
    until(path.exists)
    until(lambda: started.status.stage not in ("", "starting"))
    steering.ask(started.run.path, "stop", seconds=PATIENCE)
    assert started.wait(PATIENCE)
    assert started.status.state == "stopped"


def test_the_socket_is_private_and_removed_with_the_run(session: Session) -> None:
    path = session.run.path / steering.SOCKET
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    session.stop()
    assert session.wait(PATIENCE)
    assert not path.exists()
    with pytest.raises(RunError, match="can only be watched"):
        steering.ask(session.run.path, "pause")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs two users")
def test_requests_of_another_user_are_ignored(session: Session) -> None:
    path = session.run.path / steering.SOCKET
    directory = os.open(session.run.path, os.O_RDONLY)
    answers = []
    for mode in (0o600, 0o666):
        path.chmod(mode)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.setgid(65534)
            os.setuid(65534)
            line = socket.socket(socket.AF_UNIX)
            line.settimeout(PATIENCE)
            try:
                line.connect(f"/proc/self/fd/{directory}/{steering.SOCKET}")
                line.sendall(b'{"verb": "continue"}\n')
                os.write(writing, b"heard" if line.recv(100) else b"hung up")
            except OSError as error:
                os.write(writing, (error.strerror or "").encode())
            os._exit(0)
        os.close(writing)
        limits.reap(child)
        answers.append(limits.read(reading, 100).decode())
        os.close(reading)
    os.close(directory)
    assert answers[0] == "Permission denied"
    assert answers[1] in ("hung up", "Connection reset by peer", "Broken pipe")
    assert session.status.state == "paused"


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b"\xff\x00", b'{"verb": "fly"}', b"null"])
def test_invalid_requests_get_an_answer(session: Session, line: bytes) -> None:
    with connected(session) as talk:
        talk.sendall(line + b"\n")
        assert "error" in json.loads(talk.recv(4096))
        talk.sendall(b'{"verb": "status"}\n')
        assert json.loads(talk.recv(4096))["ok"]


@pytest.mark.parametrize(
    ("verb", "value"),
    [("rate", 0.0), ("rate", -1.0), ("rate", float("nan")), ("extend", 0.5), ("extend", -3.0)],
)
def test_invalid_values_are_rejected(session: Session, verb: str, value: float) -> None:
    with pytest.raises(RunError, match="rejected the request"):
        ask(session, verb, value)
    assert events(session.run).count("changed") == 0


def test_strange_clients_do_no_harm(session: Session) -> None:
    silent = [connected(session) for _ in range(40)]
    half = connected(session)
    half.sendall(b'{"verb": "sto')
    huge, deaf = connected(session), connected(session)
    send_until_hung_up(huge, b"x" * 65_536)
    deaf.setblocking(False)
    send_until_hung_up(deaf, b'{"verb": "status"}\n' * 100)
    disconnected = connected(session)
    disconnected.sendall(b'{"verb": "status"}\n')
    disconnected.close()
    assert ask(session, "status")["status"]["state"] == "paused"
    for one in (*silent, half, huge, deaf):
        one.close()
    assert ask(session, "status")["ok"]


def test_too_many_requests_are_refused(session: Session) -> None:
    # Between two polls of the waiting trainer, no request may be lost or pile up forever.
    refused = 0
    with connected(session) as talk:
        answers = talk.makefile("rb")
        for _ in range(300):
            talk.sendall(b'{"verb": "pause"}\n')
            refused += "error" in json.loads(answers.readline())
    assert session.control.waiting <= 100
    until(lambda: not session.control.waiting)
    assert ask(session, "status")["ok"]
    assert refused < 300


def test_a_deep_directory_can_be_steered(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = paths.runs_dir() / ("d" * 100) / ("e" * 100)
    monkeypatch.setattr(paths, "runs_dir", lambda: deep)
    started = Session.start(tiny(training__max_steps=1_000_000))
    until((started.run.path / steering.SOCKET).exists)
    until(lambda: started.status.step > 0)
    steering.ask(started.run.path, "stop", seconds=PATIENCE)
    assert started.wait(PATIENCE)
    assert started.status.state == "stopped"


def test_a_short_path_is_found_without_proc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    monkeypatch.setattr(os.path, "isdir", lambda _path: False)
    requests: list[Request] = []
    server = steering.serve(deep, dict, requests.append)
    assert server is not None
    assert steering.ask(deep, "extend", 3, seconds=PATIENCE) == {"ok": True}
    server.close()
    assert requests == [Request("extend", 3.0)]
    assert list(deep.iterdir()) == []


def test_the_socket_of_a_killed_process_is_replaced(tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / steering.SOCKET))
    stale.close()
    with pytest.raises(RunError, match="can only be watched"):
        steering.ask(tmp_path, "status")
    server = steering.serve(tmp_path, dict, lambda request: None)
    assert server is not None
    assert steering.ask(tmp_path, "status", seconds=PATIENCE)["ok"]
    server.close()


def test_a_run_trains_without_a_socket(tiny: Make) -> None:
    # A directory at the socket's path cannot be replaced.
    started = Session.start(tiny())
    assert started.wait(PATIENCE)
    (started.run.path / steering.SOCKET).mkdir()
    more = Session.resume(started.run, more_steps=3)
    assert more.wait(PATIENCE)
    assert more.status.state == "done"


def test_a_silent_process_blocks_nobody(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(str(tmp_path / steering.SOCKET))
        hung.listen()
        with pytest.raises(RunError, match="does not respond"):
            steering.ask(tmp_path, "pause", seconds=0.1)
