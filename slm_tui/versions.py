"""Versions of file formats: values of older versions are migrated when read."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from slm_tui import __version__

Migration = Callable[[dict[str, Any]], None]


class NewerVersionError(ValueError):
    """A newer version of the program wrote the values: they are intact, but cannot be read here."""

    remedy = f"use a version of slm-tui newer than {__version__}"


@dataclass
class Format:
    """How one kind of file is versioned.

    Args:
        key: the entry that holds the version; if it is missing, the version is 1.
        migrations: in order; the first turns values of version 1 into those of version 2, in
            place. Values edited by hand may have any shape: a migration leaves what it cannot
            use unchanged, for the validation to report.
    """

    key: str
    migrations: list[Migration] = field(default_factory=list)

    @property
    def version(self) -> int:
        """The current version, which is written to files."""
        return 1 + len(self.migrations)

    def stamp(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """`values` of this version as stored in a file, with the version as the first entry."""
        return {self.key: self.version, **values}

    def migrate(self, values: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Migrate values from a file called `name` to this version, and drop the version entry.

        Raises:
            NewerVersionError: a newer version wrote them.
            ValueError: the version is not a number.
        """
        version = values.get(self.key, 1)
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise ValueError(f"{self.key!r} in {name} should be a whole number, at least 1")
        if version > self.version:
            raise NewerVersionError(
                f"{name} has {self.key} {version}; slm-tui {__version__} reads up to {self.version}"
            )
        migrated = {key: value for key, value in values.items() if key != self.key}
        if version < self.version:
            migrated = deepcopy(migrated)
            for migration in self.migrations[version - 1 :]:
                migration(migrated)
        return migrated


def rename(old: str, new: str) -> Migration:
    """A migration that moves the entry at the path `old`, such as `training.steps`, to `new`.

    An existing value at `new` is kept.
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
