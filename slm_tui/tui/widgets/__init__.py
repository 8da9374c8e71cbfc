"""Widgets shared by screens, or large enough for their own file."""
