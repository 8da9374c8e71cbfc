"""A problem with a setting."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """What is wrong with one setting, and a value that works, if known."""

    path: str
    message: str
    works: object = None

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message
