"""Prompts to completions: sampled tokens, decoded so that no character is ever split."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Event

from slm_tui.corpus.tokenizers import StreamDecoder, Tokenizer
from slm_tui.generation.engine import Continuation, Ending, Engine
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.models.base import LanguageModel


@dataclass(frozen=True)
class CompletionPiece:
    """One generated token: its id, and the text that became complete with it.

    The id is -1 for text held back until the end: an incomplete character, or a possible start
    of a stop string.
    """

    id: int
    text: str


@dataclass(frozen=True)
class Completion:
    """The completion of a prompt.

    `number` counts prompts and, within each, samples; `ids` were sampled; `seconds` passed from
    reading the prompt to the last token, including time for other completions.
    """

    number: int
    prompt: str
    text: str
    seed: int
    ids: tuple[int, ...]
    ended: Ending
    seconds: float
    valid_bytes: int
    invalid_bytes: int

    @property
    def tokens(self) -> int:
        return len(self.ids)

    @property
    def bytes(self) -> int:
        """Invalid bytes, except those of a character truncated by the length limit."""
        return self.valid_bytes + self.invalid_bytes

    @property
    def is_valid(self) -> bool:
        """Whether all bytes are UTF-8, ignoring a character truncated by the length limit."""
        return not self.invalid_bytes


def prompt_ids(tokenizer: Tokenizer, prompt: str, *, begin: bool) -> list[int]:
    """The ids that the model reads: with the start of a document in front if `begin`, as in
    training; always for an empty prompt."""
    ids = tokenizer.encode(prompt)
    return [tokenizer.document_start, *ids] if begin or not ids else ids


class TextDecoder:
    """Decodes the tokens of one completion and releases text once it is certain.

    No part of a stop string is ever released: a possible start of one is held back until it is
    clear. `stopped` is set when one occurred; text after it is kept for `resume`.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self._decoder = StreamDecoder(tokenizer)
        self._stop = tuple(one for one in stop if one)
        self._held = ""
        self.stopped = False

    @property
    def valid_bytes(self) -> int:
        """Number of valid UTF-8 bytes in all tokens."""
        return self._decoder.valid_bytes

    @property
    def invalid_bytes(self) -> int:
        """Number of invalid bytes; an incomplete character counts after `finish`."""
        return self._decoder.invalid_bytes

    def feed(self, id: int) -> str:
        """The text that became certain with this token."""
        return self._release(self._decoder.feed(id))

    def finish(self) -> str:
        """All text held back, at the end; an incomplete character becomes U+FFFD."""
        rest = self._release(self._decoder.finish())
        if self.stopped:
            return rest
        rest, self._held = rest + self._held, ""
        return rest

    def resume(self, stop: Sequence[str] = ()) -> str:
        """Resume the text where it ended, with what was held back, including a stop string."""
        rest, self._held = self._held, ""
        self._stop, self.stopped = tuple(one for one in stop if one), False
        return rest

    def _release(self, more: str) -> str:
        self._held += more
        if self.stopped or not self._stop:
            return "" if self.stopped else self._all()
        matches = [(at + len(one), at) for one in self._stop if (at := self._held.find(one)) >= 0]
        if matches:
            self.stopped = True
            # The stop string that is complete first, as a token may have many characters.
            return self._first(min(matches)[1])
        return self._first(len(self._held) - self._undecided_length())

    def _undecided_length(self) -> int:
        """How many characters at the end of the held text may start a stop string."""
        most = max(map(len, self._stop)) - 1
        for length in range(min(most, len(self._held)), 0, -1):
            end = self._held[-length:]
            if any(one.startswith(end) for one in self._stop):
                return length
        return 0

    def _first(self, count: int) -> str:
        released, self._held = self._held[:count], self._held[count:]
        return released

    def _all(self) -> str:
        return self._first(len(self._held))


