"""A change of a preset that a section proposes: in words, and as `--set` assignments."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """What would change, for people, and the `PATH=VALUE` assignments that do it."""

    text: str
    assignments: tuple[str, ...]
