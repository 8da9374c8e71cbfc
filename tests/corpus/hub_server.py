"""A small local hub: just enough of its API to find and download files of datasets and models."""

import hashlib
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "a" * 40
_BLOCK = 1 << 12


class Hub:
    """Serves `root/<owner>/<name>/<files>`; `seconds_per_block` makes downloads slow."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seconds_per_block = 0.0
        self.sent = threading.Event()
        hub = self

        class Handler(_Handler):
            served = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator["Hub"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    served: Hub

    def log_message(self, *_: Any) -> None:
        """Do not log."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = urllib.parse.urlsplit(self.path).path.strip("/").split("/")
        if parts[0] == "api" and parts[1:2] in (["datasets"], ["models"]) and len(parts) >= 4:
            self._about("/".join(parts[2:4]), parts[4:])
        elif "resolve" in parts:
            at = parts.index("resolve")
            name = parts[1:at] if parts[0] == "datasets" else parts[:at]
            self._file(self.served.root / Path(*name) / Path(*parts[at + 2 :]))
        elif parts[0] == "plain":
            self._file(self.served.root / Path(*parts[1:]))
        else:
            self._send(404, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        repository = self.served.root / Path(*self.path.strip("/").split("/")[2:4])
        kind = self.headers.get("Content-Type", "")
        request = json.loads(body) if "json" in kind else urllib.parse.parse_qs(body.decode())
        paths = [repository / one for one in request.get("paths", [])]
        self._json([_entry(repository, one) for one in paths if one.exists()])

    def _about(self, name: str, rest: list[str]) -> None:
        repository = self.served.root / name
        if not repository.is_dir():
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif rest[:1] == ["tree"]:
            directory = repository / Path(*rest[2:])
            entries = sorted(directory.iterdir()) if directory.is_dir() else []
            self._json([_entry(repository, one) for one in entries])
        else:
            files = [one for one in sorted(repository.rglob("*")) if one.is_file()]
            names = [{"rfilename": one.relative_to(repository).as_posix()} for one in files]
            about = {"id": name, "sha": COMMIT, "private": False, "gated": False, "tags": []}
            self._json({**about, "siblings": names})

    def _file(self, path: Path) -> None:
        if not path.is_file():
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        data, code = path.read_bytes(), 200
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
        if byte_range := self.headers.get("Range"):
            first, last = byte_range.split("=")[1].split("-")
            begin, end = int(first), int(last) if last else len(data) - 1
            headers["Content-Range"] = f"bytes {begin}-{end}/{len(data)}"
            data, code = data[begin : end + 1], 206
        self._send(code, data, {**headers, "Accept-Ranges": "bytes"})

    def _json(self, values: Any) -> None:
        self._send(200, json.dumps(values).encode(), {"Content-Type": "application/json"})

    def _send(self, code: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            for at in range(0, len(data), _BLOCK):
                self.wfile.write(data[at : at + _BLOCK])
                if self.served.seconds_per_block and len(data) > _BLOCK:
                    self.served.sent.set()
                    time.sleep(self.served.seconds_per_block)
        except OSError:
            self.close_connection = True


def _entry(repository: Path, path: Path) -> dict[str, Any]:
    name = path.relative_to(repository).as_posix()
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": "b" * 40, "size": 0}
    oid = hashlib.sha1(path.read_bytes()).hexdigest()
    return {"type": "file", "path": name, "oid": oid, "size": path.stat().st_size}
