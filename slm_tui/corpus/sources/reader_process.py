"""The process that reads with `datasets`: takes a request, writes documents to disk.

It reports progress on standard output, one JSON object per line, and finally its result or the
reason for its failure. It ends when its standard input closes.
"""

import json
import os
import signal
import sys
import threading
from typing import Any, TextIO

from slm_tui.corpus.sources import network


def main() -> int:
    """Handle the request in the first line of standard input."""
    out = _own_output()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    request = json.loads(_line())
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def send(**values: Any) -> None:
        print(json.dumps(values), file=out, flush=True)

    online = request["local"] or _reachable(request["dataset"])
    if not online:
        # Before importing `datasets`, which reads it once. Its cache remains usable.
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    # Only here: these take seconds to import and read the environment.
    from slm_tui.corpus.sources import reader, reader_errors

    request["online"] = online
    reader.report_bars(lambda *progress: send(progress=progress))
    try:
        done = reader.read(request, lambda *progress: send(progress=progress))
    except Exception as error:  # noqa: BLE001 - the parent must learn of any error
        message = reader_errors.explained(error, request, online=online)
        if isinstance(message, OSError):
            send(full=[message.errno, message.strerror])
        else:
            send(error=[message.what, message.why, message.remedy])
        return 1
    send(done=done)
    return 0


def _own_output() -> TextIO:
    """Keep standard output for the protocol: libraries that print go to the log."""
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "w", encoding="utf-8")


def _line() -> bytes:
    """The first line of standard input, and nothing after it."""
    line = bytearray()
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return bytes(line)


def _end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


def _reachable(dataset: str) -> bool:
    if network.is_offline_by_choice():
        return False
    return network.answers(dataset if "://" in dataset else network.hub_address())


if __name__ == "__main__":
    # Exit without waiting for library threads that still hold a connection.
    code = main()
    sys.stderr.flush()
    os._exit(code)