class _Writing:
    """One completion while the engine generates it."""

    def __init__(
        self, number: int, prompt: str, ids: list[int], seed: int, decoder: TextDecoder
    ) -> None:
        self.number, self.prompt, self.decoder = number, prompt, decoder
        self.continuation = Continuation(ids, seed)
        self.begin = self.fed = len(ids)
        self.parts: list[str] = []
        self.began: float | None = None
        self.faults = 0
        self.closed = False

    @property
    def has_begun(self) -> bool:
        """Whether a token was sampled, including end-of-text."""
        return self.continuation.draws > 0

    def take(self, before: float) -> list[CompletionPiece]:
        """The new piece since the last call; `before` is when the last token was started."""
        one = self.continuation
        if self.began is None and self.has_begun:
            self.began = before
        pieces = [CompletionPiece(id, self.decoder.feed(id)) for id in one.ids[self.fed :]]
        self.fed = len(one.ids)
        if self.decoder.stopped and one.ended != "stop string":
            one.ended = "stop string"
        if one.ended and not self.closed:
            self.closed = True
            # A character truncated by the length limit is not the model's fault.
            self.faults = self.decoder.invalid_bytes
            rest = self.decoder.finish()
            if one.ended == "end of text":
                self.faults = self.decoder.invalid_bytes
            if rest:
                pieces.append(CompletionPiece(-1, rest))
        self.parts += [piece.text for piece in pieces]
        return pieces

    def text(self, now: float) -> Completion:
        """The finished completion."""
        one = self.continuation
        return Completion(
            self.number,
            self.prompt,
            "".join(self.parts),
            one.seed,
            tuple(one.ids[self.begin :]),
            one.ended,
            now - (now if self.began is None else self.began),
            self.decoder.valid_bytes,
            self.faults,
        )


def write(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    settings: SamplingSettings,
    *,
    samples: int = 1,
    seeds: Sequence[int] | None = None,
    begin: bool = True,
    stop: Event | None = None,
    at_once: int | None = None,
    on_piece: Callable[[int, CompletionPiece], None] | None = None,
) -> Iterator[Completion]:
    """Continue every prompt `samples` times in batches; yield each completion when it ends.

    Sample n of a prompt has the seed `settings.seed + n` and does not depend on the others in
    its batch.

    Args:
        seeds: one per completion instead, in the order of their numbers.
        begin: see `prompt_ids`.
        stop: set it to end all completions after the current token.
        at_once: the most completions at once; as many as fit in memory if `None`.
        on_piece: called with the number of a completion and each of its pieces.
    """
    many = [prompt for prompt in prompts for _ in range(samples)]
    if seeds is None:
        seeds = [(settings.seed + number % samples) % 2**63 for number in range(len(many))]
    writing = [
        _Writing(
            number,
            prompt,
            prompt_ids(tokenizer, prompt, begin=begin),
            seed,
            TextDecoder(tokenizer, settings.stop),
        )
        for number, (prompt, seed) in enumerate(zip(many, seeds, strict=True))
    ]
    continuations = [one.continuation for one in writing]
    engine = Engine(model, continuations, settings, tokenizer.end_of_text, at_once=at_once)
    waiting, active = deque(writing), list[_Writing]()
    while waiting or active:
        before = time.monotonic()
        stopped = stop is not None and stop.is_set()
        grown = [] if stopped else engine.step()
        now = time.monotonic()
        # The engine starts them in order.
        while waiting and (not grown or waiting[0].has_begun):
            active.append(waiting.popleft())
        for one in active:
            if not grown:
                one.continuation.ended = one.continuation.ended or "stopped"
            for piece in one.take(before):
                if on_piece is not None:
                    on_piece(one.number, piece)
            if one.closed:
                yield one.text(now)
        active = [one for one in active if not one.closed]


def stream(
    model: LanguageModel,
    tokenizer: Tokenizer,
    prompt: str,
    settings: SamplingSettings,
    *,
    begin: bool = True,
    stop: Event | None = None,
) -> Iterator[CompletionPiece]:
    """Continue `prompt` as a stream of pieces that join to valid Unicode."""
    ids = prompt_ids(tokenizer, prompt, begin=begin)
    one = _Writing(0, prompt, ids, settings.seed, TextDecoder(tokenizer, settings.stop))
    engine = Engine(model, [one.continuation], settings, tokenizer.end_of_text)
    while not one.closed:
        stopped = stop is not None and stop.is_set()
        if (stopped or not engine.step()) and not one.continuation.ended:
            one.continuation.ended = "stopped"
        yield from one.take(time.monotonic())


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
