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
    asked = words(query)
    if not asked:
        return 0.0
    named = [tuple(words(one)) for one in (title, *phrases)]
    helping = tuple(words(help))
    scores = [_of_phrase(asked, one) for one in named]
    scores.append(_HELP_WEIGHT * _of_phrase(asked, helping))
    everything = tuple(dict.fromkeys(word for one in (*named, helping) for word in one))
    scores.append(_SCATTERED_WEIGHT * _found(asked, everything))
    best = max(scores)
    return best if best >= _LEAST else 0.0


def words(text: str) -> list[str]:
    """The words of `text` in lower case, without fillers unless there are only fillers."""
    every = re.findall(r"[^\W_]+", text.lower())
    return [word for word in every if word not in _FILLERS] or every


def _of_phrase(asked: list[str], phrase: tuple[str, ...]) -> float:
    """Full marks if the phrase says what was asked and nothing else."""
    if not phrase:
        return 0.0
    covered = min(1.0, len(asked) / len(phrase))
    return _found(asked, phrase) * (0.7 + 0.3 * covered)


def _found(asked: list[str], phrase: tuple[str, ...]) -> float:
    """How many of the words were found, and how closely; missing words weigh heavily."""
    each = [max((_likeness(word, other) for other in phrase), default=0.0) for word in asked]
    return float((sum(each) / len(each)) ** 2)


@functools.lru_cache(maxsize=65536)
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


def _stem(word: str) -> str:
    """A word without the usual endings: `stopping`, `stopped` and `stops` are `stop`."""
    for ending in ("ing", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] else word
