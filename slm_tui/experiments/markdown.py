"""A report in Markdown, with its pictures beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slm_tui import safe_files
from slm_tui.errors import SlmTuiError, cause_of
from slm_tui.experiments.report import RunsReport
from slm_tui.experiments.samples import side_by_side
from slm_tui.formatting import count, duration
from slm_tui.text import visible

_MOST_SAMPLE = 400
_MOST_SAMPLES = 12


def write_report(report: RunsReport, path: Path) -> None:
    """Write the report to `path`; with matplotlib, also its picture, with the ending `.png`.

    Raises:
        SlmTuiError: a file cannot be written.
    """
    picture = ""
    try:
        try:
            from slm_tui.experiments.picture import comparison

            data = comparison(report)
        except ImportError:
            data = b""
        if data:
            safe_files.write_atomically(path.with_suffix(".png"), data)
            picture = path.with_suffix(".png").name
        safe_files.write_atomically(path, text_of(report, picture))
    except OSError as error:
        raise SlmTuiError(f"{path} cannot be written", cause_of(error)) from None


def text_of(report: RunsReport, picture: str = "") -> str:
    """The report as Markdown; `picture` is the file of its picture, if there is one."""
    parts = [f"# {_plain(report.title)}", f"{_plain(report.state)}."]
    lesson = dict(report.lesson or ())
    parts += [f"## {name}\n\n{lesson[name]}" for name in ("Before", "During") if name in lesson]
    if report.rows:
        parts.append("## Ranking")
        parts.append(
            "Best validation loss in bits per byte, lower is better: mean and spread (standard "
            "deviation) over seeds."
        )
        parts.append(_ranking(report))
        if len(report.rows) > 1:
            parts.append(
                "\n".join(
                    f"- **{_plain(row.name)}**: {_plain(row.verdict)}." for row in report.rows
                )
            )
    if picture:
        parts.append(f"![Curves, ranking, parameters and time]({picture})")
    if "After" in lesson:
        parts.append(f"## What happened\n\n{lesson['After']}")
    if "Question" in lesson:
        parts.append(f"## Question\n\n{lesson['Question']}")
        parts.append(f"<details><summary>Answer</summary>\n\n{lesson['Answer']}\n\n</details>")
    if report.settings:
        parts.append("## Settings that differ")
        parts.append(_settings(report))
    if report.associations:
        parts.append("## Which change mattered")
        parts.append(
            "The change in bits per byte associated with each setting. Unless all else was equal, "
            "another setting may be the cause."
        )
        parts.append("\n".join(f"- {_plain(line)}" for line in report.associations))
    samples = _samples(report)
    if samples:
        parts.append("## Samples side by side")
        parts += samples
    if report.failures:
        parts.append("## Failed")
        parts += [f"- {_plain(name)}: {_plain(error)}" for name, error in report.failures]
    if report.notes:
        parts.append("## Notes")
        parts.append("\n".join(f"- {_plain(note)}" for note in report.notes))
    if "Next" in lesson:
        parts.append(f"Next: `{lesson['Next']}`")
    return "\n\n".join(parts) + "\n"


def _ranking(report: RunsReport) -> str:
    rows = [
        (
            _plain(row.name),
            row.seeds,
            f"{row.mean:.4f}" + (f" ± {row.spread:.4f}" if row.spread is not None else ""),
            count(row.parameters) if row.parameters else "–",
            count(row.tokens) if row.tokens else "–",
            duration(row.seconds) if row.seconds else "–",
            _loss(row.final_train),
            _loss(row.final_val),
        )
        for row in report.rows
    ]
    names = (
        "variation",
        "seeds",
        "bits per byte",
        "parameters",
        "tokens",
        "time",
        "final train",
        "final validation",
    )
    return _table(names, rows)


def _loss(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _settings(report: RunsReport) -> str:
    names = ("setting", *(_plain(row.name) for row in report.rows))
    rows = [
        (f"`{path}`", *(_value(value) for value in values))
        for path, values in report.settings.items()
    ]
    return _table(names, rows)


def _value(value: Any) -> str:
    if value is None:
        return "unset"
    return _plain(f"{value:g}" if isinstance(value, float) else str(value))


def _samples(report: RunsReport) -> list[str]:
    """A sample of each variation, as a quotation."""
    parts = []
    for sample in side_by_side(report, _MOST_SAMPLES):
        text = visible((sample.prompt + sample.text)[:_MOST_SAMPLE], keep="\n")
        lines = [line for line in text.splitlines() if line.strip()]
        quoted = "  \n".join(f"> {_plain(line)}" for line in lines)
        parts.append(f"**{_plain(sample.label)}**, step {sample.step:,}:\n\n{quoted}")
    return parts


def _table(names: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _plain(text: str) -> str:
    """Text of others without characters that Markdown or HTML would interpret."""
    text = visible(text, keep="")
    for mark in "\\`*_[]|#":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("<", "&lt;").replace(">", "&gt;")
