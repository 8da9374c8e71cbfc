"""Output formats of `slm-tui generate`: text blocks, JSON lines, a summary."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slm_tui import safe_files
from slm_tui.errors import GenerationError, cause_of

if TYPE_CHECKING:
    from slm_tui.generation.completions import Completion


def record(text: "Completion", checkpoint: Path) -> dict[str, Any]:
    """A completion as one JSON object."""
    return {
        "checkpoint": str(checkpoint),
        "prompt": text.prompt,
        "text": text.text,
        "seed": text.seed,
        "tokens": text.tokens,
        "seconds": round(text.seconds, 3),
        "tokens_per_second": round(_rate(text.tokens, text.seconds), 1),
        "utf8_valid": text.is_valid,
        "valid_bytes": text.valid_bytes,
        "invalid_bytes": text.invalid_bytes,
        "ended": text.ended,
    }


def line(text: "Completion", checkpoint: Path) -> str:
    """A completion as a line of JSON."""
    return json.dumps(record(text, checkpoint), ensure_ascii=False) + "\n"


def block(text: "Completion") -> str:
    """A completion with its prompt and its statistics."""
    return (
        f"Sample {text.number + 1}\n"
        f"Prompt: {text.prompt}\n"
        f"Generated: {text.text}\n"
        f"Stats: {counted(text.tokens, text.seconds)}, "
        f"UTF-8 {'valid' if text.is_valid else f'broken in {text.invalid_bytes} bytes'}, "
        f"{_ended(text)}, seed {text.seed}\n\n"
    )


def _ended(text: "Completion") -> str:
    return "stopped" if text.ended == "stopped" else f"ended by {text.ended}"


def summary(texts: Iterable["Completion"], seconds: float) -> str:
    """One line about all completions; `seconds` is the total time."""
    all_ = list(texts)
    valid = sum(text.is_valid for text in all_)
    tokens = sum(text.tokens for text in all_)
    share = 100 * valid / max(1, len(all_))
    samples = f"{len(all_)} sample{'s' if len(all_) != 1 else ''}"
    return f"Summary: {samples}, {counted(tokens, seconds)}, UTF-8 valid {share:.1f}%\n"


def counted(tokens: int, seconds: float) -> str:
    """`60 tokens in 0.42 s, 143 tokens/s`."""
    return f"{tokens:,} tokens in {seconds:.2f} s, {_rate(tokens, seconds):,.0f} tokens/s"


def _rate(tokens: int, seconds: float) -> float:
    return tokens / max(seconds, 1e-9) if tokens else 0.0


def check_writable(path: Path) -> None:
    """Check before generating that the result can be saved.

    Raises:
        GenerationError: `path` is a directory, or its parent cannot be created.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GenerationError(f"{path} cannot be written", cause_of(error)) from None
    if path.is_dir():
        raise GenerationError(f"{path} cannot be written", "it is a directory", "name a file")


def save(path: Path, content: str) -> None:
    """Write the file.

    Raises:
        GenerationError: the disk is full, or the directory is not writable.
    """
    try:
        safe_files.write_atomically(path, content)
    except OSError as error:
        raise GenerationError(f"{path} cannot be written", cause_of(error)) from None
