"""The one table of actions: bindings, footer, palette, help and keymap are made from it."""

from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType

Room = Literal["all", "presets", "train", "runs", "chat", "data", "chart"]
ROOMS: tuple[Room, ...] = ("presets", "train", "runs", "chat", "data")
# The screens that have charts: the keys of a chart work there.
CHART_ROOMS: tuple[Room, ...] = ("train", "runs")
ROOM_TITLES: dict[Room, str] = {
    "all": "Everywhere",
    "presets": "Presets",
    "train": "Train",
    "runs": "Runs",
    "chat": "Chat",
    "data": "Data",
    "chart": "In a chart",
}

# Bindings that come before the focused widget. ctrl+q is Textual's own such binding: ours must
# be as strong to replace it. The others open an input: keys that follow in the same burst, from
# a slow line or a script, must find it open and not be taken for commands.
_AT_ONCE = {"app.quit", "app.suspend", "app.filter", "presets.edit"}


@dataclass(frozen=True)
class Action:
    """Something a key does. A screen, or a chart, offers it by a method `action_<name>`.

    `key` may hold several keys parted by commas. `footer_rank` 1 is the last that a narrow
    footer drops; 0 is never in the footer. Neighbours with one label share a place there.
    """

    id: str
    key: str
    label: str
    help: str
    screen: Room
    footer_rank: int = 0

    @property
    def name(self) -> str:
        return self.id.split(".", 1)[1]

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.key.split(","))

    def binding(self) -> Binding:
        return Binding(
            self.key,
            self.name,
            self.label,
            show=False,
            id=self.id,
            priority=self.id in _AT_ONCE,
        )


def _all(name: str, key: str, label: str, help: str, rank: int = 0) -> Action:
    return Action(f"app.{name}", key, label, help, "all", rank)


def _presets(name: str, key: str, label: str, help: str, rank: int = 0) -> Action:
    return Action(f"presets.{name}", key, label, help, "presets", rank)


def _train(name: str, key: str, label: str, help: str, rank: int = 0) -> Action:
    return Action(f"train.{name}", key, label, help, "train", rank)


def _runs(name: str, key: str, label: str, help: str, rank: int = 0) -> Action:
    return Action(f"runs.{name}", key, label, help, "runs", rank)


def _chat(name: str, key: str, label: str, help: str, rank: int = 0) -> Action:
    return Action(f"chat.{name}", key, label, help, "chat", rank)


def _data(name: str, key: str, label: str, help: str, rank: int = 0) -> Action:
    return Action(f"data.{name}", key, label, help, "data", rank)


def _chart(name: str, key: str, label: str, help: str, rank: int = 0) -> Action:
    return Action(f"chart.{name}", key, label, help, "chart", rank)


