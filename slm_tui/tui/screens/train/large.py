"""What a large terminal shows besides: samples side by side, the run before, the legend."""

from textual.content import Content
from textual.screen import Screen

from slm_tui.text import one_line
from slm_tui.tui.screens.train.compared import compared_lines
from slm_tui.tui.screens.train.film import Film
from slm_tui.tui.screens.train.picture import drawn_names, legend_lines
from slm_tui.tui.screens.train.view import RunView
from slm_tui.tui.widgets.line_list import ReadingList, Row

_TEXT_WIDTH = 51  # beside the borders, the padding and a scroll bar
_LONGEST_RUN = 36


def show(screen: Screen[None], view: RunView, x_mode: str) -> None:
    """Fill the panes `film`, `legend` and `compared` of the Train screen."""
    screen.query_one(Film).show(view.curves.samples, view.losses_by_step())
    data = view.loss_chart(x_mode, bits=view.in_bits)
    legend = legend_lines(_TEXT_WIDTH, drawn_names(data))
    _fill(screen.query_one("#legend", ReadingList), "legend", legend)
    compared, before = screen.query_one("#compared", ReadingList), view.run_before
    compared.display = before is not None
    if before is not None:
        title = f"compared with {one_line(before.run.id, _LONGEST_RUN)}"
        lines = compared_lines(before, view.info, view.evaluations(), _TEXT_WIDTH)
        _fill(compared, title, lines)


def _fill(pane: ReadingList, title: str, lines: list[Content]) -> None:
    """Show `lines` in a pane that is as high as they need; its CSS has the most."""
    rows = [Row(str(number), line) for number, line in enumerate(lines)]
    if rows != pane.rows:
        pane.border_title = Content(title)
        pane.set_rows(rows)
        pane.styles.height = len(rows) + pane.gutter.height
