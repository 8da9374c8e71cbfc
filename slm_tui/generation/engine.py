"""Writing several texts at once on a model's state, token by token, for every model family.

Each prompt costs one forward pass, together with the others; then all texts grow by one token a
pass. What a text becomes depends on its prompt, its seed and the settings alone, not on what is
written beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from slm_tui.errors import GenerationError
from slm_tui.generation.sampling import SamplingSettings, draw, noise
from slm_tui.models.base import LanguageModel

Ending = Literal["", "end of text", "stop string", "max tokens", "stopped"]

# Texts that are written at once at most, and the memory that their states may take.
_MOST_TEXTS = 32
_MOST_STATE_BYTES = 2**28
# Numbers that are drawn in advance for a text.
_NOISES = 64


@dataclass
class Continuation:
    """A text in the making.

    `ids` are the prompt and what was drawn; `drawn` numbers the next draw, so that a text that
    is gone on with becomes what it had become in one go. `ended` stays empty while it grows.
    """

    ids: list[int]
    seed: int
    drawn: int = 0
    ended: Ending = ""


@dataclass
class _Row:
    """One text of the state: where its window begins (-1: not read yet), what it may still get.

    `noises` decide the draws from `first` on.
    """

    text: Continuation
    left: int
    start: int = -1
    first: int = 0
    noises: list[float] = field(default_factory=list)

    def noise(self) -> float:
        """What decides the next draw."""
        at = self.text.drawn - self.first
        if not 0 <= at < len(self.noises):
            self.first, at = self.text.drawn, 0
            self.noises = noise(self.text.seed, self.first, min(self.left, _NOISES))
        return self.noises[at]


def window_start(length: int, context: int | None) -> int:
    """Where the tokens begin that a text of `length` tokens is continued from.

    It stands still while the text grows and jumps a quarter of `context` when the window is
    full, so that the cache is made anew once in `context / 4` tokens and not at every one.
    """
    if context is None or length <= context:
        return 0
    stride = max(1, context // 4)
    return -(-(length - context) // stride) * stride


class Engine:
    """Writes `texts`; as many at once as memory allows, the next as soon as one has ended.

    Args:
        model: its weights are not changed, nor its mode; in training mode dropout is active.
        texts: they grow in place.
        end_of_text: ends a text when drawn, and is not appended.
        at_once: so many texts at once at most.
        cached: `False` computes the whole window anew for every token: the reference that the
            state is tested against.

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
            remedy = "type some"
            raise GenerationError("there is nothing to continue", "the prompt is empty", remedy)
        self._model = model
        self._settings = settings
        self._end = end_of_text
        self._cached = cached
        self._waiting = [_Row(text, settings.max_tokens) for text in texts]
        self._rows: list[_Row] = []
        # Holds the texts of `_rows`, in their order.
        self._state: Any = None
        self._at_once = at_once or texts_at_once(model)
        self._device = next(model.parameters()).device

    @torch.inference_mode()
    def step(self) -> list[Continuation]:
        """Draw one token for each text that is being written; those that got one.

        Empty when all texts have ended. Whoever calls may end a text by setting its `ended`.
        """
        while (logits := self._advance()) is not None:
            grown = self._draw(logits)
            if grown:
                return grown
        return []

    def _advance(self) -> Tensor | None:
        """The logits of the next token of each row, `(texts, n_vocab)`; `None` at the end.

        Rows whose text has ended are dropped; waiting ones take their places.
        """
        stay = [at for at, row in enumerate(self._rows) if self._goes_on(row)]
        moved = [row for row in self._rows if not row.text.ended and not self._goes_on(row)]
        rows = [self._rows[at] for at in stay]
        fresh = moved + self._take_waiting(self._at_once - len(rows) - len(moved))
        if stay and len(stay) < len(self._rows):
            self._state = self._state.take(stay)
        self._rows = rows + fresh
        if not self._rows:
            self._state = None
            return None
        logits = []
        if rows:
            logits.append(self._forward([[row.text.ids[-1]] for row in rows], self._state))
        if fresh:
            state, found = self._read(fresh)
            self._state = self._state.joined(state) if rows else state
            logits.append(found)
        return logits[0] if len(logits) == 1 else torch.cat(logits)

    def _goes_on(self, row: _Row) -> bool:
        """Whether the row's state holds all but the last token of its window."""
        if row.text.ended or not self._cached:
            return False
        return row.start == window_start(len(row.text.ids), self._model.context)

    def _take_waiting(self, room: int) -> list[_Row]:
        """The next `room` texts; those that ended, or may get nothing, are passed over."""
        if not room:
            return []
        waiting = [row for row in self._waiting if row.left > 0 and not row.text.ended]
        taken, self._waiting = waiting[:room], waiting[room:]
        return taken

    def _read(self, rows: list[_Row]) -> tuple[Any, Tensor]:
        """Read the windows of `rows` in one pass, each different one once: state and logits."""
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

    def _draw(self, logits: Tensor) -> list[Continuation]:
        """Append the next token to each text, or end it; those that got one."""
        settings, rows = self._settings, self._rows
        noises = torch.zeros(len(rows), dtype=torch.float64)
        if settings.temperature > 0:
            noises = torch.tensor([row.noise() for row in rows], dtype=torch.float64)
        drawn = draw(logits, settings, noises, self._seen()).tolist()
        grown = []
        for row, id in zip(rows, drawn, strict=True):
            text = row.text
            text.drawn += 1
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
        """Which tokens stand in the window of each text, bool `(texts, n_vocab)`."""
        if self._settings.repetition_penalty == 1.0:
            return None
        seen = torch.zeros(len(self._rows), self._model.n_vocab, dtype=torch.bool)
        for marks, row in zip(seen, self._rows, strict=True):
            marks[torch.tensor(row.text.ids[row.start :])] = True
        return seen


def texts_at_once(model: LanguageModel) -> int:
    """How many texts fit into the memory that their states may take, at least 1."""
    size = max(1, int(model.start(1).nbytes))
    return max(1, min(_MOST_TEXTS, _MOST_STATE_BYTES // size))


def spread_over_threads(model: LanguageModel) -> None:
    """Let all threads share the linear layers of a pass of one token, for a model that only writes.

    The product of a matrix with a single vector is left to one thread by the libraries for CPUs;
    as so many products of a part of its rows it takes up to two fifths less time on two.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.weight.is_cpu:
            module.forward = partial(_by_rows, module)  # type: ignore[method-assign]


def _by_rows(linear: nn.Linear, x: Tensor) -> Tensor:
    """What `linear` makes of `x`; of a single vector part by part, one for each thread."""
    parts = torch.get_num_threads()
    if parts == 1 or x.numel() != linear.in_features or linear.out_features % parts:
        return F.linear(x, linear.weight, linear.bias)
    weight = linear.weight.view(parts, -1, linear.in_features).transpose(1, 2)
    y = torch.matmul(x.view(1, 1, -1).expand(parts, 1, -1), weight).view(*x.shape[:-1], -1)
    return y if linear.bias is None else y + linear.bias
