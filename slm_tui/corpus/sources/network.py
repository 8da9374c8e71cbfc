"""Whether a server answers, in bounded time."""

import os
import threading
import urllib.error
import urllib.request

_HUB = "https://huggingface.co"
_SECONDS_TO_REACH = 4.0


def hub_address() -> str:
    """The URL of the hub: `HF_ENDPOINT`, or the default."""
    return os.environ.get("HF_ENDPOINT") or _HUB


def is_offline_by_choice() -> bool:
    """Whether the user has told the libraries not to use the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def answers(address: str) -> bool:
    """Whether there is any response within a few seconds."""
    answered = threading.Event()
    results: list[bool] = []

    def ask() -> None:
        try:
            question = urllib.request.Request(address, method="HEAD")
            urllib.request.urlopen(question, timeout=_SECONDS_TO_REACH).close()
            results.append(True)
        except urllib.error.HTTPError:
            results.append(True)
        except (OSError, ValueError):
            results.append(False)
        finally:
            answered.set()

    # Name lookups may take much longer than any timeout: the thread can be abandoned.
    threading.Thread(target=ask, daemon=True).start()
    answered.wait(_SECONDS_TO_REACH)
    return bool(results and results[0])
