"""Slash commands of a chat and the settings they change, for the screen and the command line."""

import difflib
import secrets
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from slm_tui.config.preset import problems
from slm_tui.config.training import Sampling
from slm_tui.errors import GenerationError
from slm_tui.text import one_line

MOST_SAMPLES = 20
_OFF = ("off", "none", "-")


@dataclass(frozen=True)
class ChatSettings:
    """How Chat samples. `warm` is the temperature that `/sample` restores."""

    sampling: Sampling
    samples: int = 1
    warm: float = 0.8

    @classmethod
    def of(cls, sampling: Sampling) -> "ChatSettings":
        """Those with which a chat begins: the sampling of the model's preset."""
        return cls(sampling, warm=sampling.temperature or 0.8)

    @property
    def is_greedy(self) -> bool:
        return self.sampling.temperature == 0

    def changed(self, **values: Any) -> "ChatSettings":
        """A copy with some sampling settings changed.

        Raises:
            GenerationError: a value is out of range; the error says which values are valid.
        """
        try:
            sampling = Sampling.model_validate(self.sampling.model_dump() | values)
        except ValidationError as error:
            wrong = "; ".join(map(str, problems(error)))
            raise GenerationError("invalid setting", wrong) from None
        warm = sampling.temperature or self.warm
        return ChatSettings(sampling, self.samples, warm)

    def nudged(self, name: str, direction: int) -> "ChatSettings":
        """One step less (-1) or more (+1) of `temperature`, `top_k` or `top_p`, within range."""
        sampling = self.sampling
        if name == "temperature":
            value = round(sampling.temperature + 0.1 * direction, 2)
            return self.changed(temperature=min(10.0, max(0.0, value)))
        if name == "top_k":
            return self.changed(top_k=_next(_TOP_K, sampling.top_k, direction))
        return self.changed(top_p=_next(_TOP_P, sampling.top_p, direction))

    def short(self) -> list[str]:
        """The settings in a few words, most important first."""
        sampling = self.sampling
        parts = ["greedy" if self.is_greedy else f"T {sampling.temperature:.2f}"]
        if not self.is_greedy:
            parts.append(f"top-k {sampling.top_k or 'off'}")
            parts.append(f"top-p {_decimal(sampling.top_p)}")
            parts.append(f"seed {sampling.seed}")
        parts.append(f"max {sampling.max_tokens}")
        if sampling.repetition_penalty != 1:
            parts.append(f"rep {sampling.repetition_penalty:g}")
        if sampling.stop:
            parts.append(f"stop {stop_words(sampling.stop)}")
        if self.samples > 1:
            parts.append(f"×{self.samples}")
        return parts


_TOP_K: tuple[int | None, ...] = (1, 2, 3, 5, 10, 20, 40, 50, 100, 200, 500, None)
_TOP_P: tuple[float | None, ...] = (
    *(0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, None),
)


def stop_words(stop: tuple[str, ...]) -> str:
    """Stop strings for display, each in quotes; line breaks as `↵`."""
    return " ".join(f"“{one_line(text, 16)}”" for text in stop) or "off"


def _decimal(value: float | None) -> str:
    return "off" if value is None else f"{value:.2f}"


def _next(steps: tuple[Any, ...], value: Any, direction: int) -> Any:
    """The step before or after `value`; `None` (off) is the last."""
    numbers = [step for step in steps if step is not None]
    if direction > 0:
        return next((step for step in numbers if value is not None and step > value), None)
    below = [step for step in numbers if value is None or step < value]
    return below[-1] if below else numbers[0]


@dataclass(frozen=True)
class Command:
    """The effect of a line: the new settings, a note to show, or something that the
    screen does (`verb`: model, side, history, save, help, quit) with `argument`."""

    settings: ChatSettings
    note: str = ""
    verb: str = ""
    argument: str = ""


