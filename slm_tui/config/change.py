"""A change to a preset that a section proposes: as text and as `--set` assignments."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """A description of the change, and the `PATH=VALUE` assignments that make it."""

    text: str
    assignments: tuple[str, ...]
