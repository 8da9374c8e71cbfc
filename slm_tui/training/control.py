"""Requests to a running training, from any thread."""

import threading
from collections import deque
from dataclasses import dataclass
from typing import Literal

Verb = Literal["pause", "continue", "stop", "save", "evaluate", "sample", "rate", "extend"]


@dataclass(frozen=True)
class Request:
    """One request; `value` is a factor for `rate` and a number of steps for `extend`."""

    verb: Verb
    value: float = 0.0


class Control:
    """A thread-safe mailbox. The trainer empties it at every step boundary."""

    def __init__(self) -> None:
        self._requests: deque[Request] = deque()
        self._arrived = threading.Condition()
        self._blocks: dict[str, str] = {}
        self.stop_now = threading.Event()

    def pause(self) -> None:
        """Wait at the next step boundary."""
        self.put(Request("pause"))

    def resume(self) -> None:
        """End a pause."""
        self.put(Request("continue"))

    def stop(self) -> None:
        """Save and end at the next step boundary; interrupts evaluation and sampling."""
        self.stop_now.set()
        self.put(Request("stop"))

    def save(self) -> None:
        """Write a checkpoint that clean-up keeps."""
        self.put(Request("save"))

    def evaluate(self) -> None:
        """Evaluate now."""
        self.put(Request("evaluate"))

    def sample(self) -> None:
        """Generate samples now."""
        self.put(Request("sample"))

    def scale_learning_rate(self, factor: float) -> None:
        """Multiply the learning rate from now on."""
        self.put(Request("rate", factor))

    def extend(self, steps: int) -> None:
        """Add steps to the end."""
        self.put(Request("extend", float(steps)))

    def block(self, who: str, why: str) -> None:
        """Make training wait until `who` calls `unblock`: something it needs is unavailable."""
        with self._arrived:
            self._blocks[who] = why

    def unblock(self, who: str) -> None:
        """What `who` was waiting for is available."""
        with self._arrived:
            if self._blocks.pop(who, None) is not None:
                self._arrived.notify_all()

    @property
    def blocked(self) -> str:
        """Why training cannot continue now; empty if it can."""
        blocks = self._blocks
        return "; ".join(dict.fromkeys(blocks.values())) if blocks else ""

    def take(self) -> Request | None:
        """The oldest request, if any; never waits."""
        return self._requests.popleft() if self._requests else None

    def wait(self, seconds: float) -> None:
        """Wait until a request arrives, at most `seconds`."""
        with self._arrived:
            if not self._requests:
                self._arrived.wait(seconds)

    @property
    def waiting(self) -> int:
        """The number of pending requests."""
        return len(self._requests)

    def put(self, request: Request) -> None:
        """Submit any request."""
        with self._arrived:
            self._requests.append(request)
            self._arrived.notify_all()
