"""Whether a server answers, in bounded time."""

import os
import threading
import urllib.error
import urllib.request

_HUB = "https://huggingface.co"
_SECONDS_TO_REACH = 4.0


def hub_address() -> str:
    """Where the hub is: `HF_ENDPOINT`, or the usual place."""
    return os.environ.get("HF_ENDPOINT") or _HUB


def is_offline_by_choice() -> bool:
    """Whether the user has told the libraries not to use the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def answers(address: str) -> bool:
    """Whether there is any answer, whatever it says, within a few seconds."""
    answered = threading.Event()
    heard: list[bool] = []

    def ask() -> None:
        try:
            question = urllib.request.Request(address, method="HEAD")
            urllib.request.urlopen(question, timeout=_SECONDS_TO_REACH).close()
            heard.append(True)
        except urllib.error.HTTPError:
            heard.append(True)
        except (OSError, ValueError):
            heard.append(False)
        finally:
            answered.set()

    # Name servers may wait much longer than any time-out: the thread can be left behind.
    threading.Thread(target=ask, daemon=True).start()
    answered.wait(_SECONDS_TO_REACH)
    return bool(heard and heard[0])
