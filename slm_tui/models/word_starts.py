"""Where words begin in bytes, for routers that are taught to cut there."""

from functools import cache

import torch
from torch import Tensor

from slm_tui.models.routing import Cuts

_LEAST = 1e-6


@cache
def _kinds() -> tuple[Tensor, Tensor]:
    """For every byte, whether it belongs to a word, and whether it is white space.

    Letters beyond ASCII have bytes from 0x80.
    """
    letters = [byte >= 0x80 or chr(byte).isalnum() for byte in range(256)]
    spaces = [byte < 0x80 and chr(byte).isspace() for byte in range(256)]
    return torch.tensor(letters), torch.tensor(spaces)


def word_starts(ids: Tensor, following: Tensor) -> Tensor:
    """Whether a word begins at each byte: at the space before it, or at its first letter if no
    space comes before it.

    Args:
        ids: bytes, `(batch, time)`; the first of each row counts as the beginning of a word.
        following: the byte after each, in the same shape.

    Returns:
        Bool, `(batch, time)`.
    """
    letters, spaces = (kind.to(ids.device) for kind in _kinds())
    is_letter, is_space = letters[ids], spaces[ids]
    starts = is_space & letters[following]
    starts[:, 1:] |= is_letter[:, 1:] & ~is_letter[:, :-1] & ~is_space[:, :-1]
    starts[:, 0] = True
    return starts


def word_loss(cuts: Cuts, starts: Tensor) -> Tensor:
    """Binary cross-entropy of the boundary probabilities with the beginnings of words, in nats;
    0-dimensional. The first position, always a boundary, does not count."""
    chance = cuts.probability[:, 1:].clamp(_LEAST, 1 - _LEAST)
    wanted = starts[:, 1:].to(chance.dtype)
    return -(wanted * chance.log() + (1 - wanted) * (1 - chance).log()).mean()


def share_of_words(cuts: Cuts, starts: Tensor) -> Tensor:
    """The share of boundaries at which a word begins, without the first of each row."""
    boundary = cuts.boundary[:, 1:]
    return (boundary & starts[:, 1:]).sum() / boundary.sum().clamp(min=1)
