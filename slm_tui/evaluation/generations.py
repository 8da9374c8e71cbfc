"""Whether completions are valid text: UTF-8 validity, length and how they ended."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from slm_tui.corpus.tokenizers import Tokenizer
from slm_tui.generation.completions import Completion, write
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.models.base import LanguageModel

USUAL_PROMPTS = (
    "Once upon a time",
    "The quick brown fox",
    "In a galaxy far away",
    "Hello, my name is",
    "The most important thing",
    "Yesterday, I went to",
    "The weather today is",
    "Scientists have discovered",
    "In conclusion, we can say",
    "The story begins with",
)


def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    settings: SamplingSettings,
    count: int,
    *,
    begin: bool,
    step: Callable[[int], None] = lambda done: None,
) -> list[Completion]:
    """Generate `count` completions together, cycling through the prompts; seeds count up.

    Stop strings are ignored: this measures how the model itself ends. `step` is called after
    every token with the number of finished completions, and may raise.
    """
    repeated = [prompts[number % len(prompts)] for number in range(count)]
    seeds = [settings.seed + number for number in range(count)]
    texts: list[Completion] = []
    for text in write(
        model,
        tokenizer,
        repeated,
        settings.with_(stop=()),
        seeds=seeds,
        begin=begin,
        on_piece=lambda *_: step(len(texts)),
    ):
        texts.append(text)
    step(count)
    return sorted(texts, key=lambda one: one.number)


def summary(generations: Sequence[Completion], seconds: float) -> dict[str, Any]:
    """Summary of all completions, generated within `seconds`; shares are 0 to 1, `None` if nothing
    was generated."""
    valid = sum(one.valid_bytes for one in generations)
    invalid = sum(one.invalid_bytes for one in generations)
    tokens = [one.tokens for one in generations]
    sizes = [one.bytes for one in generations]
    return {
        "num_samples": len(generations),
        "utf8_validity": sum(one.is_valid for one in generations) / len(generations),
        "utf8_byte_validity": valid / (valid + invalid) if valid + invalid else None,
        "ended_by_end_of_text": sum(one.ended == "end of text" for one in generations),
        "tokens": {"mean": fmean(tokens), "min": min(tokens), "max": max(tokens)},
        "bytes": {"mean": fmean(sizes), "min": min(sizes), "max": max(sizes)},
        "tokens_per_second": sum(tokens) / seconds if seconds else None,
        "invalid_bytes": invalid,
    }


def as_text(name: str, generations: Sequence[Completion]) -> str:
    """The contents of `generations.txt`."""
    parts = [name]
    for number, one in enumerate(generations, 1):
        ended = one.ended if one.ended == "end of text" else "length limit"
        valid = "valid UTF-8" if one.is_valid else f"{one.invalid_bytes} bytes are not UTF-8"
        parts.append(
            f"--- sample {number}, seed {one.seed}: {one.tokens} tokens, {one.bytes} bytes, "
            f"{ended}, {valid}\nprompt: {one.prompt}\n{one.prompt}{one.text}"
        )
    return "\n\n".join(parts) + "\n"
