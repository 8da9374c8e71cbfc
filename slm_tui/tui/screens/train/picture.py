"""What the curves, marks and signs of the Train screen mean, for its help."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from textual.content import Content

from slm_tui.tui.charts.data import ABOVE, COLORS, LEVEL, MARK, SYMBOLS, ChartData
from slm_tui.tui.screens.train.charts import CHARTS
from slm_tui.tui.screens.train.verdicts import wrapped
from slm_tui.tui.theme import MUTED

_NAME_WIDTH = 16


@dataclass(frozen=True)
class Explained:
    """A sign as it is drawn, its name as on the screen, and what it means."""

    sign: str
    style: str
    name: str
    meaning: str


_CURVES: tuple[Explained, ...] = (
    Explained(
        *(SYMBOLS["dots"], COLORS["raw"], "raw"),
        "Training loss of each step. A step sees few sequences, so it jumps up and down.",
    ),
    Explained(
        *(SYMBOLS["line"], COLORS["train"], "train"),
        "Training loss, smoothed. It should fall; m changes how much it is smoothed.",
    ),
    Explained(
        *(SYMBOLS["points"], COLORS["val"], "val"),
        "Validation loss: on text that is not trained on. If it rises while train falls, the "
        "model memorizes its text instead of learning from it.",
    ),
    Explained(
        *(SYMBOLS["dashed"], COLORS["mark"], "before"),
        "Validation loss of the run that this one is meant to improve on. Below this dashed curve, "
        "the new run is better.",
    ),
    Explained(
        *(LEVEL, COLORS["floor"], "floor"),
        "The true entropy of the built-in stories: no model can get below it. The floor of "
        "other texts is not known.",
    ),
)
_MARKS: tuple[Explained, ...] = (
    Explained(
        *(MARK, COLORS["best"], "best"),
        "The step with the lowest validation loss so far. Its checkpoint is kept, and has a ★ "
        "on the Runs screen.",
    ),
    Explained(
        *(MARK, COLORS["mark"], "change"),
        "A change while training: another learning rate, or more steps.",
    ),
    Explained(
        *(ABOVE, COLORS["train"], "above"),
        "The curve enters from above the chart here, so that its end can be read. y shows all "
        "of it on a log axis.",
    ),
)
_UNITS: tuple[Explained, ...] = (
    Explained(
        *("", "", "nats"),
        "The loss per token: how surprised the model is by the next token, 0 if it is never "
        "wrong. n switches the unit.",
    ),
    Explained(
        *("", "", "bits per byte"),
        "The loss per byte of text. Only this may be compared between tokenizers.",
    ),
)
_EVENTS: tuple[Explained, ...] = (
    Explained(
        *("✓", "$text-success", "checkpoint"),
        "The weights were saved, as the best so far, the last, or on your request.",
    ),
    Explained(
        *("▲", "$text-warning", "warning"),
        "A loss that jumped or a step that was skipped, and what was done about it.",
    ),
    Explained("✗", "$text-error", "failed", "The run ended with an error."),
    Explained("■", "$text-success", "finished", "The run ended as planned, or was stopped."),
    Explained("·", MUTED, "other", "Start, pause, resumption, and changes that you made."),
)


def picture_lines(width: int, logged: Collection[str] = ()) -> list[Content]:
    """The explanation in lines of at most `width` cells.

    Args:
        logged: the metrics of the run, whose charts are explained too.
    """
    small = tuple(
        Explained("", "", row.title, row.about)
        for row in CHARTS
        if row.usual or row.metric in logged
    )
    sections = {
        "The loss chart": (*_CURVES, *_MARKS, *_UNITS),
        "The small charts": small,
        "Events": _EVENTS,
    }
    lines = [Content.styled("Page down shows the keys.", MUTED), Content("")]
    for title, entries in sections.items():
        lines.append(Content.styled(title, "bold $text-accent"))
        for one in entries:
            lines += _entry(one, width)
        lines.append(Content(""))
    return lines


def drawn_names(data: ChartData) -> set[str]:
    """What a loss chart draws, by the names here."""
    names = {series.name for series in data.series} | {level.name for level in data.hlines}
    roles = {line.role for line in data.vlines}
    return names | ({"best"} & roles) | ({"change"} if "mark" in roles else set()) | {"above"}


def legend_lines(width: int, names: Collection[str]) -> list[Content]:
    """The legend in words: sign, name and the first sentence of what each of `names` means."""
    drawn = [one for one in (*_CURVES, *_MARKS) if one.name in names]
    widest = max((len(one.name) for one in drawn), default=0)
    lines = []
    for one in drawn:
        meaning = re.split(r"[.;](?= |$)|, so ", one.meaning)[0]
        first, *rest = wrapped(meaning, max(16, width - widest - 3))
        sign = Content.styled(f"{one.sign} ", one.style)
        lines.append(Content.assemble(sign, (one.name.ljust(widest + 1), "bold"), first))
        lines += [Content(" " * (widest + 3)) + line for line in rest]
    return lines


def _entry(one: Explained, width: int) -> list[Content]:
    """The sign and name, and the meaning beside them."""
    first, *rest = wrapped(one.meaning, max(20, width - _NAME_WIDTH - 4))
    sign = Content.styled(one.sign or " ", one.style)
    name = Content.styled(one.name.ljust(_NAME_WIDTH), "bold")
    indent = Content(" " * (_NAME_WIDTH + 4))
    return [Content.assemble("  ", sign, " ", name, first), *(indent + line for line in rest)]
