"""Redraws a screen less often where that takes time from a training in the same process.

The thread of the app and that of the training share the interpreter, and on a small machine the
processor too. A redraw that takes 4 ms of processor time may happen four times a second, one that
takes 15 ms once.
"""

# Share of a core that the thread of the app may use while a model trains.
_SHARE = 0.015
# Seconds: however slow the machine is, the screen shows what happens.
_LONGEST = 1.0


class RedrawPace:
    """Decides at each tick whether to redraw.

    Args:
        tick: seconds between two ticks.
    """

    def __init__(self, tick: float) -> None:
        # Ticks are not exactly on time.
        self._slack = tick / 2
        self._drawn_at = self._cpu_then = 0.0
        # Processor time of the last redraw: known at the first tick after it.
        self._cost: float | None = None

    def is_due(self, now: float, cpu: float) -> bool:
        """Whether the screen is to be redrawn at this tick.

        Args:
            now: seconds of any clock.
            cpu: processor time that the thread of the app has used, in seconds.
        """
        if self._cost is None:
            self._cost = cpu - self._cpu_then
        wait = min(self._cost / _SHARE, _LONGEST)
        if now - self._drawn_at < wait - self._slack:
            return False
        self._drawn_at, self._cpu_then, self._cost = now, cpu, None
        return True
