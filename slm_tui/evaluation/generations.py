"""Whether what a model writes is text: UTF-8 validity, length and how it ended."""

import codecs
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

from slm_tui.corpus.tokenizers import StreamDecoder, Tokenizer
from slm_tui.generation.engine import next_ids
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


@dataclass(frozen=True)
class Generation:
    """One text. `is_valid` is strict UTF-8; a character that the length limit cut is forgiven.

    `valid_bytes` and `invalid_bytes` count the bytes of the text, without such a cut one.
    """

    prompt: str
    text: str
    seed: int
    tokens: int
    bytes: int
    seconds: float
    ended: bool
    is_valid: bool
    valid_bytes: int
    invalid_bytes: int


def write(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    settings: SamplingSettings,
    begin: bool,
    step: Callable[[], None],
) -> list[int]:
    """The ids that continue `prompt`: all that this page needs of the engine."""
    ids = [int(one) for one in tokenizer.encode(prompt)]
    if begin or not ids:
        ids.insert(0, tokenizer.end_of_text)
    found = []
    for chosen in next_ids(model, ids, settings, tokenizer.end_of_text):
        step()
        found.append(chosen)
    return found


def generate(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    settings: SamplingSettings,
    count: int,
    *,
    begin: bool,
    step: Callable[[int], None] = lambda done: None,
) -> list[Generation]:
    """Write `count` texts, the prompts in turn; the seeds follow that of `settings`."""
    found = []
    for number in range(count):
        prompt = prompts[number % len(prompts)]
        one = settings.with_(seed=settings.seed + number)
        began = time.perf_counter()
        ids = write(model, tokenizer, prompt, one, begin, partial(step, number))
        seconds = time.perf_counter() - began
        found.append(judged(tokenizer, prompt, ids, one, seconds))
    step(count)
    return found


def judged(
    tokenizer: Tokenizer,
    prompt: str,
    ids: Sequence[int],
    settings: SamplingSettings,
    seconds: float,
) -> Generation:
    """Look at the bytes of `ids`, one token after the other."""
    ended = len(ids) < settings.max_tokens
    stream, strict = StreamDecoder(tokenizer), codecs.getincrementaldecoder("utf-8")("strict")
    texts, size, is_valid, before = [], 0, True, None
    for id in ids:
        data = tokenizer.next_bytes(id, before)
        before = id
        size += len(data)
        texts.append(stream.feed(id))
        if is_valid:
            try:
                strict.decode(data)
            except UnicodeDecodeError:
                is_valid = False
    counted = stream.valid_bytes + stream.invalid_bytes
    texts.append(stream.finish())
    valid, invalid = stream.valid_bytes, stream.invalid_bytes
    if not ended:
        # What is unfinished at the limit might have become a character.
        invalid -= valid + invalid - counted
    elif is_valid:
        is_valid = invalid == 0
    text = "".join(texts)
    return Generation(
        prompt, text, settings.seed, len(ids), size, seconds, ended, is_valid, valid, invalid
    )


def summary(generations: Sequence[Generation]) -> dict[str, Any]:
    """What they come to; shares are 0 to 1, `None` where nothing was written."""
    valid = sum(one.valid_bytes for one in generations)
    invalid = sum(one.invalid_bytes for one in generations)
    tokens = [one.tokens for one in generations]
    sizes = [one.bytes for one in generations]
    seconds = sum(one.seconds for one in generations)
    return {
        "num_samples": len(generations),
        "utf8_validity": sum(one.is_valid for one in generations) / len(generations),
        "utf8_byte_validity": valid / (valid + invalid) if valid + invalid else None,
        "ended_by_end_of_text": sum(one.ended for one in generations),
        "tokens": {"mean": fmean(tokens), "min": min(tokens), "max": max(tokens)},
        "bytes": {"mean": fmean(sizes), "min": min(sizes), "max": max(sizes)},
        "tokens_per_second": sum(tokens) / seconds if seconds else None,
        "invalid_bytes": invalid,
    }


def as_text(name: str, generations: Sequence[Generation]) -> str:
    """What `generations.txt` holds."""
    parts = [name]
    for number, one in enumerate(generations, 1):
        ended = "end of text" if one.ended else "length limit"
        valid = "valid UTF-8" if one.is_valid else f"{one.invalid_bytes} bytes are not UTF-8"
        parts.append(
            f"--- sample {number}, seed {one.seed}: {one.tokens} tokens, {one.bytes} bytes, "
            f"{ended}, {valid}\nprompt: {one.prompt}\n{one.prompt}{one.text}"
        )
    return "\n\n".join(parts) + "\n"
