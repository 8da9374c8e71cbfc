"""How many steps a GPU may be given before the host reads their figures.

Reading waits for the device. A step of a small model takes less than a millisecond, so reading
each one costs a good part of its time; but a request of the user must not wait for long either.
"""

import time
from collections.abc import Callable

# Rows of the buffer of figures on the device.
MOST = 128
_SECONDS = 0.1


class Lookahead:
    """Counts the steps that were launched but not read; they take at most a tenth of a second.

    Args:
        clock: the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = 0.0
        self._limit = 1
        self._launched = 0

    @property
    def is_over(self) -> bool:
        """Whether the steps must be read before another one is launched."""
        return self._launched >= self._limit

    def launch(self) -> None:
        """Call this before each step."""
        if not self._launched:
            self._began = self._clock()
        self._launched += 1

    def read(self) -> None:
        """Call this when the figures of all launched steps have been read."""
        if self._launched:
            each = max(1e-9, (self._clock() - self._began) / self._launched)
            # The first ones are slow: they warm up, or are captured.
            self._limit = max(1, min(MOST, 2 * self._limit, int(_SECONDS / each)))
        self._launched = 0
