"""One thing to try after a verdict."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Remedy:
    """Something to try: in words, and as `PATH=VALUE` overrides of the run's preset."""

    text: str
    changes: tuple[str, ...]
