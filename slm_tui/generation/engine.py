"""Generates several completions at once on a model's state, for every model family.

Prompts share one forward pass; then each pass adds one token to every completion. A completion
depends only on its prompt, seed and settings, not on the others in its batch.
"""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from slm_tui.errors import GenerationError
from slm_tui.generation.replayed_steps import claim, hand_back
from slm_tui.generation.sampling import SamplingSettings, draw, noise
from slm_tui.models.base import LanguageModel
from slm_tui.models.bitlinear import BitLinear
from slm_tui.models.vector_product import vector_product

Ending = Literal["", "end of text", "stop string", "max tokens", "stopped"]

# The most completions at once, and the memory that their states may take.
_MOST_TEXTS = 32
_MOST_STATE_BYTES = 2**28
_MOST_TEXTS_ON_GPU = 128
# Random numbers generated in advance per completion.
_NOISES = 64


@dataclass
class Continuation:
    """A completion in progress.

    `ids` are the prompt and the sampled tokens; `draws` is the number of the next draw, so that
    a continued completion equals one generated in one go. `ended` is empty until it ends.
    """

    ids: list[int]
    seed: int
    draws: int = 0
    ended: Ending = ""


@dataclass
class _Row:
    """One row of the state: the start of its window (-1: not read yet) and tokens left.

    `noises` are the random numbers of the draws from `first` on.
    """

    text: Continuation
    left: int
    start: int = -1
    first: int = 0
    noises: list[float] = field(default_factory=list)

    def noise(self) -> float:
        """The uniform random number for the next draw."""
        at = self.text.draws - self.first
        if not 0 <= at < len(self.noises):
            self.first, at = self.text.draws, 0
            self.noises = noise(self.text.seed, self.first, min(self.left, _NOISES))
        return self.noises[at]


