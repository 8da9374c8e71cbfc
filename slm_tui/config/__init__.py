"""What a user can choose: presets, their library, overrides and estimates. Never imports torch."""
