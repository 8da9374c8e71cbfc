"""Facts about the token under the inspect cursor, as lines. Pure functions."""

import math
from typing import TYPE_CHECKING

from textual.content import Content

from slm_tui.live.generation_thread import PromptedTokens
from slm_tui.live.inspector import InspectionStatus
from slm_tui.tui.screens.chat.token_names import first_fitting, name_of, names_of
from slm_tui.tui.theme import MUTED

if TYPE_CHECKING:
    from slm_tui.corpus.tokenizers import Tokenizer
    from slm_tui.generation.inspect import Candidates

# Below this width the panel has few lines too.
_TIGHT = 44


def token_lines(
    tokenizer: "Tokenizer",
    tokens: PromptedTokens,
    place: int,
    seen: InspectionStatus,
    candidates: "Candidates | None",
    width: int,
) -> list[Content]:
    """Facts about the token at `place` and its candidates, the most important first."""
    ids, lines = tokens.ids, []
    if place < len(ids):
        counts = seen.counts
        count = None if counts is None else int(counts[ids[place]])
        lines.append(Content(first_fitting(names_of(tokenizer, ids[place], count), width)))
    else:
        lines.append(Content("the next token"))
    if not place:
        nothing = "There is no context before the first token."
        return [*lines, *Content.styled(nothing, MUTED).wrap(width)]
    if candidates is not None and candidates.chosen is not None and seen.heat is not None:
        nats = float(seen.heat.surprise[place])
        begin, chance = f"rank {candidates.rank:,} · ", f"p {math.exp(-nats):.2%}"
        logit, end = f"logit {candidates.logit:.2f} · ", f" · −ln p {nats:.2f}"
        logit = logit if len(begin + logit + chance + end) <= width else ""
        lines.append(Content.assemble(begin, logit, (chance, "bold"), end))
    if candidates is not None:
        lines.append(_drawn_line(tokenizer, candidates, width))
        if width < _TIGHT:
            lines.append(Content.styled(_spread(candidates, width), MUTED))
    return [*lines, *_other_lines(tokenizer, ids, place, seen, width)]


def _spread(candidates: "Candidates", width: int) -> str:
    """The entropy: a short candidate list does not show its last line, which has it too."""
    bits = f"entropy {candidates.entropy:.1f} → {candidates.entropy_after:.1f} bits"
    return first_fitting([f"{bits}, {candidates.remaining:,} left", bits], width)


def _drawn_line(tokenizer: "Tokenizer", candidates: "Candidates", width: int) -> Content:
    """The greedy choice here, and a sample at high temperature."""
    room = max(4, (width - 11) // 2)
    return Content.assemble(
        ("T=0 ", MUTED),
        (name_of(tokenizer, candidates.greedy, min(14, room - 2)), "bold"),
        (" T=1.5 " if width < _TIGHT else "   T=1.5 ", MUTED),
        (name_of(tokenizer, candidates.warm, min(14, room - 2)), "bold"),
    )


def _other_lines(
    tokenizer: "Tokenizer", ids: tuple[int, ...], place: int, seen: InspectionStatus, width: int
) -> list[Content]:
    """The most likely token after the same context at other steps of the run."""
    if place >= len(ids):
        return []
    heading = first_fitting(["same context at other steps:", "at other steps:"], width)
    lines = [Content.styled(heading, MUTED)] if seen.others else []
    is_tight = width < _TIGHT
    for other in seen.others:
        best, own = int(other.heat.best[place]), float(other.heat.surprise[place])
        name = name_of(tokenizer, best, 8 if is_tight else 12)
        parts: list[str | tuple[str, str]] = [
            (f"{other.step:>{6 if is_tight else 8},} ", "bold"),
            f"{name} {other.heat.best_chance[place]:.0%}",
        ]
        if best != ids[place]:
            parts.append((f"  this {math.exp(-own):.1%}", MUTED))
        lines.append(Content.assemble(*parts))
    if seen.reading_others:
        lines.append(Content.styled("reading other checkpoints…", MUTED))
    return lines
