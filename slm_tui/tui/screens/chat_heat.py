"""The inspect mode's panes: a text with the surprise of its tokens, and what may stand there."""

import math
from typing import TYPE_CHECKING, ClassVar

from rich.cells import set_cell_size
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.style import Style
from textual.widgets import Static

from slm_tui.runs.inspector import Inspected
from slm_tui.runs.speaker import Tokens
from slm_tui.text import cells, one_line
from slm_tui.tui.screens.chat_panels import fitting
from slm_tui.tui.screens.data_reader import token_text
from slm_tui.tui.screens.data_text import Passage, TextView
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.line_list import LineList, Row

if TYPE_CHECKING:
    from slm_tui.corpus.tokenizers import Tokenizer
    from slm_tui.generation.inspect import Candidate, Candidates

# Surprise in nats from which on each colour is used, the first for all below.
LEVELS = (0.5, 1.5, 3.0, 5.0)
_SPECIAL, _NEXT = "∎", "▏"
_CUT = "cut"
# Below this width the panel of one token is short of lines too.
_TIGHT = 44


def heat_passage(tokenizer: "Tokenizer", ids: tuple[int, ...]) -> Passage:
    """The text token by token; `∎` is end-of-text, and `▏` stands for the token to come."""
    from slm_tui.corpus.statistics import shown

    parts, starts, places, at, place = [], [], [], 0, 0
    for id in (*ids, -1):
        data = tokenizer.token_bytes(id) if id >= 0 else b""
        text = shown(data).replace("\n", "↵\n") or (_SPECIAL if id >= 0 else _NEXT)
        starts.append(at)
        places.append(place)
        parts.append(text)
        at, place = at + len(text), place + len(data)
    return Passage("".join(parts), tuple(starts), (*ids, -1), tuple(places), place)


def name_of(tokenizer: "Tokenizer", id: int, width: int = 20) -> str:
    """A token in quotes, on one line."""
    from slm_tui.corpus.statistics import shown

    data = tokenizer.token_bytes(id)
    return f"'{one_line(shown(data), width)}'" if data else f"{_SPECIAL} end of text"


def _names(tokenizer: "Tokenizer", id: int, count: int | None) -> list[str]:
    """A token with its bytes and how often training has it, the longest telling first."""
    data = tokenizer.token_bytes(id)
    name = f"id {id:,} {name_of(tokenizer, id)}"
    size = "1 byte" if len(data) == 1 else f"{len(data)} bytes"
    seen = [f"{count:,} in training", f"{count:,} seen"] if count is not None else []
    return [
        token_text(tokenizer, id, count),
        *([f"{name} · {size} · {seen[0]}"] if seen else [f"{name} · {size}"]),
        *(f"{name} · {one}" for one in seen),
        name,
    ]


def _spread(found: "Candidates", width: int) -> str:
    """How open the choice is: in a short list its last line, which says so too, is out of view."""
    bits = f"entropy {found.entropy:.1f} → {found.entropy_after:.1f} bits"
    return _fitting([f"{bits}, {found.kept:,} left", bits], width)


def _fitting(choices: list[str], width: int) -> str:
    """The first that fits in `width`, else the last, cut."""
    return next((one for one in choices if cells(one) <= width), one_line(choices[-1], width))


_EXPLAINED = (
    "Every token is coloured by how much it surprised the model: green was expected, yellow less, "
    "red hardly; grey is unknown. Arrows walk the tokens, page keys go to other texts.",
    "The list has what may stand at the cursor (▶ is what stands there): its chance as the model "
    "says → as it is drawn with the present settings, – if they rule it out. t T, k K and p P "
    "change them at once. Tab goes to the list, where enter writes on with the marked token.",
    "Rank 1 is the likeliest token. The logit is the model's raw score, p the chance made of it, "
    "−ln p the surprise in nats: 0 is certainty. T=0 names what would always be taken, T=1.5 what "
    "is drawn when it is hot. Entropy says how open the choice is, in bits.",
    "Other steps: what the same model, younger or older, thought likeliest after the same words.",
)


def explained_lines(width: int) -> list[Content]:
    """How to read a text that is looked into, for the help screen."""
    lines = [Content.styled("Looking into a text", "bold $text-accent")]
    for part in _EXPLAINED:
        lines += [line.rstrip() for line in Content(part).wrap(width)]
    return [*lines, Content("")]


