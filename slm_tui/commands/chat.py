"""`slm-tui chat`: a conversation line by line, for pipes, slow lines and screen readers."""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from slm_tui.commands import options as shared
from slm_tui.commands import output
from slm_tui.commands.interrupts import stop_event
from slm_tui.errors import GenerationError, SlmTuiError
from slm_tui.text import one_line

if TYPE_CHECKING:
    from slm_tui.generation.chat_commands import ChatSettings, Command
    from slm_tui.generation.completions import Completion, CompletionPiece
    from slm_tui.training.checkpoint import Checkpoint

_PROMPT = "> "
_SHOWN_PROMPT = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui chat`."""
    parser.description = (
        "Each line is a prompt that the model continues; an empty line continues the last text. "
        "Lines that begin with / are commands: /help lists them. Settings begin as in the preset."
    )
    parser.add_argument(
        "checkpoint", nargs="?", default="last", help="RUN, RUN@best, RUN@500, RUN@LABEL or a path"
    )
    shared.add_device(parser, "auto")
    shared.add_threads(parser)
    parser.set_defaults(command=chat)


def chat(options: argparse.Namespace) -> int:
    """Read lines until the end of the input or /quit.

    Completions go to stdout, everything else to stderr.
    """
    from slm_tui.runs import store

    talk = _Chat(options.device, options.threads)
    talk.load(store.find_checkpoint(options.checkpoint))
    for line in _lines():
        try:
            if not talk.take(line):
                return 0
        except SlmTuiError as error:
            output.say_stderr(str(error))
    return 0


def _lines() -> Iterator[str]:
    """The lines of the input; a terminal shows a prompt and allows editing."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            yield line.rstrip("\n")
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - gives `input` its history and editing
    while True:
        try:
            yield input(_PROMPT)
        except EOFError:
            output.say_stderr("")
            return


class _Chat:
    """The model, the settings, and the conversation so far."""

    def __init__(self, device: str, threads: int) -> None:
        self._device, self._threads = device, threads
        self._checkpoint: Checkpoint | None = None
        self._settings: ChatSettings | None = None
        self._texts: list[str] = []
        self._last = ""

    def load(self, path: Path) -> None:
        """Use the checkpoint at `path`; the first one's preset gives the settings.

        Raises:
            SlmTuiError: it cannot be opened, or the device does not exist.
        """
        from slm_tui.generation.chat_commands import ChatSettings
        from slm_tui.generation.engine import spread_over_threads
        from slm_tui.runs.checkpoints import run_of
        from slm_tui.training.checkpoint import read
        from slm_tui.training.device import choose_device
        from slm_tui.training.threads import Threads, work_of

        checkpoint = read(path)
        self._model = checkpoint.model(choose_device(self._device))
        spread_over_threads(self._model)
        Threads(self._threads, work=work_of(self._model))
        self._tokenizer = checkpoint.tokenizer()
        self._checkpoint, self._run = checkpoint, run_of(path).path
        if self._settings is None:
            self._settings = ChatSettings.of(checkpoint.preset.sampling)
        name = f"{self._run.name} @ {checkpoint.state.step:,}"
        output.say_stderr(f"{one_line(name)}: {' · '.join(self._settings.short())}")
        if self._last == "" and sys.stdin.isatty():
            example = one_line(checkpoint.preset.sampling.prompts[0], _SHOWN_PROMPT)
            output.say_stderr(f"type a prompt, such as: {example} (/help lists commands)")

    def take(self, line: str) -> bool:
        """Run one line; return whether to continue.

        Raises:
            SlmTuiError: the command is wrong, or generation fails.
        """
        from slm_tui.generation import chat_commands

        assert self._settings is not None
        if not line.startswith("/"):
            text = line.replace("\\n", "\n")
            if not text and not self._last:
                raise GenerationError("there is no text to continue", "", "type a prompt")
            self._complete(text or self._last)
            return True
        done = chat_commands.run(line, self._settings)
        self._settings = done.settings
        if done.note:
            output.say_stderr(done.note)
        return self._do(done)

    def _do(self, done: "Command") -> bool:
        from slm_tui.generation.chat_commands import COMMANDS
        from slm_tui.runs import conversation, store

        if done.verb == "quit":
            return False
        if done.verb == "help":
            for name, (argument, help) in COMMANDS.items():
                if name != "side":
                    output.say_stderr(f"/{name + ' ' + argument:16} {help}")
            output.say_stderr("an empty line continues the last text; \\n is a line break")
        elif done.verb == "model":
            if not done.argument:
                raise GenerationError(
                    "/model needs a checkpoint", "", "for example /model last@best"
                )
            self.load(store.find_checkpoint(done.argument))
        elif done.verb == "history":
            self._history(done.argument)
        elif done.verb == "save":
            path = conversation.save_text(done.argument, "\n\n".join(self._texts) + "\n")
            output.say_stderr(f"saved {path}")
        elif done.verb:
            raise GenerationError(f"/{done.verb} needs the full screen", "", "start slm-tui")
        return True

    def _history(self, argument: str) -> None:
        from slm_tui.runs import conversation

        if argument == "clear":
            conversation.clear(self._run)
            output.say_stderr("moved the conversation to the trash")
            return
        for one in conversation.read(self._run):
            output.say_text(f"[step {one.step:,}] {one.prompt}{one.text}\n")

    def _complete(self, prompt: str) -> None:
        """Write the completions of `prompt`; ctrl+C stops after the current token."""
        from slm_tui.generation.completions import write
        from slm_tui.generation.sampling import SamplingSettings

        assert self._settings is not None
        assert self._checkpoint is not None
        settings, several = self._settings, self._settings.samples > 1
        began = time.monotonic()

        def show(_number: int, piece: "CompletionPiece") -> None:
            if not several:
                output.say_text(piece.text)

        if not several:
            output.say_text(prompt)
        with stop_event() as stop:
            for text in write(
                self._model,
                self._tokenizer,
                [prompt],
                SamplingSettings.of(settings.sampling),
                samples=settings.samples,
                begin=self._checkpoint.state.begins_documents,
                stop=stop,
                on_piece=show,
            ):
                output.say_text(f"{prompt}{text.text}\n\n" if several else "\n")
                self._keep(prompt, text, time.monotonic() - began)

    def _keep(self, prompt: str, text: "Completion", seconds: float) -> None:
        """Remember the text, and add it to the conversation of the run."""
        from slm_tui.runs import conversation

        assert self._settings is not None
        assert self._checkpoint is not None
        self._last = prompt + text.text
        self._texts.append(self._last)
        if text.ended == "stopped" and not text.tokens:
            return
        sampling = self._settings.sampling.model_dump(mode="json", exclude={"prompts", "seed"})
        conversation.append(
            self._run,
            conversation.Exchange(
                prompt=prompt,
                text=text.text,
                step=self._checkpoint.state.step,
                seed=text.seed,
                ended=text.ended,
                sampling=sampling,
                tokens=text.tokens,
                tokens_per_second=round(text.tokens / max(seconds, 1e-6), 1),
                invalid_bytes=text.invalid_bytes,
            ),
        )
