"""Completes the location of a text while typing: paths, and names of ready-made datasets."""

import os

from textual.suggester import Suggester

from slm_tui.config.known_datasets import READY_MADE


class PathSuggester(Suggester):
    """Suggests the first file, directory or ready-made dataset that matches the input."""

    def __init__(self) -> None:
        # No cache: files may change at any time.
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """The full completion of `value`, or `None`."""
        named = [name for name in READY_MADE if name.startswith(value.lower())]
        if named and "/" not in value:
            return named[0]
        directory, prefix = os.path.split(value)
        try:
            entries = sorted(os.scandir(os.path.expanduser(directory) or "."), key=_order)
        except (OSError, ValueError):
            return None
        for entry in entries:
            hidden = entry.name.startswith(".") and not prefix.startswith(".")
            if entry.name.startswith(prefix) and not hidden:
                end = os.sep if entry.is_dir() else ""
                return os.path.join(directory, entry.name) + end
        return None


def _order(entry: "os.DirEntry[str]") -> tuple[bool, str]:
    """Files before directories: the user is looking for a text."""
    try:
        return entry.is_dir(), entry.name
    except OSError:
        return True, entry.name
