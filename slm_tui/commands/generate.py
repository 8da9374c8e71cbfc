"""`slm-tui generate`: generates text with a checkpoint."""

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

# Maximum bytes of a prompt file.
_MOST_PROMPTS = 1 << 26
_ESCAPES = {"n": "\n", "t": "\t", "\\": "\\"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `slm-tui generate`."""
    add, whole = parser.add_argument, shared.whole
    add("checkpoint", help="RUN, RUN@best, RUN@last, RUN@500 or a path")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--prompt", help="the text to continue")
    source.add_argument(
        "--prompts",
        metavar="FILE",
        help='one prompt per line, with \\n for a new line; if .jsonl, {"prompt": …} per line',
    )
    add("--samples", type=whole, default=1, help="completions per prompt (default: 1)")
    add(
        "--output",
        metavar="FILE",
        default="",
        help="write to FILE, as JSON lines if it ends in .jsonl",
    )
    add("--temperature", type=float, help="sampling temperature; 0 is greedy")
    add("--top-k", type=whole, help="sample from the K most likely tokens")
    add("--top-p", type=float, help="sample from the most likely tokens up to this probability")
    add("--repetition-penalty", type=float, help="penalty on repeated tokens; 1 is off")
    add("--max-tokens", type=whole, help="maximum length of a completion")
    add(
        "--stop",
        action="append",
        metavar="TEXT",
        help="stop before this text (\\n: new line); repeat to add more; '' turns off the preset's",
    )
    shared.add_seed(parser, "seed of the first completion; each further one adds 1")
    add("--greedy", action="store_true", help="always pick the most likely token")
    add("--batch", type=whole, metavar="N", help="completions at once (default: as many as fit)")
    shared.add_device(parser, "auto")
    shared.add_threads(parser)
    shared.add_json(parser, "print one JSON object per completion")
    parser.set_defaults(command=generate)


def generate(options: argparse.Namespace) -> int:
    """Continue each prompt `--samples` times in batches; a single completion is streamed.

    Ctrl+C stops all completions after the current token; what was generated is kept.
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
    """All completions of one call, written in the order of the prompts."""

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
        self._threads = options.threads
        self._as_json, self._output = as_json, output
        count = len(prompts) * options.samples
        self._live = count == 1 and output is None and not as_json
        self._progress = _TextsProgress(count)
        # Finished before an earlier one did.
        self._early: dict[int, Completion] = {}
        self._texts: list[Completion] = []

    def run(self, device: "torch.device", stop: threading.Event) -> None:
        from slm_tui.generation.completions import write
        from slm_tui.generation.engine import spread_over_threads
        from slm_tui.generation.replayed_steps import problem_of
        from slm_tui.training.threads import Threads, work_of

        checkpoint = self._checkpoint
        model, tokenizer = checkpoint.model(device), checkpoint.tokenizer()
        spread_over_threads(model)
        Threads(self._threads, work=work_of(model))
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
                on_piece=self._on_piece,
            ):
                self._take(text)
        except (RuntimeError, MemoryError) as error:
            raise _worded(error) from error
        finally:
            # Also writes the completions so far if something fails.
            self._finish(time.monotonic() - began)
            if problem := problem_of(model):
                output.say_stderr(f"generation does not use CUDA graphs: {problem}")

    def _on_piece(self, number: int, piece: "CompletionPiece") -> None:
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
        """Write the completions still waiting for an earlier one, the file, and the summary."""
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
            many = f"{len(texts)} completion{'s' if len(texts) != 1 else ''}"
            output.say_stderr(f"wrote {many} to {self._output}")
        output.say_stderr(summary.rstrip("\n"))


def _is_nothing(text: "Completion") -> bool:
    """Whether it was stopped before its first token."""
    return text.ended == "stopped" and not text.tokens


