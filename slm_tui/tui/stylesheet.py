"""A stylesheet that parses each style sheet once."""

from textual.cache import LRUCache
from textual.css.stylesheet import Stylesheet

# Each class of widgets that is shown has one; Textual keeps 64.
_MOST_SOURCES = 1024


class KeptStylesheet(Stylesheet):
    """Keeps what it parsed until a variable changes.

    Textual parses all style sheets again, up to four times, whenever a screen is shown for the
    first time: 100 ms in which no key is handled.
    """

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._parsed_with = dict(variables or {})
        self._parse_cache = LRUCache(_MOST_SOURCES)

    def set_variables(self, variables: dict[str, str]) -> None:
        """See `Stylesheet.set_variables`."""
        if variables != self._parsed_with:
            self._parsed_with = dict(variables)
            super().set_variables(variables)

    def reparse(self) -> None:
        """Parse what is new; after an error, the rules stay as they were."""
        self.parse()
        self._rules_map = None
