"""Completing the place of a text as it is typed: paths, and the names of ready-made datasets."""

import os

from textual.suggester import Suggester

from slm_tui.config.known_datasets import READY_MADE


class PathSuggester(Suggester):
    """Suggests the first file, directory or ready-made dataset that begins as typed."""

    def __init__(self) -> None:
        # Files come and go: nothing is remembered.
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """The whole of what `value` may become, or `None`."""
        named = [name for name in READY_MADE if name.startswith(value.lower())]
        if named and "/" not in value:
            return named[0]
        directory, begun = os.path.split(value)
        try:
            entries = sorted(os.scandir(os.path.expanduser(directory) or "."), key=_order)
        except (OSError, ValueError):
            return None
        for entry in entries:
            hidden = entry.name.startswith(".") and not begun.startswith(".")
            if entry.name.startswith(begun) and not hidden:
                end = os.sep if entry.is_dir() else ""
                return os.path.join(directory, entry.name) + end
        return None


def _order(entry: "os.DirEntry[str]") -> tuple[bool, str]:
    """Files before directories: a text is what is looked for."""
    try:
        return entry.is_dir(), entry.name
    except OSError:
        return True, entry.name
