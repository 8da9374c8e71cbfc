"""Finds hints that a screen cuts off: footers, titles, subtitles, and the lines of dialogs."""

from collections.abc import Iterator
from typing import Any

from textual.app import App
from textual.content import Content
from textual.geometry import Region
from textual.widget import Widget
from textual.widgets import Static

from slm_tui.text import cells
from slm_tui.tui.widgets.form_pane import FormPane
from slm_tui.tui.widgets.key_footer import KeyFooter
from slm_tui.tui.widgets.line_list import LineList


def rows_of(app: App[Any]) -> list[str]:
    """The text on the screen, one string for each row."""
    strips = app.screen._compositor.render_strips(app.size)
    return ["".join(segment.text for segment in strip) for strip in strips]


def cut_hints(app: App[Any]) -> list[str]:
    """What is cut on the screen, each with the widget that shows it."""
    rows, whole = rows_of(app), Region(0, 0, *app.size)
    wrong = [f"wider than the screen: {row}" for row in rows if cells(row) > app.size.width]
    for widget in app.screen.query("*"):
        if not widget.display or not widget.region.area or not _is_shown(widget):
            continue
        # A dialog and its parts.
        is_part = widget.id == "box" or (widget.parent is not None and widget.parent.id == "box")
        if is_part and not _frame(widget, whole).contains_region(widget.region):
            wrong.append(f"{widget!r} does not fit")
        found = [*_labels(widget, rows), *_lines(widget)]
        wrong += [f"{widget!r}: {text}" for text in found]
    return wrong


def _frame(widget: Widget, whole: Region) -> Region:
    """Where a dialog or a part of it may be."""
    parent = widget.parent
    return parent.region if isinstance(parent, Widget) and parent.id == "box" else whole


def _is_shown(widget: Widget) -> bool:
    return all(one.display for one in widget.ancestors_with_self if isinstance(one, Widget))


def _labels(widget: Widget, rows: list[str]) -> Iterator[str]:
    """Titles and subtitles on the border that end in an ellipsis or are not there as a whole."""
    region, styles = widget.region, widget.styles
    places = (
        (widget._border_title, region.y, styles.border_top[0]),
        (widget._border_subtitle, region.bottom - 1, styles.border_bottom[0]),
    )
    for label, row, edge in places:
        text = label.plain.strip() if isinstance(label, Content) else str(label or "").strip()
        if not text or edge in ("", "none") or not 0 <= row < len(rows):
            continue
        if "…" in text or text not in rows[row]:
            yield f"title {text!r} on {rows[row].strip()!r}"


def _lines(widget: Widget) -> Iterator[str]:
    """Lines that are longer than their widget, or more than it has room for."""
    if isinstance(widget, KeyFooter):
        places = widget.places
        used = sum(one.width + 2 for one in places) - 2
        if used > widget.content_size.width or not places:
            yield f"footer of {used} cells"
    elif isinstance(widget, LineList) and widget.screen.is_modal:
        width = widget.scrollable_content_region.width
        for at, row in enumerate(widget.rows):
            text = widget.draw_row(row, at, width).plain.rstrip()
            if cells(text) > width:
                yield f"{text!r} is {cells(text)} cells in {width}"
    elif isinstance(widget, FormPane):
        yield from setting_help(widget)
    elif isinstance(widget, Static) and widget.screen.is_modal:
        width, height = widget.content_size
        content = widget.visual
        if isinstance(content, Content) and width:
            lines = content.wrap(width)
            if len(lines) > height or any(line.cell_length > width for line in lines):
                yield f"{content.plain!r} needs {len(lines)} lines in {width}x{height}"


def setting_help(form: FormPane) -> Iterator[str]:
    """The line below a form, if it has more lines than there is room for."""
    help = form.query_one("#setting-help")
    content = help.render()
    if isinstance(content, Content):
        width, height = help.content_size
        lines = content.wrap(max(1, width))
        if len(lines) > height or "…" in content.plain:
            yield f"help {content.plain!r} needs {len(lines)} lines in {width}x{height}"