ACTIONS: tuple[Action, ...] = (
    _all("go_presets", "1,f2", "Presets", "Choose and change what will be trained"),
    _all("go_train", "2,f3", "Train", "Watch the run that is training"),
    _all("go_runs", "3,f4", "Runs", "Compare runs and open their checkpoints"),
    _all("go_chat", "4,f5", "Chat", "Talk to a checkpoint"),
    _all("go_data", "5,f6", "Data", "Look at text, tokens and splits"),
    _all("palette", "ctrl+p", "Palette", "Find any action, preset, run or checkpoint"),
    _all("jump", "ctrl+o", "Jump", "Show a letter on each pane; press it to go there"),
    _all("filter", "/", "Filter", "Show only what matches"),
    _all("zoom", "z", "Zoom", "Give the focused pane the whole screen, and back"),
    _all("sidebar_left", "[", "Left side", "Hide or show the left side"),
    _all("sidebar_right", "]", "Right side", "Hide or show the right side"),
    _all("copy", "c", "Copy", "Copy what is focused"),
    _all("back", "escape", "Back", "Step out of a question, a filter, an edit or a zoom"),
    _all("help", "?,f1", "Help", "Show all keys of this screen", 99),
    _all("suspend", "ctrl+z", "Suspend", "Suspend the program, training too, until `fg`"),
    _all("quit", "ctrl+q", "Quit", "Leave; asks about unsaved edits and a run in training"),
    # Presets
    _presets("train", "t", "Train", "Start a run of this preset as it is edited now", 1),
    _presets("edit", "enter", "Edit", "Edit the focused setting, or open the focused preset", 2),
    _presets("nudge_less", "left", "Nudge", "The next smaller value, or the choice before", 3),
    _presets("nudge_more", "right", "Nudge", "The next larger value, or the choice after", 3),
    _presets("undo", "u", "Undo", "Take back the last edit, or the last delete", 4),
    _presets("difference", "=", "Diff", "Show what differs from the preset it is based on", 5),
    _presets("save", "S", "Save", "Save the edits as a preset of your own", 6),
    _presets("new", "n", "New", "Make a preset of your own from this one", 7),
    _presets("reset", "backspace,delete", "Default", "Give the setting its default again"),
    _presets("editor", "E", "Editor", "Edit the preset as TOML in $VISUAL or $EDITOR"),
    _presets("delete", "D", "Delete", "Move your preset to the trash; u brings it back"),
    # Train
    _train("pause", "space", "Pause", "Pause or go on", 1),
    _train("save", "s", "Save", "Save a checkpoint now", 2),
    _train("sample", "g", "Sample", "Write a sample now", 3),
    _train("evaluate", "e", "Evaluate", "Evaluate now", 4),
    _train("stop", "x", "Stop", "Save and stop the run", 5),
    _train("log", "y", "Log", "Logarithmic or linear y axis", 6),
    _train("axis", "X", "Axis", "Draw over steps, tokens or time", 7),
    _train("smoothing", "m", "Smooth", "More, less or no smoothing", 8),
    _train("units", "n", "Units", "Nats per token or bits per byte", 9),
    _train("metrics", "v,f7", "Metrics", "Show all metrics as charts, and back"),
    _train("halve_rate", "L", "LR ×½", "Halve the learning rate from here on"),
    _train("double_rate", "U", "LR ×2", "Double the learning rate from here on"),
    _train("more_steps", "+", "More", "Add steps to the run"),
    _train("best_to_chat", "b", "Best", "Load the best checkpoint into chat"),
    _train("checkpoints", "k", "Checkpoints", "List the checkpoints of this run"),
    _train("fork", "f", "Fork", "Start a new run from a checkpoint"),
    _train("resume", "r", "Resume", "Go on with a stopped run"),
    _train("apply", "a", "Apply", "Apply the remedy to a new run"),
    _train("details", "d", "Details", "Show the evidence of the diagnosis"),
    # Runs
    _runs("open", "enter", "Open", "Open the run on the train screen", 1),
    _runs("select", "space", "Select", "Add the run to the overlay, or take it out", 2),
    _runs("load", "l", "Load", "Load the checkpoint into chat", 3),
    _runs("evaluate", "e", "Evaluate", "Evaluate the checkpoint, or compare the selected runs", 4),
    _runs("resume", "r", "Resume", "Go on with the run", 5),
    _runs("fork", "f", "Fork", "Start a new run from the checkpoint", 6),
    _runs("delete", "D", "Delete", "Move the run to the trash; u brings it back", 7),
    _runs("rename", "R", "Rename", "Give the run another name"),
    _runs("undo", "u", "Undo", "Bring the last deleted run back"),
    _runs("sort", "s", "Sort", "Sort by the next column"),
    _runs("axis", "X", "Axis", "Overlay over steps, tokens or time"),
    # Chat
    _chat("continue", "enter", "Continue", "Let the model go on from the text", 1),
    # On this screen escape is the screen's: with nothing to stop it steps back as elsewhere.
    _chat("stop", "escape", "Stop", "Stop writing at once", 2),
    _chat("inspect", "ctrl+s", "Inspect", "Walk the tokens: surprise, rank, candidates", 3),
    _chat("resample", "ctrl+r", "Resample", "Write again from the chosen token", 4),
    _chat("model", "m,f7", "Model", "Choose a run and one of its checkpoints", 5),
    _chat("newest", "b,f8", "Newer", "Move on to the run's best or newest checkpoint", 6),
    _chat("side", "w,f9", "Side by side", "One prompt and seed through several checkpoints", 6),
    _chat("type", "i", "Type", "Write a prompt or a command", 7),
    _chat("cooler", "t", "Temp", "Lower the temperature", 8),
    _chat("warmer", "T", "Temp", "Raise the temperature", 8),
    _chat("fewer", "k", "Top-k", "Draw from fewer tokens", 9),
    _chat("more", "K", "Top-k", "Draw from more tokens", 9),
    _chat("narrower", "p", "Top-p", "Draw from a smaller part", 10),
    _chat("wider", "P", "Top-p", "Draw from a larger part", 10),
    _chat("next_seed", "s", "Seed", "The next seed: another text"),
    _chat("greedy", "g", "Greedy", "Always the likeliest token, or draw again"),
    # Data
    _data("prepare", "p", "Prepare", "Turn the preset's text into tokens now", 1),
    _data("sample", "g", "Sample", "Show another document", 2),
    _data("open", "o", "Open text", "Read another file, directory or dataset with this preset", 3),
    _data("tokens", "t", "Tokens", "Show where the tokenizer cuts; arrows walk the tokens", 4),
    _data("compare", "w", "Compare", "Show the cuts of a second tokenizer beside them", 5),
    _data("details", "d", "Details", "Show all that is to be said of the text, and why", 6),
    # Charts
    _chart("crosshair_left", "left", "Crosshair", "Move the crosshair left"),
    _chart("crosshair_right", "right", "Crosshair", "Move the crosshair right"),
)

BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}


def offered(cls: type, room: Room) -> list[Action]:
    """The actions that a class of `room` implements; the room's own come first."""
    mine = [one for one in ACTIONS if one.screen == room and hasattr(cls, f"action_{one.name}")]
    if room == "all":
        return mine
    taken = {key for one in mine for key in one.keys}
    shared = [one for one in ACTIONS if one.screen == "all" and hasattr(cls, f"action_{one.name}")]
    return mine + [one for one in shared if not taken & set(one.keys)]


def bindings(cls: type, room: Room) -> list[BindingType]:
    """Textual bindings for what `cls` implements."""
    return [action.binding() for action in offered(cls, room)]