class _TextsProgress:
    """The number of completions and tokens so far, on the progress line."""

    def __init__(self, texts: int) -> None:
        self._line, self._texts = ProgressLine(sys.stderr), texts
        self._began = time.monotonic()
        self._tokens = self.done = 0

    def add_token(self) -> None:
        self._tokens += 1
        self._line.show(self._described)

    def _described(self, _width: int) -> str:
        seconds = time.monotonic() - self._began
        counted = generated_files.counted(self._tokens, seconds)
        return f"{self.done}/{self._texts} completions, {counted}"

    def clear(self) -> None:
        """Clear the line."""
        self._line.clear()


def _worded(error: RuntimeError | MemoryError) -> Exception:
    from slm_tui.training.memory import first_line, out_of_memory

    if not out_of_memory(error):
        return error
    return GenerationError(
        "memory ran out", first_line(error), "generate fewer completions at once: --batch 1"
    )


def _device(name: str) -> "torch.device":
    from slm_tui.training.device import choose_device

    try:
        return choose_device(name)
    except TrainingError as error:
        remedy = "try auto, cpu, cuda, cuda:1 or mps"
        raise GenerationError(f"--device {name}: {error.what}", error.why, remedy) from None


def _settings(options: argparse.Namespace, settings: "SamplingSettings") -> "SamplingSettings":
    names = ("temperature", "top_k", "top_p", "repetition_penalty", "max_tokens", "seed")
    overrides = {
        name: getattr(options, name) for name in names if getattr(options, name) is not None
    }
    for name, least in (("temperature", 0), ("top_k", 1), ("max_tokens", 1), ("seed", 0)):
        # NaN fails every comparison.
        if name in overrides and not least <= overrides[name] < 2**62:
            raise GenerationError(f"--{name.replace('_', '-')} must be at least {least}")
    if not 0 < overrides.get("top_p", 1) <= 1:
        raise GenerationError("--top-p must be above 0 and at most 1")
    if not 1 <= overrides.get("repetition_penalty", 1) < 2**62:
        raise GenerationError("--repetition-penalty must be at least 1")
    for name in ("samples", "batch"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise GenerationError(f"--{name} must be at least 1")
    if options.stop:
        overrides["stop"] = tuple(one for one in map(_unescaped, options.stop) if one)
    settings = replace(settings, **overrides)
    return replace(settings, temperature=0.0) if options.greedy else settings


def _prompts(options: argparse.Namespace, usual: tuple[str, ...]) -> list[str]:
    if options.prompt is not None:
        # Bytes that are not UTF-8 arrive from the shell as lone surrogates.
        return [options.prompt.encode(errors="surrogateescape").decode(errors="replace")]
    if not options.prompts:
        return [usual[0]]
    path = Path(options.prompts).expanduser()
    try:
        text = plain_text.read(path, _MOST_PROMPTS)
    except (OSError, ValueError) as error:
        raise GenerationError(f"{options.prompts} cannot be read", cause_of(error)) from None
    as_json = path.suffix.lower() == ".jsonl"
    prompts = [
        _json_prompt(line, f"{options.prompts}, line {number}") if as_json else _unescaped(line)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]
    if not prompts:
        form = 'write {"prompt": "…"} on each line' if as_json else "write one per line"
        raise GenerationError(f"{options.prompts} has no prompts", "", form)
    return prompts


def _json_prompt(line: str, where: str) -> str:
    remedy = 'write {"prompt": "…"} on each line'
    try:
        value: Any = safe_files.parse_json(line)
    except ValueError as error:
        raise GenerationError(f"{where} is not JSON", str(error), remedy) from None
    prompt = value.get("prompt") if isinstance(value, dict) else None
    if not isinstance(prompt, str):
        raise GenerationError(f"{where} has no prompt", "", remedy)
    # JSON can encode half a surrogate pair, which is not a character.
    return prompt.encode(errors="replace").decode()


def _unescaped(text: str) -> str:
    r"""Replace `\n`, `\t` and `\\` with what they stand for; keep any other backslash."""
    parts, rest = [], text
    while rest:
        head, backslash, rest = rest.partition("\\")
        parts.append(head)
        if backslash:
            char = _ESCAPES.get(rest[:1])
            parts.append(backslash if char is None else char)
            rest = rest[char is not None :]
    return "".join(parts)
