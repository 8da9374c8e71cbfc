"""How likely each token of a text is to a model, and the alternatives."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from slm_tui.generation.engine import window_start
from slm_tui.generation.sampling import SamplingSettings, draw, filtered, noise
from slm_tui.models.base import LanguageModel

WARM = 1.5
"""The temperature that `Candidates.warm` shows: enough to change the text."""


# At most this many logits are held in float64 at a time.
_MOST_LOGITS = 2**22


@dataclass(frozen=True, eq=False)
class TokenSurprise:
    """How a model read a text of n tokens, each from those before it.

    Attributes:
        surprise: −ln p of each token in nats, float64 `(n,)`; NaN for the first, which has
            no context.
        rank: how many tokens were likelier, plus one, `(n,)`; 0 for the first.
        best: the likeliest token at each position, `(n,)`; −1 for the first.
        best_chance: its probability, `(n,)`.
    """

    surprise: NDArray[np.float64]
    rank: NDArray[np.int64]
    best: NDArray[np.int64]
    best_chance: NDArray[np.float64]

    def mean(self, begin: int = 0) -> float:
        """Mean surprise in nats of the tokens from `begin` on; NaN if there are none."""
        surprises = self.surprise[begin:]
        surprises = surprises[np.isfinite(surprises)]
        return float(surprises.mean()) if len(surprises) else math.nan


@dataclass(frozen=True)
class Candidate:
    """A possible next token: its probability according to the model, and after filtering."""

    id: int
    before: float
    after: float


@dataclass(frozen=True)
class Candidates:
    """The possible tokens at one position of a text.

    Attributes:
        place: index of the token in the text, from 0.
        chosen: the token at that position; `None` after the end of the text.
        rows: the likeliest tokens according to the model, likeliest first; the chosen one is
            added at the end if it is not among them.
        logit: of the chosen token; NaN if there is none.
        rank: of the chosen token, 1 for the likeliest; 0 if there is none.
        remaining: how many tokens remain after filtering.
        cut_mass: the total probability of all others, before filtering.
        entropy, entropy_after: in bits, before and after filtering.
        uniform: the entropy if all tokens were equally likely, in bits.
        vocabulary: the number of tokens.
        greedy: the token chosen at temperature 0.
        sampled: the token sampled with the settings and the noise of this position.
        warm: the token sampled at temperature `WARM` with the same noise.
    """

    place: int
    chosen: int | None
    rows: tuple[Candidate, ...]
    logit: float
    rank: int
    remaining: int
    cut_mass: float
    entropy: float
    entropy_after: float
    uniform: float
    vocabulary: int
    greedy: int
    sampled: int
    warm: int


@torch.inference_mode()
def heat(
    model: LanguageModel,
    ids: Sequence[int],
    turn: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> TokenSurprise:
    """Score a text as it was generated: every token from the window that generation saw.

    Neighbouring tokens whose windows begin at the same position share one forward pass; `turn`
    is held during each, and may raise to stop.
    """
    count = len(ids)
    result = TokenSurprise(
        np.full(count, math.nan),
        np.zeros(count, np.int64),
        np.full(count, -1, np.int64),
        np.full(count, math.nan),
    )
    device = next(model.parameters()).device
    at = 1
    while at < count:
        start = window_start(at, model.context)
        end = at
        while end < count and window_start(end, model.context) == start:
            end += 1
        with turn():
            logits = model(torch.tensor([ids[start : end - 1]], device=device))[0, at - 1 - start :]
            _fill(result, logits, torch.tensor(ids[at:end], device=device), at)
        at = end
    return result


def _fill(result: TokenSurprise, logits: Tensor, targets: Tensor, at: int) -> None:
    """Fill in the tokens from `at` on, with `logits` `(n, n_vocab)`."""
    rows = max(1, _MOST_LOGITS // logits.shape[1])
    for first in range(0, len(targets), rows):
        chances = torch.log_softmax(logits[first : first + rows].double(), 1)
        own, top = chances.gather(1, targets[first : first + rows, None]), chances.max(1)
        here = slice(at + first, at + first + len(chances))
        result.surprise[here] = -own[:, 0].cpu().numpy()
        result.rank[here] = ((chances > own).sum(1) + 1).cpu().numpy()
        result.best[here] = top.indices.cpu().numpy()
        result.best_chance[here] = top.values.exp().cpu().numpy()


@torch.inference_mode()
def logits_at(model: LanguageModel, ids: Sequence[int], place: int) -> Tensor:
    """The logits of token `place` (from 1) of a text, from those before it: `(n_vocab,)`."""
    start = window_start(place, model.context)
    window = torch.tensor([ids[start:place]], device=next(model.parameters()).device)
    return model.step(window, model.start(1))[0].float().cpu()


def candidates(
    logits: Tensor,
    ids: Sequence[int],
    place: int,
    settings: SamplingSettings,
    *,
    context: int | None,
    prompt: int = 1,
    most: int = 20,
) -> Candidates:
    """The candidates at `place` of the text `ids`, and the token chosen there.

    Args:
        logits: those of `place`, `(n_vocab,)`; see `logits_at`.
        context: of the model.
        prompt: length of the prompt in ids: the noise is numbered from there.
        most: maximum number of rows.
    """
    # As in sampling: NaN means impossible, and all may be.
    able = torch.nan_to_num(logits, nan=-torch.inf, posinf=1e30)
    seen = torch.zeros(1, len(logits), dtype=torch.bool)
    seen[0, list(ids[window_start(place, context) : place])] = True
    before = torch.nan_to_num(torch.softmax(able.double(), 0))
    left = filtered(able[None], settings, seen)[0]
    after, survivors = torch.nan_to_num(torch.softmax(left.double(), 0)), torch.isfinite(left)
    if settings.temperature == 0:
        after = F.one_hot(left.argmax(), len(logits)).double()
        survivors = after > 0
    top = torch.topk(before, min(most, len(logits))).indices.tolist()
    chosen = ids[place] if place < len(ids) else None
    if chosen is not None and chosen not in top:
        top[-1] = chosen
    noises = torch.tensor(noise(settings.seed, max(0, place - prompt)), dtype=torch.float64)

    def sample_with(one: SamplingSettings) -> int:
        return int(draw(logits[None], one, noises, seen))

    return Candidates(
        place=place,
        chosen=chosen,
        rows=tuple(Candidate(id, float(before[id]), float(after[id])) for id in top),
        logit=math.nan if chosen is None else float(logits[chosen]),
        rank=0 if chosen is None else int((before > before[chosen]).sum()) + 1,
        remaining=int(survivors.sum()),
        cut_mass=float(before[~survivors].sum()),
        entropy=_entropy(before),
        entropy_after=_entropy(after),
        uniform=math.log2(len(logits)),
        vocabulary=len(logits),
        greedy=sample_with(settings.with_(temperature=0.0)),
        sampled=sample_with(settings),
        warm=sample_with(settings.with_(temperature=WARM)),
    )


def _entropy(chances: Tensor) -> float:
    """Entropy in bits."""
    return float(torch.special.entr(chances).sum()) / math.log(2)
