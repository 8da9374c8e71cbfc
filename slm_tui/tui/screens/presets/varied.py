"""The settings that the user wants to vary, kept while the app is open."""

from collections.abc import Mapping
from typing import Any


class Varied:
    """The settings of a preset that are varied, with their values."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, tuple[Any, ...]]] = {}
        self._texts: dict[str, str] = {}

    def of(self, preset: str) -> Mapping[str, tuple[Any, ...]]:
        """The values by path for the preset of this name."""
        return self._values.get(preset, {})

    def put(self, preset: str, path: str, values: tuple[Any, ...]) -> None:
        """Vary `path` over `values`; none stops varying it."""
        paths = self._values.setdefault(preset, {})
        if values:
            paths[path] = values
        else:
            paths.pop(path, None)

    def forget(self, preset: str) -> None:
        """Vary nothing of this preset."""
        self._values.pop(preset, None)
        self._texts.pop(preset, None)

    def describe(self, preset: str, text: str) -> None:
        """What the variations of this preset cost, in words."""
        self._texts[preset] = text

    def text(self, preset: str) -> str:
        """What `describe` was told last; empty if nothing is varied."""
        return self._texts.get(preset, "") if self.of(preset) else ""
