"""The table of all actions; bindings, footer, palette, help and keymap derive from it."""

from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType

Room = Literal["all", "presets", "train", "runs", "chat", "data", "chart", "experiments"]
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
    "experiments": "Experiments",
}

# Bindings with priority over the focused widget. ctrl+q is such a binding in Textual: ours must
# have priority too, to replace it. The others open an input: keys that follow in the same burst,
# from a slow connection or a script, must go to that input and not be taken for commands.
_AT_ONCE = {"app.quit", "app.suspend", "app.filter", "presets.edit"}


@dataclass(frozen=True)
class Action:
    """What a key does. A screen or chart implements it as a method `action_<name>`.

    `key` may hold several keys, separated by commas. A narrow footer drops `footer_rank` 1
    last; rank 0 is never in the footer. Neighbours with the same label share one place there.
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


def _experiments(name: str, key: str, label: str, help: str, rank: int = 0) -> Action:
    return Action(f"experiments.{name}", key, label, help, "experiments", rank)


ACTIONS: tuple[Action, ...] = (
    _all("go_presets", "1,f2", "Presets", "Choose and edit a preset"),
    _all("go_train", "2,f3", "Train", "Watch the run that is training"),
    _all("go_runs", "3,f4", "Runs", "Compare runs and open their checkpoints"),
    _all("go_chat", "4,f5", "Chat", "Generate text with a checkpoint"),
    _all("go_data", "5,f6", "Data", "Explore text, tokens and splits"),
    _all("palette", "ctrl+p", "Palette", "Search actions, settings, presets, runs and checkpoints"),
    _all("jump", "ctrl+o", "Jump", "Label each pane with a letter; press one to go there"),
    _all("filter", "/", "Filter", "Show only matching rows"),
    _all("zoom", "z", "Zoom", "Maximize or restore the focused pane"),
    _all("sidebar_left", "[", "Left side", "Show or hide the left sidebar"),
    _all("sidebar_right", "]", "Right side", "Show or hide the right sidebar"),
    _all("copy", "c", "Copy", "Copy from the focused pane"),
    _all("back", "escape", "Back", "Leave a dialog, a filter, an edit or a zoomed pane"),
    _all("help", "?,f1", "Help", "Show all keys for this screen", 99),
    _all("suspend", "ctrl+z", "Suspend", "Suspend the app and its training; `fg` resumes"),
    _all("quit", "ctrl+q", "Quit", "Quit (asks about unsaved edits and a training run)"),
    # Presets
    _presets("train", "t", "Train", "Start a run with this preset, including edits", 1),
    _presets("edit", "enter", "Edit", "Edit the focused setting, or open the focused preset", 2),
    _presets("nudge_less", "left", "Nudge", "Decrease, or previous choice", 3),
    _presets("nudge_more", "right", "Nudge", "Increase, or next choice", 3),
    _presets("undo", "u", "Undo", "Undo the last edit or deletion", 4),
    _presets("difference", "=", "Diff", "Show changes from the base preset", 5),
    _presets("save", "S", "Save", "Save the edits as your own preset", 6),
    _presets("new", "n", "New", "Create your own preset from this one", 7),
    _presets("reset", "backspace,delete", "Reset", "Reset to default"),
    _presets("editor", "E", "Editor", "Edit the preset as TOML in $VISUAL or $EDITOR"),
    _presets("delete", "D", "Delete", "Move your preset to the trash (u restores it)"),
    _presets("queue", "Q,f7", "Queue", "Add a run of this preset to the queue"),
    _presets("vary", "m,f8", "Vary", "Train several values of the setting, one run for each"),
    _presets("lessons", "w,f9", "Lessons", "Start the next of the four weekly lessons"),
    _presets("suites", "x,f10", "Suites", "Show suites of experiments and the queue"),
    # Train
    _train("pause", "space", "Pause", "Pause or resume", 1),
    _train("save", "s", "Save", "Save a checkpoint now", 2),
    _train("sample", "g", "Sample", "Generate a sample now", 3),
    _train("evaluate", "e", "Evaluate", "Evaluate now", 4),
    _train("stop", "x", "Stop", "Save and stop the run", 5),
    _train("log", "y", "Log", "Switch between log and linear y axis", 6),
    _train("axis", "X", "Axis", "Plot against steps, tokens or time", 7),
    _train("smoothing", "m", "Smooth", "Cycle through the smoothing levels", 8),
    _train("units", "n", "Units", "Switch between nats per token and bits per byte", 9),
    _train("metrics", "v,f7", "Metrics", "Show all metrics as charts, or go back"),
    _train("halve_rate", "L", "LR ×½", "Halve the learning rate from now on"),
    _train("double_rate", "U", "LR ×2", "Double the learning rate from now on"),
    _train("more_steps", "+", "Extend", "Add steps to the run"),
    _train("best_to_chat", "b", "Best", "Load the best checkpoint into Chat"),
    _train("checkpoints", "k", "Checkpoints", "List this run's checkpoints"),
    _train("fork", "f", "Fork", "Start a new run from a checkpoint"),
    _train("resume", "r", "Resume", "Resume a stopped run"),
    _train("apply", "a", "Apply", "Start a new run with the suggested remedy"),
    _train("details", "d", "Details", "Show the evidence for the diagnosis"),
    # Runs
    _runs("open", "enter", "Open", "Open the run on the Train screen", 1),
    _runs("select", "space", "Select", "Add the run to the overlay, or remove it", 2),
    _runs("load", "l", "Load", "Load the checkpoint into Chat", 3),
    _runs("evaluate", "e", "Evaluate", "Evaluate the checkpoint, or compare the selected runs", 4),
    _runs("resume", "r", "Resume", "Resume the run", 5),
    _runs("fork", "f", "Fork", "Start a new run from the checkpoint", 6),
    _runs("export", "E,w", "Export", "Export the checkpoint for other programs"),
    _runs("delete", "D", "Delete", "Move the run or checkpoint to the trash (u restores it)", 7),
    _runs("rename", "R", "Rename", "Rename the run, or label the checkpoint"),
    _runs("keep", "K,*", "Keep", "Protect the checkpoint from automatic deletion, or not"),
    _runs("promote", "B,!", "Make best", "Make the checkpoint the best one of its run"),
    _runs("undo", "u", "Undo", "Restore the run or checkpoint deleted last"),
    _runs("sort", "s", "Sort", "Sort by the next column"),
    _runs("axis", "X", "Axis", "Plot against steps, tokens, time or FLOPs"),
    _runs("compare", "=,f7", "Compare", "Rank the selected runs, or all that are shown", 8),
    _runs("pin", "p,f8", "Pin", "Pin the run to the top, or unpin it"),
    _runs("suites", "x,f9", "Suites", "Show suites of experiments and the queue", 9),
    _runs("log", "y,f10", "Log", "Switch between log and linear y axis"),
    _runs("smoothing", "m,f11", "Smooth", "Cycle through the smoothing levels"),
    _runs("units", "n,N", "Units", "Switch between nats per token and bits per byte"),
    # Experiments
    _experiments("open", "enter", "Open", "Go to the runs; open the run on the Train screen", 1),
    _experiments("run", "r", "Run", "Start or resume the suite", 2),
    _experiments("queue", "Q", "Queue", "Add the suite to the queue without starting it"),
    _experiments("stop", "x", "Stop", "Save and stop its run; remove the others from the queue", 3),
    _experiments("compare", "=", "Compare", "Compare the runs of the suite", 4),
    _experiments("report", "e", "Report", "Write the comparison as Markdown with its picture", 5),
    _experiments("lesson", "w", "Lesson", "Go to the next of the four weekly lessons", 6),
    _experiments("earlier", "K", "Move", "Move the waiting run up", 7),
    _experiments("later", "J", "Move", "Move the waiting run down", 7),
    _experiments("remove", "D", "Remove", "Remove the waiting run from the queue", 8),
    # Chat
    _chat("continue", "enter", "Continue", "Let the model continue the text", 1),
    # This screen handles escape itself: with nothing to stop, it goes back as elsewhere.
    _chat("stop", "escape", "Stop", "Stop generating", 2),
    _chat("inspect", "ctrl+s", "Inspect", "Inspect tokens: surprisal, rank, candidates", 3),
    _chat("resample", "ctrl+r", "Resample", "Regenerate from the selected token", 4),
    _chat("chunks", "v,f10", "Chunks", "Show the chunks of an H-Net, or surprisal", 4),
    _chat("replay", "r,f11", "Replay", "Replay the chunks at each checkpoint of the run", 5),
    _chat("model", "m,f7", "Model", "Choose a run and a checkpoint", 5),
    _chat("newest", "b,f8", "Newer", "Load the run's best or newest checkpoint", 6),
    _chat("side", "w,f9", "Side by side", "Compare checkpoints on one prompt and seed", 6),
    _chat("type", "i", "Type", "Type a prompt or a command", 7),
    _chat("cooler", "t", "Temp", "Lower the temperature", 8),
    _chat("warmer", "T", "Temp", "Raise the temperature", 8),
    _chat("fewer", "k", "Top-k", "Lower top-k", 9),
    _chat("more", "K", "Top-k", "Raise top-k", 9),
    _chat("narrower", "p", "Top-p", "Lower top-p", 10),
    _chat("wider", "P", "Top-p", "Raise top-p", 10),
    _chat("next_seed", "s", "Seed", "Next seed, for a different completion"),
    _chat("greedy", "g", "Greedy", "Switch greedy decoding on or off"),
    # Data
    _data("train", "t,f7", "Train", "Train the chosen preset on this text (asks first)", 1),
    _data("prepare", "p", "Prepare", "Prepare the corpus: tokenize and split the text", 1),
    _data("sample", "g", "Random", "Show a random document", 2),
    _data("open", "o", "Open text", "Use another file, directory or dataset in this preset", 3),
    _data("tokens", "v,f8", "Tokens", "Show token boundaries; arrows move from token to token", 4),
    _data("compare", "w", "Compare", "Compare with a second tokenizer, side by side", 5),
    _data("details", "d", "Details", "Show all findings about this text, with reasons", 6),
    # Charts
    _chart("crosshair_left", "left", "Crosshair", "Move the crosshair left"),
    _chart("crosshair_right", "right", "Crosshair", "Move the crosshair right"),
)

BY_ID: dict[str, Action] = {action.id: action for action in ACTIONS}


def offered(cls: type, room: Room) -> list[Action]:
    """The actions that a class of `room` implements; the room's own actions come first."""
    mine = [one for one in ACTIONS if one.screen == room and hasattr(cls, f"action_{one.name}")]
    if room == "all":
        return mine
    keys = {key for one in mine for key in one.keys}
    shared = [one for one in ACTIONS if one.screen == "all" and hasattr(cls, f"action_{one.name}")]
    return mine + [one for one in shared if not keys & set(one.keys)]


def bindings(cls: type, room: Room) -> list[BindingType]:
    """Textual bindings for what `cls` implements."""
    return [action.binding() for action in offered(cls, room)]
