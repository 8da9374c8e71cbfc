"""The candidates for the token at the inspect cursor, each with its probability."""

from typing import TYPE_CHECKING

from rich.cells import set_cell_size
from textual.content import Content

from slm_tui.tui.screens.chat.panels import fitting
from slm_tui.tui.screens.chat.token_names import name_of
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.line_list import LineList, Row

if TYPE_CHECKING:
    from slm_tui.corpus.tokenizers import Tokenizer
    from slm_tui.generation.inspect import Candidate, Candidates

_CUT = "cut"


class CandidateList(LineList):
    """Probabilities from the model, and after temperature, top-k and top-p."""

    def __init__(self, *, id: str, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._place = -1

    @property
    def token(self) -> int | None:
        """The id of the highlighted candidate."""
        key = self.key
        return int(key) if key is not None and key.isdecimal() else None

    def empty(self) -> None:
        """Show nothing until a position is known."""
        self._place = -1
        self.set_rows([])

    def show(
        self,
        tokenizer: "Tokenizer",
        candidates: "Candidates | None",
        before: int | None,
        settings: list[str],
    ) -> None:
        """Show `candidates`; `before` is the token before the cursor."""
        self.border_title = Content(f" {self._title(tokenizer, before, settings)} ")
        if candidates is None:
            self.set_rows([])
            return
        chosen = candidates.chosen if candidates.chosen is not None else candidates.sampled
        here = self.key if self._place == candidates.place else str(chosen)
        self._place = candidates.place
        width = max(20, self.scrollable_content_region.width)
        self.set_rows(_rows(tokenizer, candidates, width), select=here)

    def _title(self, tokenizer: "Tokenizer", before: int | None, settings: list[str]) -> str:
        first = "first token" if before is None else f"next after {name_of(tokenizer, before)}"
        room = self.size.width - 4
        parts = [first, *settings[:3]]
        if len(" · ".join(parts)) > room:
            parts = [one for one in parts if not one.endswith(" off")]
        return fitting(parts, max(10, room))


def _rows(tokenizer: "Tokenizer", candidates: "Candidates", width: int) -> list[Row]:
    top = max(one.before for one in candidates.rows)
    rows = [
        Row(str(one.id), candidate_row(tokenizer, candidates, one, top, width))
        for one in candidates.rows
    ]
    possible = [at for at, one in enumerate(candidates.rows) if one.after > 0]
    summary = f"{candidates.remaining:,} can be sampled; the rest has {candidates.cut_mass:.1%}"
    if candidates.remaining == candidates.vocabulary:
        summary = f"all {candidates.remaining:,} can be sampled"
    cut = Row(_CUT, Content.styled(f"── {summary}", MUTED), selectable=False)
    rows.insert(possible[-1] + 1 if possible else len(rows), cut)
    bits = f"entropy {candidates.entropy:.1f} bits → {candidates.entropy_after:.1f}"
    summary = f"{bits} (uniform {candidates.uniform:.1f})"
    return [*rows, Row("bits", Content.styled(summary, MUTED), selectable=False)]


def candidate_row(
    tokenizer: "Tokenizer", candidates: "Candidates", one: "Candidate", top: float, width: int
) -> Content:
    """`▶ ' king'  ██████  12.1% → 15.3%`."""
    name = 14 if width < 50 else 20
    bar = max(3, width - name - 20)
    full = one.before / top * bar if top else 0.0
    blocks = "█" * int(full) + ("▌" if full % 1 >= 0.5 else "")
    after = f"→ {one.after:>6.1%}" if one.after > 0 else "→     –"
    is_chosen = one.id == candidates.chosen
    label = name_of(tokenizer, one.id, name - 2)
    return Content.assemble(
        ("▶" if is_chosen else " ", "bold $text-accent"),
        # In cells: a character may take two.
        (set_cell_size(label, name), "bold" if is_chosen else ""),
        (f"{blocks:<{bar}} ", "$primary"),
        f"{one.before:>6.1%} ",
        (after, MUTED),
    )
