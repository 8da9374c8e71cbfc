"""Whether what a model writes is text: UTF-8 validity, length and how it ended."""

import codecs
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from slm_tui.corpus.tokenizers import StreamDecoder, Tokenizer
from slm_tui.generation.engine import Continuation, Engine
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.generation.texts import prompt_ids
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

    `valid_bytes` and `invalid_bytes` count the bytes of the text, without such a cut one;
    `seconds` passed from the beginning of all to its end.
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
    """Write `count` texts side by side, the prompts in turn; seeds follow that of `settings`.

    `step` is told after every token how many have ended, and may raise.
    """
    asked = [prompts[number % len(prompts)] for number in range(count)]
    read = [prompt_ids(tokenizer, prompt, begin=begin) for prompt in asked]
    texts = [Continuation(list(ids), settings.seed + at) for at, ids in enumerate(read)]
    engine = Engine(model, texts, settings, tokenizer.end_of_text)
    began, seconds = time.perf_counter(), [0.0] * count
    while engine.step():
        now = time.perf_counter() - began
        done = 0
        for at, text in enumerate(texts):
            done += bool(text.ended)
            seconds[at] = seconds[at] or (now if text.ended else 0.0)
        step(done)
    took = time.perf_counter() - began
    step(count)
    return [
        judged(
            tokenizer,
            prompt,
            text.ids[len(ids) :],
            settings.with_(seed=text.seed),
            seconds[at] or took,
        )
        for at, (prompt, ids, text) in enumerate(zip(asked, read, texts, strict=True))
    ]


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
    # They were written side by side: all had been written when the last one ended.
    seconds = max(one.seconds for one in generations)
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
