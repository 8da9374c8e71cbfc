"""`slm-tui generate`: write text with a checkpoint."""

import argparse
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slm_tui import plain_text, safe_files
from slm_tui.commands import generated_files, output
from slm_tui.commands import options as shared
from slm_tui.commands.interrupts import INTERRUPTED, stop_event
from slm_tui.commands.progress_line import ProgressLine
from slm_tui.errors import GenerationError, TrainingError, cause_of

if TYPE_CHECKING:
    import torch

    from slm_tui.generation.completions import Completion, CompletionPiece
    from slm_tui.generation.sampling import SamplingSettings
    from slm_tui.training.checkpoint import Checkpoint

# Bytes of a file of prompts.
_MOST_PROMPTS = 1 << 26
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui generate`."""
    add, whole = parser.add_argument, shared.whole
    add("checkpoint", help="RUN, RUN@best, RUN@last, RUN@500 or a path")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--prompt", help="what the text begins with")
    source.add_argument(
        "--prompts",
        metavar="FILE",
        help='one prompt per line, with \\n for a new line; if .jsonl, {"prompt": …} per line',
    )
    add("--samples", type=whole, default=1, help="texts per prompt")
    add("--output", metavar="FILE", default="", help="write there, as JSON lines if .jsonl")
    add("--temperature", type=float, help="0 is greedy")
    add("--top-k", type=whole, help="draw from the K likeliest tokens")
    add("--top-p", type=float, help="draw from the likeliest part, at most 1")
    add("--repetition-penalty", type=float, help="at least 1, which is off")
    add("--max-tokens", type=whole, help="the longest text")
    add(
        "--stop",
        action="append",
        metavar="TEXT",
        help="end before it, with \\n for a new line; repeatable; '' switches the preset's off",
    )
    shared.add_seed(parser, "of the first sample; the next has one more")
    add("--greedy", action="store_true", help="always the likeliest token")
    add("--batch", type=whole, metavar="N", help="texts at once; else what fits")
    shared.add_device(parser, "auto")
    shared.add_json(parser, "one JSON object per text")
    parser.set_defaults(command=generate)


def generate(options: argparse.Namespace) -> int:
    """Continue each prompt `--samples` times, many at once; one text alone is shown as it grows.

    Ctrl+C ends all texts after the token that is being computed; they are kept as they are.
    """
    from slm_tui.generation.sampling import SamplingSettings
    from slm_tui.runs import store
    from slm_tui.training.checkpoint import read

    checkpoint = read(store.find_checkpoint(options.checkpoint))
    settings = _settings(options, SamplingSettings.of(checkpoint.preset.sampling))
    prompts = _prompts(options, checkpoint.preset.sampling.prompts)
    output = Path(options.output).expanduser() if options.output else None
    if output is not None:
        generated_files.check_writable(output)
    as_json = options.json or (output is not None and output.suffix.lower() == ".jsonl")
    job = _Job(checkpoint, prompts, settings, options, as_json, output)
    with stop_event() as stop:
        job.run(_device(options.device), stop)
        return INTERRUPTED if stop.is_set() else 0


class _Job:
    """All texts of one call, and where they go: in the order of the prompts, whatever ends
    first."""

    def __init__(
        self,
        checkpoint: "Checkpoint",
        prompts: list[str],
        settings: "SamplingSettings",
        options: argparse.Namespace,
        as_json: bool,
        output: Path | None,
    ) -> None:
        self._checkpoint, self._prompts, self._settings = checkpoint, prompts, settings
        self._samples, self._at_once = options.samples, options.batch
        self._as_json, self._output = as_json, output
        count = len(prompts) * options.samples
        self._live = count == 1 and output is None and not as_json
        self._progress = _TextsProgress(count)
        # Ended before one in front of them did.
        self._early: dict[int, Completion] = {}
        self._texts: list[Completion] = []

    def run(self, device: "torch.device", stop: threading.Event) -> None:
        from slm_tui.generation.completions import write
        from slm_tui.generation.engine import spread_over_threads

        checkpoint = self._checkpoint
        model, tokenizer = checkpoint.model(device), checkpoint.tokenizer()
        spread_over_threads(model)
        began = time.monotonic()
        if self._live:
            output.say_text(self._prompts[0])
        try:
            for text in write(
                model,
                tokenizer,
                self._prompts,
                self._settings,
                samples=self._samples,
                begin=checkpoint.state.begins_documents,
                stop=stop,
                at_once=self._at_once,
                told=self._told,
            ):
                self._take(text)
        except (RuntimeError, MemoryError) as error:
            raise _worded(error) from error
        finally:
            # Also what there is when something fails on the way.
            self._finish(time.monotonic() - began)

    def _told(self, number: int, piece: "CompletionPiece") -> None:
        if self._live:
            output.say_text(piece.text)
        elif piece.id >= 0:
            self._progress.add_token()

    def _take(self, text: "Completion") -> None:
        self._early[text.number] = text
        self._progress.done += 1
        while (following := self._early.pop(len(self._texts), None)) is not None:
            self._texts.append(following)
            self._print(following)

    def _print(self, text: "Completion") -> None:
        if self._live or self._output is not None or _is_nothing(text):
            return
        self._progress.clear()
        if self._as_json:
            output.say_json(generated_files.record(text, self._checkpoint.path))
        else:
            output.say_text(generated_files.block(text))

    def _shape(self, text: "Completion") -> str:
        path = self._checkpoint.path
        return generated_files.line(text, path) if self._as_json else generated_files.block(text)

    def _finish(self, seconds: float) -> None:
        """Those that wait for one that will never end, the file, and the summary."""
        for _, text in sorted(self._early.items()):
            self._texts.append(text)
            self._print(text)
        self._early.clear()
        self._progress.clear()
        texts = [text for text in self._texts if not _is_nothing(text)]
        if self._live:
            output.say_text("\n")
        if not texts:
            return
        summary = generated_files.summary(texts, seconds)
        if self._output is not None:
            content = "".join(map(self._shape, texts))
            generated_files.save(self._output, content if self._as_json else content + summary)
            many = f"{len(texts)} text{'s' if len(texts) != 1 else ''}"
            output.tell(f"wrote {many} to {self._output}")
        output.tell(summary.rstrip("\n"))


def _is_nothing(text: "Completion") -> bool:
    """Whether it was stopped before it began."""
    return text.ended == "stopped" and not text.tokens


class _TextsProgress:
    """How many texts and tokens there are, on the progress line."""

    def __init__(self, texts: int) -> None:
        self._line, self._texts = ProgressLine(sys.stderr), texts
        self._began = time.monotonic()
        self._tokens = self.done = 0

    def add_token(self) -> None:
        self._tokens += 1
        self._line.show(self._described)

    def _described(self, _width: int) -> str:
        seconds = time.monotonic() - self._began
        return f"{self.done}/{self._texts} texts, {generated_files.counted(self._tokens, seconds)}"

    def clear(self) -> None:
        """Make room for something else."""
        self._line.clear()


def _worded(error: RuntimeError | MemoryError) -> Exception:
    from slm_tui.training.memory import first_line, out_of_memory

    if not out_of_memory(error):
        return error
    return GenerationError(
        "memory ran out", first_line(error), "write fewer texts at once: --batch 1"
    )


def _device(wanted: str) -> "torch.device":
    from slm_tui.training.device import choose_device

    try:
        return choose_device(wanted)
    except TrainingError as error:
        remedy = "try auto, cpu, cuda, cuda:1 or mps"
        raise GenerationError(f"--device {wanted}: {error.what}", error.why, remedy) from None


def _settings(options: argparse.Namespace, settings: "SamplingSettings") -> "SamplingSettings":
    names = ("temperature", "top_k", "top_p", "repetition_penalty", "max_tokens", "seed")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    for name, least in (("temperature", 0), ("top_k", 1), ("max_tokens", 1), ("seed", 0)):
        # NaN is not at least anything.
        if name in given and not least <= given[name] < 2**62:
            raise GenerationError(f"--{name.replace('_', '-')} must be at least {least}")
    if not 0 < given.get("top_p", 1) <= 1:
        raise GenerationError("--top-p must be above 0 and at most 1")
    if not 1 <= given.get("repetition_penalty", 1) < 2**62:
        raise GenerationError("--repetition-penalty must be at least 1")
    for name in ("samples", "batch"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise GenerationError(f"--{name} must be at least 1")
    if options.stop:
        given["stop"] = tuple(one for one in map(_unescaped, options.stop) if one)
    settings = replace(settings, **given)
    return replace(settings, temperature=0.0) if options.greedy else settings


def _prompts(options: argparse.Namespace, usual: tuple[str, ...]) -> list[str]:
    if options.prompt is not None:
        # Bytes that are not UTF-8 come from the shell as lone surrogates.
        return [options.prompt.encode(errors="surrogateescape").decode(errors="replace")]
    if not options.prompts:
        return [usual[0]]
    path = Path(options.prompts).expanduser()
    try:
        text = plain_text.read(path, _MOST_PROMPTS)
    except (OSError, ValueError) as error:
        raise GenerationError(f"{options.prompts} cannot be read", cause_of(error)) from None
    as_json = path.suffix.lower() == ".jsonl"
    found = [
        _json_prompt(line, f"{options.prompts}, line {number}") if as_json else _unescaped(line)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    if not found:
        form = 'write {"prompt": "…"} on each line' if as_json else "write one per line"
        raise GenerationError(f"{options.prompts} has no prompts", "", form)
    return found


def _json_prompt(line: str, where: str) -> str:
    remedy = 'write {"prompt": "…"} on each line'
    try:
        value: Any = safe_files.parse_json(line)
    except ValueError as error:
        raise GenerationError(f"{where} is not JSON", str(error), remedy) from None
    prompt = value.get("prompt") if isinstance(value, dict) else None
    if not isinstance(prompt, str):
        raise GenerationError(f"{where} has no prompt", "", remedy)
    # JSON can spell half a surrogate pair, which is no character.
    return prompt.encode(errors="replace").decode()


def _unescaped(text: str) -> str:
    r"""`\n`, `\t` and `\\` as what they stand for; any other backslash as it is."""
    parts, rest = [], text
    while rest:
        head, backslash, rest = rest.partition("\\")
        parts.append(head)
        if backslash:
            meant = _ESCAPES.get(rest[:1])
            parts.append(backslash if meant is None else meant)
            rest = rest[meant is not None :]
    return "".join(parts)
