"""The tables of the Data screen: frequent and rare tokens, and what BPE learned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from slm_tui.formatting import count
from slm_tui.text import one_line, pad
from slm_tui.tui.theme import MUTED
from slm_tui.tui.widgets.line_list import LineList, Row
from slm_tui.tui.widgets.status_line import bar

if TYPE_CHECKING:
    from slm_tui.corpus.statistics import Statistics, TokenCount


@dataclass(frozen=True)
class Table:
    """`draw(row, width)` returns a line; `cells` the same as text to copy."""

    title: str
    head: str
    cells: Sequence[tuple[str, ...]]
    draw: Callable[[int, int], Content]


def tables(statistics: "Statistics") -> list[Table]:
    """The tables for a corpus."""
    kind = "bytes" if statistics.byte_counts else "tokens"
    result = [
        _counted(f"most frequent {kind}", statistics.frequent, statistics),
        _counted(f"rarest {kind}", statistics.rarest, statistics),
    ]
    analysis = statistics.analysis
    if analysis is not None:
        merges = [
            (token_name(one.left), token_name(one.right), token_name(one.left + one.right))
            for one in analysis.merges
        ]
        sizes = [(f"{size:,}", f"{value:.2f}") for size, value in analysis.sizes]
        most = max(value for _, value in analysis.sizes)
        words = [(word, "·".join(map(_bare, cut))) for word, cut in analysis.examples]
        result += [
            Table("first merges", "left\tright\ttoken", merges, partial(_merge_line, merges)),
            Table(
                "bytes per token by vocabulary size",
                "tokens\tbytes per token",
                sizes,
                partial(_size_line, sizes, [value / most for _, value in analysis.sizes]),
            ),
            Table("words as tokens", "word\ttokens", words, partial(_word_line, words)),
        ]
    return result


def _counted(title: str, tokens: "Sequence[TokenCount]", statistics: "Statistics") -> Table:
    total = max(1, statistics.parts["train"].tokens)
    most = max((one.count for one in tokens), default=1)
    cells = [(token_name(one.data), str(one.count)) for one in tokens]

    def draw(row: int, width: int) -> Content:
        return token_line(str(row + 1), tokens[row], total, most, width)

    return Table(title, "token\tcount", cells, draw)


def _merge_line(merges: Sequence[tuple[str, str, str]], row: int, width: int) -> Content:
    left, right, token = merges[row]
    return Content.assemble(
        (f"{row + 1:>4} ", MUTED), left, (" + ", MUTED), right, (" → ", MUTED), (token, "bold")
    )


def _size_line(
    sizes: Sequence[tuple[str, str]], shares: Sequence[float], row: int, width: int
) -> Content:
    size, value = sizes[row]
    return Content.assemble(f"{size:>9}", (f"{value:>8}  ", "bold")) + bar(
        shares[row], max(5, min(30, width - 21))
    )


def _word_line(words: Sequence[tuple[str, str]], row: int, width: int) -> Content:
    word, cut = words[row]
    name = one_line(word, 16)
    return Content.assemble((f" {pad(name, 17)}", ""), (cut, "bold"))


class TokenTable(LineList):
    """One table at a time; left and right switch between tables."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "turn(-1)", "Previous table", show=False),
        Binding("right", "turn(1)", "Next table", show=False),
    ]

    def __init__(self, *, id: str | None = None, classes: str = "") -> None:
        super().__init__(id=id, classes=classes)
        self._statistics: Statistics | None = None
        self._tables: list[Table] = []
        self._at = 0

    @property
    def table(self) -> Table | None:
        return self._tables[self._at] if self._tables else None

    def show(self, statistics: "Statistics") -> None:
        if statistics is self._statistics:
            return
        self._statistics = statistics
        self._tables = tables(statistics)
        self._at = min(self._at, len(self._tables) - 1)
        self._show_table()

    def action_turn(self, direction: int) -> None:
        if self._tables:
            self._at = (self._at + direction) % len(self._tables)
            self._show_table()

    def _show_table(self) -> None:
        table = self._tables[self._at]
        self.border_title = Content(f"◀ {table.title} ▶")
        self.set_rows([Row(str(at)) for at in range(len(table.cells))])
        self.refresh()

    def draw_row(self, row: Row, index: int, width: int) -> Content:
        table = self.table
        return row.content if table is None else table.draw(int(row.key), width)

    def as_text(self) -> str:
        """The table as tab-separated lines."""
        if self.table is None:
            return ""
        return "\n".join([self.table.head, *("\t".join(cells) for cells in self.table.cells)])


def token_line(rank: str, token: "TokenCount", total: int, most: int, width: int) -> Content:
    """Rank, token, count, share of all tokens, and a bar if space allows."""
    name_width = max(6, min(18, width - 22))
    share = token.count / total
    name = Content(one_line(token_name(token.data), name_width))
    room = width - name_width - 23
    line = Content.assemble(
        (rank.rjust(4) + " ", MUTED),
        name.pad_right(max(0, name_width - name.cell_length)),
        count(token.count).rjust(8),
        (f"{share:7.2%}", MUTED),
    )
    if room >= 5:
        line += Content(" ") + bar(token.count / most, min(room, 24))
    return line


def token_name(data: bytes) -> str:
    """A token in quotes, so that its spaces are visible."""
    return f"'{_bare(data)}'"


def _bare(data: bytes) -> str:
    from slm_tui.corpus.statistics import shown

    return one_line(shown(data))
