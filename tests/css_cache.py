"""One parse of each style sheet per process: tests start hundreds of apps with the same styles.

Textual keeps parsed rules per app. They are never changed after parsing, so apps can share them.
"""

from functools import lru_cache
from typing import Any

from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

_parse = Stylesheet._parse_rules


def share() -> None:
    """Parse the same text with the same variables only once."""
    Stylesheet._parse_rules = _shared  # type: ignore[method-assign]


def _shared(sheet: Stylesheet, *source: Any, **options: Any) -> list[RuleSet]:
    variables = tuple(sorted(sheet._variables.items()))
    return list(_parsed(variables, source, tuple(sorted(options.items()))))


@lru_cache(maxsize=4000)
def _parsed(variables: Any, source: Any, options: Any) -> tuple[RuleSet, ...]:
    sheet = Stylesheet(variables=dict(variables))
    return tuple(_parse(sheet, *source, **dict(options)))
