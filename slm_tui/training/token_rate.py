"""The current training speed."""

_WINDOW_SECONDS = 2.0


class TokenRate:
    """Tokens per second over the last two seconds of training; other work does not count."""

    def __init__(self) -> None:
        self._clock = 0.0
        self._recent: list[tuple[float, int]] = []

    def add(self, seconds: float, tokens_seen: int, tokens: int) -> float:
        """Add a step of `tokens` that took `seconds`; `tokens_seen` is the total after it."""
        self._clock += seconds
        self._recent.append((self._clock, tokens_seen))
        while len(self._recent) > 2 and self._clock - self._recent[0][0] > _WINDOW_SECONDS:
            self._recent.pop(0)
        first_clock, first_tokens = self._recent[0]
        if self._clock > first_clock:
            return (tokens_seen - first_tokens) / (self._clock - first_clock)
        return tokens / max(seconds, 1e-9)
