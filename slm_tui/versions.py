"""Versions of what is kept in files: values of older ones are migrated when they are read."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from slm_tui import __version__

Migration = Callable[[dict[str, Any]], None]


class NewerVersionError(ValueError):
    """A newer version of the program wrote the values: they are whole, and cannot be read here."""

    remedy = f"use a version of slm-tui newer than {__version__}"


@dataclass
class Format:
    """How one kind of file is versioned.

    Args:
        key: the entry that holds the version; where it is missing, the version is 1.
        migrations: in order; the first turns values of version 1 into those of version 2, in
            place. Values of a person or a stranger may have any shape: what a migration cannot
            use it leaves as it is, for the validation to name.
    """

    key: str
    migrations: list[Migration] = field(default_factory=list)

    @property
    def version(self) -> int:
        """The version that is written."""
        return 1 + len(self.migrations)

    def stamp(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """`values` of this version as a file holds them: with the version as the first entry."""
        return {self.key: self.version, **values}

    def migrate(self, values: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Values from a file called `name` as this version has them, without the version.

        Raises:
            NewerVersionError: a newer version wrote them.
            ValueError: the version is no number.
        """
        found = values.get(self.key, 1)
        if isinstance(found, bool) or not isinstance(found, int) or found < 1:
            raise ValueError(f"{self.key!r} in {name} should be a whole number from 1 on")
        if found > self.version:
            raise NewerVersionError(
                f"{name} has {self.key} {found}, slm-tui {__version__} reads up to {self.version}"
            )
        migrated = {key: value for key, value in values.items() if key != self.key}
        if found < self.version:
            migrated = deepcopy(migrated)
            for migration in self.migrations[found - 1 :]:
                migration(migrated)
        return migrated


def rename(old: str, new: str) -> Migration:
    """A migration that moves the entry at the path `old`, such as `training.steps`, to `new`.

    A value that is already at `new` stays.
    """

    def migration(values: dict[str, Any]) -> None:
        *parents, name = old.split(".")
        section = _section(values, parents)
        if section is None or name not in section:
            return
        *new_parents, new_name = new.split(".")
        target: Any = values
        for parent in new_parents:
            target = target.setdefault(parent, {}) if isinstance(target, dict) else None
        if isinstance(target, dict):
            target.setdefault(new_name, section.pop(name))

    return migration


def _section(values: Any, parents: list[str]) -> dict[str, Any] | None:
    for parent in parents:
        values = values.get(parent) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else None
