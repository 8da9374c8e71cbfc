"""The layout of a CSV log: its header gives the order of columns."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field

_MOST_COLUMNS = 200
_LONGEST_NAME = 100


@dataclass(frozen=True)
class LogLayout:
    """The columns of a log in order, and the position of each."""

    columns: tuple[str, ...]
    places: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        places: dict[str, int] = {}
        for at, name in enumerate(self.columns):
            places.setdefault(name, at)
        object.__setattr__(self, "places", places)

    @classmethod
    def of(cls, header: str) -> "LogLayout | None":
        """The layout that a first line describes; `None` if it is not the header of a log."""
        names = cells(header)
        is_header = "step" in names and ("train_loss" in names or "val_loss" in names)
        if not is_header or len(names) > _MOST_COLUMNS or max(map(len, names)) > _LONGEST_NAME:
            return None
        return cls(tuple(names))

    def place(self, name: str) -> int | None:
        """The position of the column, if it exists."""
        return self.places.get(name)

    def others(self, known: Iterable[str]) -> list[tuple[str, int]]:
        """Name and position of the columns that are not in `known`."""
        without = set(known)
        return [(name, at) for name, at in self.places.items() if name and name not in without]


def cells(line: str) -> list[str]:
    """The cells of a line; empty if it cannot be read."""
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []
