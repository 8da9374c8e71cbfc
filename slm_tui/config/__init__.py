"""Presets, the preset library, overrides and estimates. Never imports torch."""
