"""Palette entries for the settings of the chosen preset."""

import functools
from collections.abc import Callable, Iterator

from slm_tui.config.drafts import Draft
from slm_tui.text import one_line
from slm_tui.tui.base import PaletteEntry
from slm_tui.tui.search_words import OF_SETTINGS
from slm_tui.tui.widgets.property_list import display

# After an action of the current screen that fits as well, before those of other screens.
_WEIGHT = 0.96
_LONGEST_VALUE = 24


def entries(draft: Draft | None, show: Callable[[str], object]) -> Iterator[PaletteEntry]:
    """The settings of `draft` with their values; `show` gets the path of the chosen one."""
    if draft is None:
        return
    for setting in draft.settings():
        value = one_line(display(draft.value(setting)), _LONGEST_VALUE)
        words = (setting.label.replace("_", " ").replace(".", " "), setting.section)
        yield PaletteEntry(
            f"Setting {setting.path}  ({value})",
            setting.help,
            functools.partial(show, setting.path),
            (*words, *OF_SETTINGS.get(setting.path, ())),
            _WEIGHT,
        )
