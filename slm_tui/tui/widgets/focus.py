"""Moving the focus immediately."""

from textual.widget import Widget


def focus_now(widget: Widget) -> None:
    """Focus `widget` at once.

    `Widget.focus` only requests focus: keys typed in quick succession, over SSH or by a script,
    would still go to the screen and be taken for commands.
    """
    widget.screen.set_focus(widget)
