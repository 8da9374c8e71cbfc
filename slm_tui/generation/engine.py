"""Streaming generation on a model's state, token by token."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event

import torch

from slm_tui.corpus.tokenizers import StreamDecoder, Tokenizer
from slm_tui.errors import GenerationError
from slm_tui.generation.sampling import SamplingSettings, draw
from slm_tui.models.base import LanguageModel


@dataclass(frozen=True)
class Piece:
    """One generated token: its id, and the text that became complete with it."""

    id: int
    text: str


def window_start(length: int, block_size: int) -> int:
    """Where the context of a text of `length` tokens begins.

    It stands still while the text grows and jumps a quarter of `block_size` when the window is
    full, so that the cache is made anew once in `block_size / 4` tokens and not at every one.
    """
    if length <= block_size:
        return 0
    stride = max(1, block_size // 4)
    return -(-(length - block_size) // stride) * stride


@torch.inference_mode()
def next_ids(
    model: LanguageModel,
    prompt: Sequence[int],
    settings: SamplingSettings,
    end_of_text: int | None,
    *,
    stop: Event | None = None,
    cached: bool = True,
) -> Iterator[int]:
    """Yield generated ids until `max_tokens`, `end_of_text` (not yielded) or `stop`.

    `cached=False` computes the whole window anew for every token: the reference that the
    cache is tested against.

    Raises:
        GenerationError: the prompt is empty.
    """
    if not prompt:
        raise GenerationError("there is nothing to continue", "the prompt is empty", "type some")
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(settings.seed)
    ids = list(prompt)
    start, state = window_start(len(ids), model.block_size), model.start(1)
    fresh = ids[start:]
    for _ in range(settings.max_tokens):
        if stop is not None and stop.is_set():
            return
        moved = window_start(len(ids), model.block_size)
        if moved != start or not cached:
            start, state, fresh = moved, model.start(1), ids[moved:]
        logits = model.step(torch.tensor([fresh], device=device), state)[0]
        history = torch.tensor(ids[start:]) if settings.repetition_penalty != 1.0 else None
        chosen = draw(logits, settings, generator, history)
        if chosen == end_of_text:
            return
        yield chosen
        ids.append(chosen)
        fresh = [chosen]


def stream(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    settings: SamplingSettings,
    *,
    begin: bool = True,
    stop: Event | None = None,
) -> Iterator[Piece]:
    """Continue `prompt` as a stream of pieces whose texts join to valid Unicode.

    Args:
        begin: put end-of-text before the prompt, as before every document in training; an
            empty prompt has it in any case.
        stop: set it to end the stream after the token being computed.
    """
    ids = [int(one) for one in tokenizer.encode(prompt)]
    if begin or not ids:
        ids.insert(0, tokenizer.end_of_text)
    decoder = StreamDecoder(tokenizer)
    for chosen in next_ids(model, ids, settings, tokenizer.end_of_text, stop=stop):
        yield Piece(chosen, decoder.feed(chosen))
    rest = decoder.finish()
    if rest:
        yield Piece(-1, rest)


def complete(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    settings: SamplingSettings,
    *,
    begin: bool = True,
    stop: Event | None = None,
) -> str:
    """The whole continuation of `prompt`."""
    pieces = stream(model, tokenizer, prompt, settings, begin=begin, stop=stop)
    return "".join(piece.text for piece in pieces)
