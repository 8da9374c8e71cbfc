"""Which keys may be used, how they are shown, and the user's own keymap file."""

from collections.abc import Iterable
from pathlib import Path

from slm_tui import paths, plain_text
from slm_tui.errors import cause_of
from slm_tui.text import one_line
from slm_tui.tui.actions import ACTIONS, BY_ID, CHART_ROOMS, Action

# Keys that tmux and SSH pass unchanged. ctrl+h, ctrl+i and ctrl+m arrive as other keys.
_CTRL = frozenset(f"ctrl+{letter}" for letter in "opqrsz")
_ARROWS = frozenset({"left", "right", "up", "down", "home", "end", "pageup", "pagedown"})
_NAMED = _ARROWS | {"space", "enter", "escape", "tab", "backspace", "delete"}
_FUNCTION = frozenset(f"f{number}" for number in range(1, 13))
_SIGNS = frozenset("?/[]=+-*.;:!<>")

# Names of actions in earlier versions, which keymaps may use; empty for a removed action.
FORMER_IDS: dict[str, str] = {
    "train.crosshair_left": "chart.crosshair_left",
    "train.crosshair_right": "chart.crosshair_right",
}
# Actions added after the first version, or whose default key is newer: they yield a key to any
# action that a keymap binds to it.
_LATER = frozenset(
    {
        "train.metrics",
        "chat.chunks",
        "chat.replay",
        "presets.queue",
        "presets.vary",
        "presets.lessons",
        "presets.suites",
        "runs.compare",
        "runs.pin",
        "runs.suites",
        "runs.log",
        "runs.smoothing",
        "runs.units",
        "runs.keep",
        "runs.promote",
        "data.train",
        "data.tokens",
        "runs.export",
    }
)

_SHOWN = {"left": "◀", "right": "▶", "up": "▲", "down": "▼", "escape": "esc", "backspace": "bksp"}


def allowed(key: str) -> bool:
    """Whether a key works in tmux and over SSH."""
    if len(key) == 1:
        return (key.isascii() and key.isalnum()) or key in _SIGNS
    return key in _CTRL or key in _NAMED or key in _FUNCTION


def shown(key: str) -> str:
    """A key as the footer and the help show it."""
    return _SHOWN.get(key, key.upper() if key in _FUNCTION else key)


def keymap_path() -> Path:
    return paths.config_dir() / "keymap.toml"


def load() -> tuple[dict[str, str], list[str]]:
    """The keys of all actions, and the problems in the user's keymap file.

    Invalid lines are ignored: those actions keep their default keys.
    """
    keys = {action.id: action.key for action in ACTIONS}
    try:
        text = plain_text.read(keymap_path())
    except FileNotFoundError:
        return keys, []
    except (OSError, ValueError) as error:
        return keys, [f"cannot be read: {cause_of(error)}"]
    try:
        table = plain_text.toml(text)
    except ValueError as error:
        return keys, [f"is not valid TOML: {error}; write lines like \"train.pause\" = 'space'"]
    return _merged(keys, _migrated(_flat(table, "")))


def _flat(table: dict[str, object], prefix: str) -> dict[str, object]:
    """`train.pause = "p"` is a table in TOML unless quoted: both forms are accepted."""
    result: dict[str, object] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            result |= _flat(value, f"{prefix}{name}.")
        else:
            result[f"{prefix}{name}"] = value
    return result


def _migrated(lines: dict[str, object]) -> dict[str, object]:
    """The lines of a keymap with the current names of actions, without removed actions."""
    present = {
        name: value for name, value in lines.items() if name in BY_ID or name not in FORMER_IDS
    }
    former = {FORMER_IDS[name]: value for name, value in lines.items() if name not in present}
    former.pop("", None)
    return former | present


def _without_taken(keys: dict[str, str], accepted: dict[str, str]) -> dict[str, str]:
    """`keys` without the keys of later actions that `accepted` uses; each keeps at least one."""
    left = dict(keys)
    for action in ACTIONS:
        if action.id in _LATER - accepted.keys():
            own_keys = {
                key
                for other, used in accepted.items()
                if _together(action, BY_ID[other])
                for key in used.split(",")
            }
            left[action.id] = ",".join(
                [key for key in action.keys if key not in own_keys] or action.keys[-1:]
            )
    return left


def _merged(keys: dict[str, str], lines: dict[str, object]) -> tuple[dict[str, str], list[str]]:
    problems: list[str] = []
    accepted: dict[str, str] = {}
    for action_id, value in lines.items():
        wrong = _wrong(action_id, value)
        if wrong:
            problems.append(f"{one_line(action_id, 40)}: {wrong}")
        else:
            accepted[action_id] = str(value)
    while accepted:
        merged = _without_taken(keys, accepted) | accepted
        clash = next((pair for pair in clashes(merged) if set(pair[:2]) & set(accepted)), None)
        if clash is None:
            return merged, problems
        loser = next(one for one in reversed(list(accepted)) if one in clash[:2])
        other = clash[1] if clash[0] == loser else clash[0]
        problems.append(f"{loser}: {shown(clash[2])} is already used by {other}")
        del accepted[loser]
    return keys, problems


def _wrong(action_id: str, value: object) -> str:
    if action_id not in BY_ID:
        return "no such action; the help screen lists all actions"
    if not isinstance(value, str) or not value:
        return "the key must be a string, such as 'p' or 'f7'"
    bad = [key for key in value.split(",") if not allowed(key)]
    return f"{one_line(bad[0], 20)!r} does not work in tmux or over SSH" if bad else ""


def clashes(keys: dict[str, str]) -> list[tuple[str, str, str]]:
    """`(action, action, key)` for each key that two actions of one screen share.

    Escape is exempt: Chat overrides it on purpose.
    """
    result = []
    for at, one in enumerate(ACTIONS):
        for other in ACTIONS[at + 1 :]:
            if not _together(one, other):
                continue
            both = set(keys[one.id].split(",")) & set(keys[other.id].split(","))
            result += [(one.id, other.id, key) for key in sorted(both) if key != "escape"]
    return result


def _together(one: Action, other: Action) -> bool:
    rooms = {one.screen, other.screen}
    return len(rooms) == 1 or "all" in rooms or ("chart" in rooms and bool(rooms & {*CHART_ROOMS}))


def first_shown(keys: Iterable[str], *, typing: bool = False) -> str | None:
    """The key to show; while the user types text, the first that does not type a character."""
    for key in keys:
        if not typing or (len(key) > 1 and key not in _ARROWS | {"space", "backspace", "delete"}):
            return shown(key)
    return None
