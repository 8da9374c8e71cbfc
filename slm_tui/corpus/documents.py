"""The documents of a token stream by number."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from slm_tui.corpus.prepare import Tokens

_CHUNK = 1 << 20


class Documents:
    """The documents of one token stream by number; caches the positions of one chunk.

    Args:
        tokens: `(length,)`, documents separated by `end_of_text`.
    """

    def __init__(self, tokens: Tokens, end_of_text: int) -> None:
        self._tokens = tokens
        self._end = end_of_text
        # The number of the last chunk read, and the positions of end-of-text in it. Threads may
        # share this, so it is replaced as a whole.
        self._held: tuple[int, NDArray[np.intp]] = (-1, np.empty(0, np.intp))

    @cached_property
    def _before(self) -> list[int]:
        """The number of end-of-text tokens before each chunk, and the total."""
        counts = [0]
        for at in range(0, len(self._tokens), _CHUNK):
            chunk = self._tokens[at : at + _CHUNK]
            counts.append(counts[-1] + int(np.count_nonzero(chunk == self._end)))
        return counts

    def __len__(self) -> int:
        if not len(self._tokens):
            return 0
        # Each document follows an end-of-text; one comes last unless a limit cut it off.
        return self._before[-1] - int(self._tokens[-1] == self._end)

    def span(self, number: int) -> tuple[int, int]:
        """The start and end of document `number` (from 0) in the stream.

        Raises:
            IndexError: there is no such document.
        """
        if not 0 <= number < len(self):
            raise IndexError(f"no document {number} of {len(self)}")
        begin = self._position(number) + 1
        last = number + 1 == self._before[-1]
        return begin, len(self._tokens) if last else self._position(number + 1)

    def ids(self, number: int, start: int = 0, count: int | None = None) -> list[int]:
        """At most `count` ids of document `number`, from its token `start` on."""
        begin, end = self.span(number)
        first = begin + max(0, start)
        last = end if count is None else min(end, first + count)
        return [int(id) for id in self._tokens[first:last]]

    def _position(self, number: int) -> int:
        """The position of end-of-text `number` (from 0)."""
        low, high = 0, len(self._before) - 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._before[middle] <= number else (low, middle)
        first, places = self._held
        if first != low:
            chunk = self._tokens[low * _CHUNK : (low + 1) * _CHUNK]
            places = np.flatnonzero(chunk == self._end)
            self._held = low, places
        return low * _CHUNK + int(places[number - self._before[low]])
