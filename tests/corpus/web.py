"""A local web server: it answers at once, or stops in the middle of its answer."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests import limits


class Server(ThreadingHTTPServer):
    """Serves `files` by name; of `slow` ones only the first half until `may_finish` is set."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], slow: frozenset[str] = frozenset()) -> None:
        self.files = files
        self.slow = slow
        self.waiting = threading.Event()
        self.may_finish = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    def address(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def _begin(self) -> bytes | None:
        data = self.server.files.get(self.path.lstrip("/"))
        if data is None:
            self.send_response(404)
            # The hub's answer if it has no such dataset.
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        return data

    def do_HEAD(self) -> None:
        self._begin()

    def do_GET(self) -> None:
        data = self._begin()
        if data is None:
            return
        half = len(data) // 2
        try:
            self.wfile.write(data[:half])
            if self.path.lstrip("/") in self.server.slow:
                self.server.waiting.set()
                self.server.may_finish.wait(300)
            self.wfile.write(data[half:])
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def serving(files: dict[str, bytes], *slow: str) -> Iterator[Server]:
    """A server that runs until the block ends."""
    with Server(files, frozenset(slow)) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.may_finish.set()
            server.shutdown()
            limits.join(thread)
