"""How verdicts are shown: the headline, the others by name, and all of them in full."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.content import Content

from slm_tui.evaluation.diagnosis import Verdict
from slm_tui.text import one_line, visible
from slm_tui.tui.dialogs import TextDialog
from slm_tui.tui.theme import MUTED

if TYPE_CHECKING:
    from slm_tui.evaluation.memorisation import Copying

_STYLES = {"▲": "bold $text-warning", "✗": "bold $text-error"}
_QUOTE = 400


def _style(verdict: Verdict) -> str:
    return _STYLES.get(verdict.sign, "bold $text-success")


def headline_lines(verdict: Verdict) -> list[Content]:
    """The verdict, its evidence, and what to try."""
    lines = []
    if verdict.word:
        since = f" since step {verdict.since:,}" if verdict.since is not None else ""
        sure = "" if verdict.certainty == "certain" else f" · {verdict.certainty}"
        lines.append(
            Content.assemble(
                (f"{verdict.sign} {verdict.word.upper()}", _style(verdict)), since, (sure, MUTED)
            )
        )
    lines.append(Content(verdict.evidence))
    if verdict.advice:
        lines.append(Content.assemble(("try ", "bold"), verdict.advice))
    if verdict.word:
        keys = "a apply · d details · ? why" if verdict.remedy else "d details · ? why"
        lines.append(Content.styled(keys, MUTED))
    return lines


def other_line(verdicts: Sequence[Verdict]) -> list[Content]:
    """The names of the other verdicts, in one line; empty if there are none."""
    named = [Content.styled(one.word, _style(one)) for one in verdicts if one.word]
    if not named:
        return []
    sign = verdicts[0].sign
    return [Content.assemble((f"also {sign} ", MUTED), Content(" · ").join(named))]


def full_lines(verdict: Verdict, width: int) -> list[Content]:
    """Word, evidence, confidence, explanation and remedies of one verdict, wrapped."""
    if not verdict.word:
        return wrapped(verdict.evidence, width)
    since = f" since step {verdict.since:,}" if verdict.since is not None else ""
    lines = [Content.assemble((f"{verdict.sign} {verdict.word.upper()}", _style(verdict)), since)]
    lines += wrapped(verdict.evidence, width)
    lines += wrapped(f"{verdict.certainty}: {verdict.reason}", width, MUTED)
    lines += wrapped(verdict.explanation, width)
    for one in verdict.remedies:
        lines += wrapped(f"try {one.text}", width, "$text-success")
        lines += wrapped(f"    {' '.join(one.changes)}", width, MUTED)
    if not verdict.remedies and verdict.hint:
        lines += wrapped(f"try {verdict.hint}", width, "$text-success")
    return [*lines, Content("")]


def explained_lines(verdict: Verdict, width: int) -> list[Content]:
    """What the help screen shows about the current verdict."""
    if not verdict.explanation:
        return []
    title = Content.styled(f"{verdict.sign} {verdict.word}: what it means", _style(verdict))
    more = Content.styled("Press d for the evidence and all suggestions.", MUTED)
    return [title, *wrapped(verdict.explanation, width), more, Content("")]


def copied_lines(copying: "Copying | None", width: int) -> list[Content]:
    """The overlap of the newest samples with the training text."""
    if copying is None:
        return []
    lines = [Content.styled(f"samples of step {copying.step:,}", "bold $text-accent")]
    lines += wrapped(copying.sentence(), width)
    lengths = [one.length for one in copying.overlap.passages]
    for length, quote in zip(lengths, copying.quotes, strict=False):
        lines += wrapped(f"{length} tokens: “{one_line(quote, _QUOTE)}”", width, MUTED)
    if copying.reference.shares:
        lines += wrapped(
            "Some overlap is normal: validation text, which the model has never seen, also "
            "overlaps with the training text, as shown above.",
            width,
            MUTED,
        )
    return [*lines, Content("")]


class VerdictDetails(TextDialog):
    """All verdicts in full, what the samples copied, and data versus model."""

    def __init__(
        self,
        verdicts: Sequence[Verdict],
        copying: "Copying | None",
        before: Sequence[Content],
        after: Sequence[Content],
    ) -> None:
        super().__init__("diagnosis", [])
        self._verdicts, self._copying = verdicts, copying
        self._before, self._after = before, after

    def compose_box(self) -> ComposeResult:
        """The lines, as wide as the terminal allows."""
        width = text_width(self.app.size.width)
        lines = [part for line in self._before for part in wrapped(line.plain, width)]
        for verdict in self._verdicts:
            lines += full_lines(verdict, width)
        lines += copied_lines(self._copying, width)
        self.lines = [*lines, *self._after]
        yield from super().compose_box()


def text_width(columns: int) -> int:
    """The maximum line width in a dialog on a terminal with `columns` columns."""
    return max(20, min(100, int(columns * 0.96)) - 6)


def wrapped(text: str, width: int, style: str = "") -> list[Content]:
    """`text` in lines of at most `width` cells, broken between words."""
    lines = Content.styled(visible(text), style).wrap(width) if text else []
    return [line.rstrip() for line in lines]
