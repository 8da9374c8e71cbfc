"""How well an entry of the command palette fits what the user typed, in natural words."""

import functools
import re
from collections.abc import Iterable
from difflib import SequenceMatcher

_FILLERS = frozenset(
    re.findall(
        r"\w+",
        "a an and at can do does for from how i in is it me my of on or please the this that to "
        "want what where with",
    )
)
_HELP_WEIGHT = 0.6
# A match of all words, but not in one phrase.
_SCATTERED_WEIGHT = 0.5
_LEAST = 0.25
_SHORTEST_WITH_TYPO = 5
_TYPO_RATIO = 0.8


def relevance(query: str, title: str, phrases: Iterable[str], help: str) -> float:
    """From 0 (no match) to 1 (the words of `query` are the title or one of the phrases)."""
    asked = [_likenesses(word) for word in words(query)]
    if not asked:
        return 0.0
    named = [words(one) for one in (title, *phrases)]
    helping = words(help)
    # How close each word of the query comes to one of the words of each phrase.
    closest = [[_closest(like, one) for like in asked] for one in (*named, helping)]
    scores = [
        _of_phrase(each, phrase) for each, phrase in zip(closest, (*named, helping), strict=True)
    ]
    scores[-1] *= _HELP_WEIGHT
    scores.append(_SCATTERED_WEIGHT * _found([max(every) for every in zip(*closest, strict=True)]))
    best = max(scores)
    return best if best >= _LEAST else 0.0


# The entries of the palette stay the same while a query is typed.
@functools.lru_cache(maxsize=16384)
def words(text: str) -> tuple[str, ...]:
    """The words of `text` in lower case, without fillers unless there are only fillers."""
    every = tuple(re.findall(r"[^\W_]+", text.lower()))
    return tuple(word for word in every if word not in _FILLERS) or every


def _of_phrase(each: list[float], phrase: tuple[str, ...]) -> float:
    """Full marks if the phrase says what was asked and nothing else."""
    if not phrase:
        return 0.0
    covered = min(1.0, len(each) / len(phrase))
    return _found(each) * (0.7 + 0.3 * covered)


def _found(each: list[float]) -> float:
    """How many of the words were found, and how closely; missing words weigh heavily."""
    return float((sum(each) / len(each)) ** 2)


class _Likenesses(dict[str, float]):
    """How close other words are to one word, computed when first asked for."""

    def __init__(self, asked: str) -> None:
        super().__init__()
        self._asked = asked

    def __missing__(self, word: str) -> float:
        found = self[word] = _likeness(self._asked, word)
        return found


_likenesses = functools.lru_cache(maxsize=1024)(_Likenesses)


def _closest(like: _Likenesses, phrase: tuple[str, ...]) -> float:
    return max(map(like.__getitem__, phrase), default=0.0)


def _likeness(asked: str, word: str) -> float:
    """1 for the same word; less for another form of it, its beginning, or a typing error."""
    if asked == word:
        return 1.0
    if _stem(asked) == _stem(word):
        return 0.95
    if word.startswith(asked):
        return 0.6 + 0.35 * len(asked) / len(word)
    is_long = min(len(asked), len(word)) >= _SHORTEST_WITH_TYPO
    if is_long and asked[0] == word[0]:
        ratio = SequenceMatcher(None, asked, word).ratio()
        return 0.8 * ratio if ratio >= _TYPO_RATIO else 0.0
    return 0.0


@functools.lru_cache(maxsize=16384)
def _stem(word: str) -> str:
    """A word without the usual endings: `stopping`, `stopped` and `stops` are `stop`."""
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word
