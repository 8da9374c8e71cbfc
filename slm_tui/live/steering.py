"""Steering a run from another process: a socket in its directory, for its owner only.

A request is a line of JSON, `{"verb": "pause"}` or `{"verb": "extend", "value": 500}`, with the
verbs of `training.control` and `status`. The answer is a line of JSON: `{"ok": true}`, for
`status` with the state of the run, or `{"error": "..."}`.
"""

import contextlib
import json
import math
import os
import selectors
import socket
import stat
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from slm_tui import safe_files
from slm_tui.errors import RunError
from slm_tui.runs.info import SOCKET
from slm_tui.training.control import Request, Verb

MOST_STEPS = 10_000_000
_VERBS = get_args(Verb)
_LONGEST_PATH = 100  # bytes; sun_path holds 108 on Linux and 104 on macOS, with the zero
_LONGEST_LINE = 4096
_LONGEST_ANSWER = 1 << 16
_MOST_CLIENTS = 16
_ANSWER_SECONDS = 1.0


def serve(
    directory: Path, status: Callable[[], dict[str, Any]], obey: Callable[[Request], None]
) -> "Server | None":
    """Listen in `directory`, in a thread, for as long as the run is trained here.

    `obey` may raise a RunError, which is sent to the client. `None` if there can be no such
    socket: training continues, and other processes can only watch it.
    """
    try:
        return Server(directory, status, obey)
    except (OSError, AttributeError):
        return None


