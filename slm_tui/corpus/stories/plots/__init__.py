"""The plots: one module each, with its rules and its tables; the rule has the module's name."""

from __future__ import annotations

from types import ModuleType

from slm_tui.corpus.stories.plots import (
    brave,
    journey,
    lost,
    making,
    mistake,
    sharing,
    stranger,
    surprise,
)

PLOTS: dict[str, ModuleType] = {
    "lost": lost,
    "making": making,
    "brave": brave,
    "sharing": sharing,
    "stranger": stranger,
    "mistake": mistake,
    "surprise": surprise,
    "journey": journey,
}