class HeatView(TextView):
    """A text whose tokens are coloured by how much they surprised the model."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "heat-view--none",
        *(f"heat-view--{level}" for level in range(len(LEVELS) + 1)),
    }
    DEFAULT_CSS = """
    HeatView > .heat-view--none { color: $foreground 60%; }
    HeatView > .heat-view--0 { background: $success 35%; color: $foreground; }
    HeatView > .heat-view--1 { background: $success 14%; color: $foreground; }
    HeatView > .heat-view--2 { background: $warning 22%; color: $foreground; }
    HeatView > .heat-view--3 { background: $error 35%; color: $foreground; }
    HeatView > .heat-view--4 { background: $error 65%; color: $foreground; text-style: bold; }
    HeatView:ansi > .heat-view--0 { background: ansi_default; text-style: dim; }
    HeatView:ansi > .heat-view--1 { background: ansi_default; }
    HeatView:ansi > .heat-view--2 { background: ansi_default; text-style: underline; }
    HeatView:ansi > .heat-view--3 { background: ansi_default; text-style: bold underline; }
    HeatView:ansi > .heat-view--4 { background: ansi_default; text-style: bold reverse; }
    HeatView:nocolor > .heat-view--2 { text-style: underline; }
    HeatView:nocolor > .heat-view--3 { text-style: bold underline; }
    HeatView:nocolor > .heat-view--4 { text-style: bold reverse; }
    """

    def __init__(self, *, id: str, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._levels: list[int] = []

    def warm(self, surprise: "list[float] | None") -> None:
        """Colour the tokens by their surprise in nats; grey where it is unknown."""
        values = surprise or []
        self._levels = [level_of(one) for one in values]
        self.refresh()

    def token_style(self, token: int) -> Style:
        """See `TextView.token_style`."""
        level = self._levels[token] if token < len(self._levels) else -1
        return self.get_visual_style(f"heat-view--{level if level >= 0 else 'none'}")


def level_of(surprise: float) -> int:
    """Which colour a surprise in nats has; -1 where it is not known."""
    if not math.isfinite(surprise):
        return -1
    return sum(surprise >= level for level in LEVELS)


class InspectPane(Container):
    """Text, candidates and what is known of the token under the cursor."""

    def compose(self) -> ComposeResult:
        yield HeatView(id="heat", classes="pane")
        with Vertical(id="about"):
            yield LineList(id="candidates", classes="pane")
            yield Static("", id="this-token", classes="pane", markup=False)

    @property
    def heat(self) -> HeatView:
        return self.query_one(HeatView)

    @property
    def choices(self) -> LineList:
        return self.query_one(LineList)

    @property
    def place(self) -> int:
        """Which token of the text the cursor is on; its length is the one to come."""
        return self.heat.cursor or 0

    def open(self, tokenizer: "Tokenizer", tokens: Tokens, place: int) -> None:
        """Show another text."""
        self._tokenizer, self._tokens = tokenizer, tokens
        self._warmed: object = None
        self._seen: Inspected | None = None
        self._drawn: object = None
        self.heat.warm(None)
        self.heat.show(heat_passage(tokenizer, tokens.ids))
        self.heat.walk_to(place)
        self.choices.set_rows([])

    def draw(self, seen: Inspected, settings: list[str], title: str) -> None:
        """Show what is known by now."""
        if seen.tokens is not self._tokens:
            return
        if seen.heat is not self._warmed:
            self._warmed = seen.heat
            self.heat.warm([] if seen.heat is None else seen.heat.surprise.tolist())
        # What was found holds arrays, which cannot be compared as a whole: the same one or not.
        drawn = (tuple(settings), title, self.place, self.size)
        if seen is self._seen and drawn == self._drawn:
            return
        self._seen, self._drawn = seen, drawn
        self._draw_heat(seen, title)
        self._draw_candidates(seen, settings)
        self.query_one("#this-token").border_title = Content(" this token ")
        width = max(10, self.query_one("#this-token").content_size.width)
        lines = self._token_lines(seen, width)
        self.query_one("#this-token", Static).update(Content("\n").join(lines))

    def _draw_heat(self, seen: Inspected, title: str) -> None:
        """How surprising it was, and whose surprise it is."""
        told = seen.error or "reading…"
        if seen.heat is not None:
            mean = seen.heat.mean(self._tokens.prompt)
            mean = seen.heat.mean() if math.isnan(mean) else mean
            told = f"mean −ln p {mean:.2f} nats · perplexity {math.exp(min(mean, 20)):.3g}"
        room = max(10, self.heat.size.width - 4)
        shown = fitting([told, *title.split(" · ")], room)
        self.heat.border_title = Content(f" {shown} ")

    def _draw_candidates(self, seen: Inspected, settings: list[str]) -> None:
        found = self._now(seen)
        before = self._tokens.ids[self.place - 1] if self.place else None
        said = "nothing before" if before is None else f"after {name_of(self._tokenizer, before)}"
        room = self.choices.size.width - 4
        parts = [f"next {said}" if before is not None else said, *settings[:3]]
        if len(" · ".join(parts)) > room:
            parts = [one for one in parts if not one.endswith(" off")]
        shown = fitting(parts, max(10, room))
        self.choices.border_title = Content(f" {shown} ")
        if found is None:
            self.choices.set_rows([])
            return
        rows = self._rows(found, max(20, self.choices.scrollable_content_region.width))
        chosen = found.chosen if found.chosen is not None else found.drawn
        here = self.choices.key if self._placed == found.place else str(chosen)
        self._placed = found.place
        self.choices.set_rows(rows, select=here)

    _placed = -1

    def _now(self, seen: Inspected) -> "Candidates | None":
        """What is known of the token under the cursor."""
        found = seen.candidates
        return found if found is not None and found.place == self.place else None

    def _rows(self, found: "Candidates", width: int) -> "list[Row]":
        top = max(one.before for one in found.rows)
        rows = [Row(str(one.id), self._candidate(found, one, top, width)) for one in found.rows]
        kept = [at for at, one in enumerate(found.rows) if one.after > 0]
        told = f"{found.kept:,} can be drawn; the others have {found.cut_mass:.1%}"
        if found.kept == found.vocabulary:
            told = f"all {found.kept:,} can be drawn"
        cut = Row(_CUT, Content.styled(f"── {told}", MUTED), selectable=False)
        rows.insert(kept[-1] + 1 if kept else len(rows), cut)
        bits = f"entropy {found.entropy:.1f} bits → {found.entropy_after:.1f}"
        told = f"{bits} (uniform {found.uniform:.1f})"
        return [*rows, Row("bits", Content.styled(told, MUTED), selectable=False)]

    def _candidate(self, found: "Candidates", one: "Candidate", top: float, width: int) -> Content:
        """`▶ ' king'  ██████  12.1% → 15.3%`."""
        name = 14 if width < 50 else 20
        bar = max(3, width - name - 20)
        full = one.before / top * bar if top else 0.0
        blocks = "█" * int(full) + ("▌" if full % 1 >= 0.5 else "")
        after = f"→ {one.after:>6.1%}" if one.after > 0 else "→     –"
        is_chosen = one.id == found.chosen
        label = name_of(self._tokenizer, one.id, name - 2)
        return Content.assemble(
            ("▶" if is_chosen else " ", "bold $text-accent"),
            # In cells: a character may take two.
            (set_cell_size(label, name), "bold" if is_chosen else ""),
            (f"{blocks:<{bar}} ", "$primary"),
            f"{one.before:>6.1%} ",
            (after, MUTED),
        )

    def _token_lines(self, seen: Inspected, width: int) -> list[Content]:
        """What is known of the token under the cursor, most telling first."""
        place, ids, tokenizer = self.place, self._tokens.ids, self._tokenizer
        found, lines = self._now(seen), []
        if place < len(ids):
            counts = seen.counts
            count = None if counts is None else int(counts[ids[place]])
            lines.append(Content(_fitting(_names(tokenizer, ids[place], count), width)))
        else:
            lines.append(Content("the token to come"))
        if not place:
            nothing = "Nothing stands before the first token."
            return [*lines, *Content.styled(nothing, MUTED).wrap(width)]
        if found is not None and found.chosen is not None and seen.heat is not None:
            nats = float(seen.heat.surprise[place])
            begin, chance = f"rank {found.rank:,} · ", f"p {math.exp(-nats):.2%}"
            logit, end = f"logit {found.logit:.2f} · ", f" · −ln p {nats:.2f}"
            logit = logit if len(begin + logit + chance + end) <= width else ""
            lines.append(Content.assemble(begin, logit, (chance, "bold"), end))
        if found is not None:
            lines.append(self._drawn_line(found, width))
            if width < _TIGHT:
                lines.append(Content.styled(_spread(found, width), MUTED))
        return [*lines, *self._other_lines(seen, width)]

    def _drawn_line(self, found: "Candidates", width: int) -> Content:
        """What temperature 0 takes here, and what a high one draws."""
        room = max(4, (width - 11) // 2)
        return Content.assemble(
            ("T=0 ", MUTED),
            (name_of(self._tokenizer, found.greedy, min(14, room - 2)), "bold"),
            (" T=1.5 " if width < _TIGHT else "   T=1.5 ", MUTED),
            (name_of(self._tokenizer, found.warm, min(14, room - 2)), "bold"),
        )

    def _other_lines(self, seen: Inspected, width: int) -> list[Content]:
        """The same beginning at other steps of the run."""
        place, ids = self.place, self._tokens.ids
        if place >= len(ids):
            return []
        told = _fitting(["the same beginning at other steps:", "at other steps:"], width)
        lines = [Content.styled(told, MUTED)] if seen.others else []
        is_tight = width < _TIGHT
        for other in seen.others:
            best, own = int(other.heat.best[place]), float(other.heat.surprise[place])
            name = name_of(self._tokenizer, best, 8 if is_tight else 12)
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