def window_start(length: int, context: int | None) -> int:
    """The start of the window from which a text of `length` tokens is continued.

    It stays fixed while the text grows and jumps by a quarter of `context` when the window is
    full, so that the cache is rebuilt every `context / 4` tokens instead of at every token.
    """
    if context is None or length <= context:
        return 0
    stride = max(1, context // 4)
    return -(-(length - context) // stride) * stride


class Engine:
    """Generates `texts`: as many at once as fit in memory, the next as soon as one has ended.

    Args:
        model: its weights and mode are not changed; in training mode dropout is active.
        texts: they grow in place.
        end_of_text: ends a text when sampled, and is not appended.
        at_once: the most texts at once.
        cached: `False` recomputes the whole window for every token: the reference for testing
            the cached state.

    Raises:
        GenerationError: a prompt is empty.
    """

    def __init__(
        self,
        model: LanguageModel,
        texts: Sequence[Continuation],
        settings: SamplingSettings,
        end_of_text: int | None,
        *,
        at_once: int | None = None,
        cached: bool = True,
    ) -> None:
        if not all(text.ids for text in texts):
            remedy = "type a prompt"
            raise GenerationError("there is nothing to continue", "the prompt is empty", remedy)
        self._model = model
        self._settings = settings
        self._end = end_of_text
        self._cached = cached
        self._waiting = [_Row(text, settings.max_tokens) for text in texts]
        self._rows: list[_Row] = []
        # Holds the texts of `_rows`, in order.
        self._state: Any = None
        self._at_once = at_once or texts_at_once(model)
        self._device = next(model.parameters()).device
        most = min(self._at_once, len(texts))
        self._replayed = claim(model, settings, most) if cached and texts else None
        # At the end, or when the caller drops the engine before.
        self._release = weakref.finalize(self, hand_back, model, settings, self._replayed)

    @torch.inference_mode()
    def step(self) -> list[Continuation]:
        """Sample one token for each active text; return the texts that got one.

        Empty when all texts have ended. The caller may end a text by setting its `ended`.
        """
        while (tokens := self._advance()) is not None:
            grown = self._append(tokens)
            if grown:
                return grown
        return []

    def _advance(self) -> list[int] | None:
        """The next token of each row; `None` at the end.

        Rows whose text has ended are dropped; waiting ones take their place.
        """
        stay = [at for at, row in enumerate(self._rows) if self._has_current_state(row)]
        moved = [
            row for row in self._rows if not row.text.ended and not self._has_current_state(row)
        ]
        rows = [self._rows[at] for at in stay]
        fresh = moved + self._take_waiting(self._at_once - len(rows) - len(moved))
        if stay and len(stay) < len(self._rows):
            self._state = self._state.take(stay)
        self._rows = rows + fresh
        if not self._rows:
            self._state = None
            self._release()
            return None
        if self._replayed is not None and not (self._replayed.problem or fresh):
            return self._replayed([row.text.ids[-1] for row in rows], self._state, self._noises())
        logits = []
        if rows:
            logits.append(self._forward([[row.text.ids[-1]] for row in rows], self._state))
        if fresh:
            state, new_logits = self._read(fresh)
            self._state = self._state.joined(state) if rows else state
            logits.append(new_logits)
        return self._draw(logits[0] if len(logits) == 1 else torch.cat(logits))

    def _has_current_state(self, row: _Row) -> bool:
        """Whether the row's state holds all but the last token of its window."""
        if row.text.ended or not self._cached:
            return False
        return row.start == window_start(len(row.text.ids), self._model.context)

    def _take_waiting(self, room: int) -> list[_Row]:
        """The next `room` texts; those that ended or have no tokens left are skipped."""
        if not room:
            return []
        waiting = [row for row in self._waiting if row.left > 0 and not row.text.ended]
        started, self._waiting = waiting[:room], waiting[room:]
        return started

    def _read(self, rows: list[_Row]) -> tuple[Any, Tensor]:
        """Read the windows of `rows` in one pass, each distinct one once: state and logits."""
        windows: dict[tuple[int, ...], int] = {}
        which = []
        for row in rows:
            row.start = window_start(len(row.text.ids), self._model.context)
            which.append(windows.setdefault(tuple(row.text.ids[row.start :]), len(windows)))
        lengths = [len(window) for window in windows]
        longest = max(lengths)
        padded = [[*window, *[0] * (longest - len(window))] for window in windows]
        state = self._model.start(len(windows))
        logits = self._forward(padded, state, None if min(lengths) == longest else lengths)
        if len(windows) == len(rows):
            return state, logits
        return state.take(which), logits[which]

    def _forward(
        self, ids: list[list[int]], state: Any, lengths: Sequence[int] | None = None
    ) -> Tensor:
        return self._model.step(torch.tensor(ids, device=self._device), state, lengths)

    def _draw(self, logits: Tensor) -> list[int]:
        """The next token of each row, from its logits `(texts, n_vocab)`."""
        noises = torch.tensor(self._noises(), dtype=torch.float64)
        tokens: list[int] = draw(logits, self._settings, noises, self._seen()).tolist()
        return tokens

    def _noises(self) -> list[float]:
        if self._settings.temperature > 0:
            return [row.noise() for row in self._rows]
        return [0.0] * len(self._rows)

    def _append(self, tokens: list[int]) -> list[Continuation]:
        """Append its next token to each text, or end it; return the texts that got one."""
        grown = []
        for row, id in zip(self._rows, tokens, strict=True):
            text = row.text
            text.draws += 1
            if id == self._end:
                text.ended = "end of text"
                continue
            text.ids.append(id)
            grown.append(text)
            row.left -= 1
            if not row.left:
                text.ended = "max tokens"
        return grown

    def _seen(self) -> Tensor | None:
        """Which tokens occur in the window of each text, bool `(texts, n_vocab)`."""
        if self._settings.repetition_penalty == 1.0:
            return None
        seen = torch.zeros(len(self._rows), self._model.n_vocab, dtype=torch.bool)
        for marks, row in zip(seen, self._rows, strict=True):
            marks[torch.tensor(row.text.ids[row.start :])] = True
        return seen


def texts_at_once(model: LanguageModel) -> int:
    """How many texts fit into the memory limit for their states, at least 1."""
    size = max(1, int(model.start(1).nbytes))
    most, memory = _MOST_TEXTS, _MOST_STATE_BYTES
    weight = next(model.parameters())
    if weight.is_cuda:
        # More texts take hardly longer. They are copied once when some of them end.
        free, _ = torch.cuda.mem_get_info(weight.device)
        most, memory = _MOST_TEXTS_ON_GPU, free // 8
    return max(1, min(most, memory // size))


def spread_over_threads(model: LanguageModel) -> None:
    """Share the linear layers of a one-token pass among all threads, for inference only.

    See `vector_product`.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.weight.is_cpu:
            module.forward = partial(_by_rows, module)  # type: ignore[method-assign]
        elif isinstance(module, BitLinear):
            module.is_spread = True


def _by_rows(linear: nn.Linear, x: Tensor) -> Tensor:
    y = vector_product(x, linear.weight)
    return y if linear.bias is None else y + linear.bias
