"""`slm-tui generate`: write text with a checkpoint."""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from slm_tui import paths
from slm_tui.errors import GenerationError
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.runs import store
from slm_tui.text import visible


def generate(options: argparse.Namespace) -> int:
    """Continue each prompt `--samples` times; stream to the terminal, or write a file."""
    import torch

    from slm_tui.generation.texts import stream
    from slm_tui.training.checkpoint import read

    checkpoint = read(store.find_checkpoint(options.checkpoint))
    settings = _settings(options, SamplingSettings.of(checkpoint.preset.sampling))
    prompts = _prompts(options, checkpoint.preset.sampling.prompts)
    model = checkpoint.model(torch.device("cpu"))
    tokenizer = checkpoint.tokenizer()
    written: list[dict[str, Any]] = []
    live = not (options.json or options.output)
    for prompt in prompts:
        for number in range(options.samples):
            one = settings.with_(seed=settings.seed + number)
            began, texts, tokens = time.monotonic(), [], 0
            if live:
                if len(prompts) * options.samples > 1:
                    _print(f"{'' if not written else chr(10)}--- seed {one.seed}")
                _print(prompt, end="")
            begin = checkpoint.state.begins_documents
            for piece in stream(model, tokenizer, prompt, one, begin=begin):
                texts.append(piece.text)
                tokens += piece.id >= 0
                if live:
                    _print(piece.text, end="")
            seconds = time.monotonic() - began
            if live:
                _print("")
            written.append(
                {
                    "checkpoint": str(checkpoint.path),
                    "prompt": prompt,
                    "text": "".join(texts),
                    "seed": one.seed,
                    "tokens": tokens,
                    "seconds": round(seconds, 3),
                }
            )
            if options.json and not options.output:
                print(json.dumps(written[-1], ensure_ascii=False), flush=True)
    if options.output:
        _write(Path(options.output), written, as_json=options.json)
    return 0


def _settings(options: argparse.Namespace, settings: SamplingSettings) -> SamplingSettings:
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
    if options.samples < 1:
        raise GenerationError("--samples must be at least 1")
    settings = replace(settings, **given)
    return replace(settings, temperature=0.0) if options.greedy else settings


def _prompts(options: argparse.Namespace, usual: tuple[str, ...]) -> list[str]:
    if options.prompt is not None:
        return [options.prompt]
    if not options.prompts:
        return [usual[0]]
    try:
        text = Path(options.prompts).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GenerationError(
            f"{options.prompts} cannot be read", getattr(error, "strerror", None) or str(error)
        ) from None
    found = [line for line in text.splitlines() if line.strip()]
    if not found:
        raise GenerationError(f"{options.prompts} has no prompts", "", "write one per line")
    return found


def _print(text: str, end: str = "\n") -> None:
    # A terminal obeys escape sequences; a file gets the text as the model wrote it.
    sys.stdout.write((visible(text) if sys.stdout.isatty() else text) + end)
    sys.stdout.flush()


def _write(path: Path, written: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in written)
    else:
        text = "\n".join(f"{one['prompt']}{one['text']}\n" for one in written)
    try:
        paths.write_atomically(path.expanduser(), text)
    except OSError as error:
        raise GenerationError(f"{path} cannot be written", error.strerror or str(error)) from None
    print(f"wrote {len(written)} texts to {path}", file=sys.stderr)
