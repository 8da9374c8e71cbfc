"""Races: two presets on one text, and the loss to reach. Each is a TOML file in `presets/races`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from slm_tui import paths, plain_text
from slm_tui.config.fields import Settings, setting
from slm_tui.config.preset import problems
from slm_tui.errors import PresetError, cause_of
from slm_tui.formatting import either


class Race(Settings):
    """What two presets compete for.

    Both are evaluated on the same windows of the validation split, all of it.
    """

    title: str = setting("", max_length=80, help="Title shown in lists")
    description: str = setting("", max_length=2000, help="What is compared")
    text: str = setting("", help="The text that the target belongs to, and where to get it")
    validation_sha256: str = setting(
        "",
        pattern=r"^([0-9a-f]{64})?$",
        help="SHA-256 of the validation tokens that the target belongs to",
    )
    plain: str = setting(help="Preset of the plain recipe")
    fast: str = setting(help="Preset of the fast recipe")
    target: float | None = setting(
        None,
        gt=0,
        help="Validation loss to reach; unset: what the plain recipe ends at with the same seed",
        unit="nats per token",
    )
    window: int = setting(64, ge=4, help="Length of the windows to evaluate on", unit="tokens")
    plain_every: int = setting(
        100, ge=1, help="Steps between evaluations of the plain recipe", unit="steps"
    )
    fast_every: int = setting(
        10, ge=1, help="Steps between evaluations of the fast recipe", unit="steps"
    )


@dataclass(frozen=True)
class NamedRace:
    """A race and the name of its file."""

    name: str
    race: Race


def names() -> list[str]:
    """The names of the built-in races."""
    return sorted(path.stem for path in paths.builtin_races_dir().glob("*.toml"))


def get(name: str) -> NamedRace:
    """The race called `name`, or in the file `name` if it ends in `.toml`.

    Raises:
        PresetError: it does not exist or is not valid.
    """
    path = (
        Path(name).expanduser()
        if name.endswith(".toml")
        else paths.builtin_races_dir() / f"{name}.toml"
    )
    if not name.endswith(".toml") and name not in names():
        raise PresetError(f"there is no race {name!r}", "", f"try {either(names())}")
    try:
        values: dict[str, Any] = plain_text.toml(plain_text.read(path))
        return NamedRace(path.stem, Race.model_validate(values))
    except ValidationError as error:
        wrong = "; ".join(map(str, problems(error)))
        raise PresetError(f"{path} is not a valid race", wrong) from None
    except (OSError, ValueError) as error:
        raise PresetError(f"{path} cannot be read", cause_of(error)) from None
