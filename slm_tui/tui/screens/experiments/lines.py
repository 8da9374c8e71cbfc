"""Suites, their runs and the queue as single lines. Pure functions."""

import textwrap

from textual.content import Content

from slm_tui.experiments.queue import QueuedRun
from slm_tui.experiments.started_suite import EntryState
from slm_tui.experiments.watcher import SuiteDetail, SuiteLine, SuiteRunLine
from slm_tui.formatting import duration
from slm_tui.text import one_line, visible
from slm_tui.tui.theme import MUTED

_STATES: dict[EntryState, tuple[str, str]] = {
    "waiting": ("·", MUTED),
    "running": ("▶", "$text-success"),
    "done": ("✓", "$text-success"),
    "skipped": ("✓", "$text-success"),
    "ended early": ("✓", MUTED),
    "stopped": ("■", MUTED),
    "failed": ("✗", "$text-error"),
}


def suite_content(line: SuiteLine, width: int) -> Content:
    """Name, title if there is room, and how far the suite is."""
    state = _suite_state(line)
    room = max(4, width - state.cell_length - 2)
    name = Content(one_line(f" {line.name}", room))
    title = line.suite.title if line.suite is not None else ""
    column = max(17, name.cell_length + 1)
    left = room - column
    if title and left >= 12:
        name = name.pad_right(column - name.cell_length)
        name += Content.styled(one_line(title, left), MUTED)
    return Content.assemble(name.pad_right(max(1, room + 1 - name.cell_length)), state)


def _suite_state(line: SuiteLine) -> Content:
    if line.error or line.suite is None:
        return Content.styled("✗ damaged", "$text-error")
    counted = f"{line.ended}/{line.total}"
    if line.state == "new":
        minutes = line.suite.minutes
        return Content.styled(duration(60 * minutes) if minutes else "", MUTED)
    if line.state == "running":
        return Content.styled(f"▶ {counted}", "$text-success")
    if line.state == "waiting":
        return Content.styled(f"… {counted}", "$text-warning")
    if line.failed:
        return Content.styled(f"✗ {counted}", "$text-error")
    if line.state == "done":
        return Content.styled("✓ done", "$text-success")
    return Content.styled(f"■ {counted}", "$text-warning")


def run_content(line: SuiteRunLine, width: int) -> Content:
    """A run of a suite: sign, name, and its figures or what it waits for."""
    sign, style = _STATES[line.entry.state]
    figures = Content.styled(_figures(line), MUTED if line.entry.state == "waiting" else "")
    room = max(8, width - figures.cell_length - 5)
    name = Content.assemble(" ", (sign, style), " ", one_line(line.name, room))
    gap = max(1, width - name.cell_length - figures.cell_length - 1)
    return Content.assemble(name, " " * gap, figures)


def _figures(line: SuiteRunLine) -> str:
    entry, info = line.entry, line.info
    if entry.state == "failed":
        return one_line(entry.error, 60)
    if info is None:
        return "no longer there" if entry.run else entry.state
    if entry.state == "running":
        share = info.step / info.max_steps if info.max_steps else 0.0
        return f"step {info.step:,}  {share:4.0%}"
    bits = info.best_bpb if info.best_bpb is not None else info.val_bpb
    loss = f"val {info.val_loss:.3f}  " if info.val_loss is not None else ""
    text = f"{loss}bpb {bits:.4f}" if bits is not None else ""
    return f"{text}  {entry.state}" if entry.state in ("stopped", "ended early") else text


def queue_content(item: QueuedRun, width: int) -> Content:
    """A run in the queue, with the suite that it belongs to."""
    sign = ("▶", "$text-success") if item.running else ("·", MUTED)
    name = Content.assemble(" ", sign, " ", one_line(item.name, max(8, width - 6)))
    of = one_line(item.suite.rsplit("-", 2)[0], 24) if item.suite else ""
    room = width - name.cell_length - 2
    if of and room >= len(of) + 2:
        return Content.assemble(name, " " * (room - len(of)), (of, MUTED))
    return name


def about(line: SuiteLine, detail: SuiteDetail | None, width: int) -> list[Content]:
    """What the suite is for, its lesson, and what the comparison found so far."""
    width = max(20, width)
    lines: list[Content] = []
    problem = line.error or (detail.problem if detail is not None else "")
    if problem:
        return _wrapped(f"✗ {problem}", width, "$text-error")
    suite = line.suite
    if suite is None:
        return lines
    if detail is None or not detail.runs:
        lines += _wrapped(suite.description, width)
        if suite.expect:
            lines += [Content(""), *_part("Expect", suite.expect, width)]
    for heading, text in detail.lesson if detail is not None else ():
        if heading == "Next":
            lines += [Content(""), Content.styled("Press w for the next lesson.", "$text-success")]
            continue
        lines += [Content(""), *_part(heading, text, width)]
    if detail is not None and detail.report is not None and detail.report.rows:
        lines += [Content(""), *verdicts(detail, width)]
    return lines[1:] if lines and not lines[0].plain else lines


def verdicts(detail: SuiteDetail, width: int) -> list[Content]:
    """The ranking: each variation with its mean, and the verdict in words."""
    report = detail.report
    assert report is not None
    lines = [Content.styled("Best validation loss in bits per byte", "bold $text-accent")]
    for row in report.rows:
        spread = f" ± {row.spread:.4f}" if row.spread is not None else ""
        seeds = f"  {row.seeds} seeds" if row.seeds > 1 else ""
        lines.append(
            Content.assemble(
                (one_line(row.name, max(8, width - 32)), "bold"),
                f"  {row.mean:.4f}{spread}",
                (seeds, MUTED),
            )
        )
        if len(report.rows) > 1:
            lines += _wrapped(row.verdict, width, MUTED, indent="  ")
    for note in report.notes:
        lines += _wrapped(f"▲ {note}", width, "$text-warning")
    return lines


def _part(heading: str, text: str, width: int) -> list[Content]:
    return [Content.styled(heading, "bold $text-accent"), *_wrapped(text, width)]


def _wrapped(text: str, width: int, style: str = "", indent: str = "") -> list[Content]:
    wrapped = textwrap.wrap(
        visible(text, keep=""), width, initial_indent=indent, subsequent_indent=indent
    )
    return [Content.styled(line, style) for line in wrapped]