class Server:
    """One thread that answers all clients without blocking on any.

    Raises:
        OSError: the file system does not support sockets, or the directory is not writable.
        AttributeError: the system has no Unix sockets.
    """

    def __init__(
        self,
        directory: Path,
        status: Callable[[], dict[str, Any]],
        obey: Callable[[Request], None],
    ) -> None:
        self._path = directory / SOCKET
        self._status = status
        self._obey = obey
        self._clients: dict[socket.socket, _Client] = {}
        self._listening = _listen(directory)
        self._wake, self._woken = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._main, name="steering", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Disconnect all clients and remove the socket."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._wake.send(b"\0")
        self._thread.join()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _main(self) -> None:
        while not self._closed.is_set():
            for key, _ in self._selector.select():
                if key.fileobj is self._listening:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._clients:
                    self._receive_from(key.fileobj)
        for client in list(self._clients):
            self._drop(client)
        self._selector.close()
        for own in (self._listening, self._wake, self._woken):
            own.close()

    def _accept(self) -> None:
        try:
            client, _ = self._listening.accept()
        except OSError:
            # Out of file descriptors, or the client has gone: wait before retrying.
            self._closed.wait(0.2)
            return
        if not _is_owner(client):
            client.close()
            return
        if len(self._clients) >= _MOST_CLIENTS:
            self._drop(min(self._clients, key=lambda one: self._clients[one].heard_at))
        client.setblocking(False)
        self._clients[client] = _Client(time.monotonic())
        self._selector.register(client, selectors.EVENT_READ)

    def _drop(self, client: socket.socket) -> None:
        del self._clients[client]
        with contextlib.suppress(OSError, KeyError, ValueError):
            self._selector.unregister(client)
        client.close()

    def _receive_from(self, client: socket.socket) -> None:
        state = self._clients[client]
        state.heard_at = time.monotonic()
        try:
            data = client.recv(_LONGEST_LINE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        state.held += data
        *lines, state.held = state.held.split(b"\n")
        if not data or len(state.held) > _LONGEST_LINE:
            self._drop(client)
            return
        for line in lines:
            answer = json.dumps(self._answer(line)).encode() + b"\n"
            try:
                sent = client.send(answer)
            except OSError:
                sent = 0
            if sent < len(answer):  # the client has gone, or does not read the answer
                self._drop(client)
                return

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            wish = safe_files.parse_json(line)
            if wish.get("verb") == "status":
                return {"ok": True, "status": self._status()}
            self._obey(_request(wish))
        except RunError as error:
            return {"error": str(error)}
        except Exception as error:  # noqa: BLE001 - no request may stop the thread
            return {"error": f"not understood ({type(error).__name__})"}
        return {"ok": True}


@dataclass
class _Client:
    heard_at: float
    held: bytes = b""


def _request(wish: dict[str, Any]) -> Request:
    """The request in a line.

    Raises:
        RunError: there is no such verb, or its value is invalid.
    """
    verb, value = wish.get("verb"), wish.get("value", 0.0)
    if verb not in _VERBS:
        raise RunError(f"unknown request {verb!r}", "", f"use one of {', '.join(_VERBS)}")
    return checked(Request(cast(Verb, verb), float(value)))


def checked(request: Request) -> Request:
    """`request`, if its value is valid.

    Raises:
        RunError: it is invalid; the error says what is valid.
    """
    value = request.value
    if request.verb == "rate" and not (math.isfinite(value) and 1e-6 <= value <= 1e6):
        raise RunError("the learning rate cannot be multiplied by this value", "", "try 0.5 or 2")
    if request.verb == "extend" and not (value == value // 1 and 1 <= value <= MOST_STEPS):
        raise RunError(f"the steps to add must be a whole number from 1 to {MOST_STEPS:,}")
    return request


def _listen(directory: Path) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_address(directory) as address:
            # The caller has locked the run, so an existing socket is from a killed process.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address)
            listening.bind(address)
            os.chmod(address, 0o600)
        # No client can connect before this, so the mode is set in time.
        listening.listen(_MOST_CLIENTS)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


@contextlib.contextmanager
def short_address(directory: Path) -> Iterator[str]:
    """A path to the socket that is short enough, however deep the directory is."""
    path = str(directory / SOCKET)
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield path
    elif os.path.isdir("/proc/self/fd"):
        handle = os.open(directory, os.O_RDONLY)
        try:
            yield f"/proc/self/fd/{handle}/{SOCKET}"
        finally:
            os.close(handle)
    else:
        with tempfile.TemporaryDirectory(prefix="slm-") as short:
            link = Path(short) / "run"
            link.symlink_to(directory.absolute())
            yield str(link / SOCKET)


def _is_owner(client: socket.socket) -> bool:
    """Whether the client is the same user; if the OS cannot tell, the file mode decides."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    size = struct.calcsize("3i")
    try:
        _, user, _ = struct.unpack(
            "3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        )
    except OSError:
        return False
    return bool(user == os.getuid())


def ask(
    directory: Path, verb: str, value: float = 0.0, seconds: float = _ANSWER_SECONDS
) -> dict[str, Any]:
    """Send a request to the process that trains the run in `directory`; wait up to `seconds`.

    Raises:
        RunError: no process listens, it does not answer in time, or it rejects the request.
    """
    name = directory.name
    try:
        _check_socket(directory / SOCKET)
        line = _exchange(directory, json.dumps({"verb": verb, "value": value}), seconds)
        answer = safe_files.parse_json(line)
    except TimeoutError:
        raise RunError(
            f"run {name} does not respond",
            "its process is stopped or very busy",
            "try again later",
        ) from None
    except (OSError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or "it accepts no requests"
        raise RunError(
            f"run {name} can only be watched from here",
            reason,
            "control it where it was started, or stop it cleanly with kill -TERM",
        ) from None
    except ValueError:
        raise RunError(f"run {name} sent an invalid answer", "", "try again") from None
    if not isinstance(answer, dict) or "error" in answer:
        raise RunError(
            f"run {name} rejected the request",
            str(answer.get("error")) if isinstance(answer, dict) else "",
        )
    return answer


def _check_socket(path: Path) -> None:
    """Raise unless `path` is a socket of this user, and not a link to another program's.

    Raises:
        OSError: it is something else, or does not exist.
    """
    status = os.lstat(path)
    if not stat.S_ISSOCK(status.st_mode):
        raise safe_files.UnsafeFileError(path, f"{path.name} is {safe_files.kind_of(status)}")
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        raise safe_files.UnsafeFileError(path, f"{path.name} belongs to another user")


def _exchange(directory: Path, request: str, seconds: float) -> bytes:
    end = time.monotonic() + seconds
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(seconds)
        with short_address(directory) as address:
            _connect(line, address, end)
        line.sendall(request.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n") and len(answer) < _LONGEST_ANSWER:
            line.settimeout(max(0.001, end - time.monotonic()))
            data = line.recv(_LONGEST_ANSWER)
            if not data:
                break
            answer += data
    return answer


def _connect(line: socket.socket, address: str, end: float) -> None:
    while True:
        try:
            line.connect(address)
        except BlockingIOError:
            # The backlog is full: unlike other kinds, this socket does not block.
            if time.monotonic() > end:
                raise TimeoutError from None
            time.sleep(0.02)
        else:
            return