# name: (argument, what it does)
COMMANDS: dict[str, tuple[str, str]] = {
    "temp": ("0.8", "temperature, 0 to 10; 0 is greedy"),
    "topk": ("40 | off", "sample from the k most likely tokens"),
    "topp": ("0.9 | off", "sample from the most likely tokens that sum to p"),
    "rep": ("1.2", "repetition penalty, 1 to 10; 1 is none"),
    "max": ("200", "maximum length of a completion, in tokens"),
    "seed": ("7 | random", "the same seed gives the same completion"),
    "stop": ("TEXT | off", "stop before this text; repeat to add; \\n: line break"),
    "greedy": ("", "always take the most likely token"),
    "sample": ("", "sample again, as before /greedy"),
    "samples": ("3", f"completions per prompt, up to {MOST_SAMPLES}"),
    "model": ("[RUN@STEP]", "choose a checkpoint"),
    "side": ("[RUN@STEP …]", "two to four checkpoints side by side"),
    "history": ("[clear]", "show or clear the saved chats with this run"),
    "save": ("FILE", "save the conversation; .jsonl includes all settings"),
    "help": ("", "show this list"),
    "quit": ("", "quit"),
}
_SETTINGS = {
    "temp": ("temperature", float),
    "topk": ("top_k", int),
    "topp": ("top_p", float),
    "rep": ("repetition_penalty", float),
    "max": ("max_tokens", int),
    "seed": ("seed", int),
}


def run(line: str, settings: ChatSettings) -> Command:
    """What `/name argument` asks for.

    Raises:
        GenerationError: there is no such command, or its value is invalid.
    """
    name, _, argument = line.strip().removeprefix("/").partition(" ")
    name, argument = name.lower(), argument.strip()
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.4)
        remedy = f"did you mean /{close[0]}?" if close else "/help lists all commands"
        raise GenerationError(f"unknown command /{name}", "", remedy)
    if name in _SETTINGS:
        return _set(name, argument, settings)
    if name == "greedy":
        return Command(settings.changed(temperature=0.0), "greedy: always the most likely token")
    if name == "sample":
        warm = settings.warm or 0.8
        return Command(settings.changed(temperature=warm), f"temperature {warm:g}")
    if name == "stop":
        return _stop(argument, settings)
    if name == "samples":
        return _samples(argument, settings)
    if name == "save" and not argument:
        raise GenerationError("/save needs a file", "", "for example /save story.txt")
    return Command(settings, verb=name, argument=argument)


def _set(name: str, argument: str, settings: ChatSettings) -> Command:
    field, kind = _SETTINGS[name]
    example, help = COMMANDS[name]
    label = field.replace("_", " ")
    if not argument:
        now = getattr(settings.sampling, field)
        shown = "off" if now is None else f"{now:g}" if kind is float else str(now)
        return Command(settings, f"{label} is {shown}; /{name} {example}: {help}")
    if argument.lower() in _OFF and "off" in example:
        return Command(settings.changed(**{field: None}), f"{label} off")
    if argument.lower() == "random" and name == "seed":
        argument = str(secrets.randbelow(100_000))
    try:
        value = kind(argument)
    except ValueError:
        works = "a whole number" if kind is int else "a number"
        raise GenerationError(
            f"/{name} {argument} is invalid", f"it takes {works}", f"try /{name} {example}"
        ) from None
    return Command(
        settings.changed(**{field: value}),
        f"{label} {value:g}" if kind is float else f"{label} {value}",
    )


def _stop(argument: str, settings: ChatSettings) -> Command:
    """Add a stop string, or remove all."""
    stop = settings.sampling.stop
    if not argument:
        return Command(settings, f"stop before: {stop_words(stop)}; /stop TEXT adds one")
    if argument.lower() in _OFF:
        return Command(settings.changed(stop=()), "stop off")
    text = argument.replace("\\n", "\n")
    changed = settings.changed(stop=tuple(dict.fromkeys((*stop, text))))
    return Command(changed, f"stop before: {stop_words(changed.sampling.stop)}")


def _samples(argument: str, settings: ChatSettings) -> Command:
    if not argument:
        shown = f"completions per prompt: {settings.samples}; /samples 3 sets three"
        return Command(settings, shown)
    if not argument.isdecimal() or not 1 <= int(argument) <= MOST_SAMPLES:
        raise GenerationError(
            f"/samples {argument} is invalid", f"it takes 1 to {MOST_SAMPLES}", "try /samples 3"
        )
    many = int(argument)
    return Command(replace(settings, samples=many), f"completions per prompt: {many}")
