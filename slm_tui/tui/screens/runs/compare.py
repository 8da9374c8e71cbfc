"""Comparing runs: validation curves in one chart, differing settings, facts of one run."""

from collections.abc import Sequence
from typing import Any

from textual.content import Content

from slm_tui.config.estimate import step_flops
from slm_tui.config.overrides import difference, get
from slm_tui.formatting import clock, count
from slm_tui.live.run_scanner import RunDetail, RunLine
from slm_tui.text import one_line, pad
from slm_tui.tui.charts.data import ChartData, Series, VerticalLine
from slm_tui.tui.screens.runs.columns import mark_content, role_of, shape_of

AXES = ("steps", "tokens", "time", "FLOPs")
Pair = tuple[RunLine, RunDetail]
_NOT_COMPARED = ("title", "description")
_FRAME = 8  # what a title on the border leaves free


def in_bits(pairs: Sequence[Pair]) -> bool:
    """Whether the curves must use bits per byte: losses per token of different vocabularies
    or texts cannot be compared."""
    cuts = [
        (detail.preset.tokenizer, detail.preset.data) if detail.preset else None
        for _, detail in pairs
    ]
    return any(one != cuts[0] for one in cuts)


def chart_data(pairs: Sequence[Pair], axis: str, *, bits: bool | None = None) -> ChartData:
    """The validation curves against `axis`: steps, tokens, time or FLOPs."""
    bits = in_bits(pairs) if bits is None else bits
    names = unique_names([line for line, _ in pairs])
    series = []
    for name, (line, detail) in zip(names, pairs, strict=True):
        xs = _along(line, detail, axis)
        ys = detail.bits_per_byte if bits else detail.loss
        shape = shape_of(line.mark)
        series.append(Series(name, role_of(line.mark), xs, ys, shape, smooth=True))
    return ChartData(series, _best_line(pairs, axis), note=f"vs. {axis}")


def _best_line(pairs: Sequence[Pair], axis: str) -> list[VerticalLine]:
    if len(pairs) != 1 or pairs[0][0].info.best_step is None:
        return []
    line, detail = pairs[0]
    if line.info.best_step not in detail.step:
        return []
    at = detail.step.index(int(line.info.best_step))
    return [VerticalLine(_along(line, detail, axis)[at])]


def _along(line: RunLine, detail: RunDetail, axis: str) -> Sequence[float]:
    if axis == "FLOPs" and detail.preset is not None:
        size = line.info.facts.get("n_vocab")
        n_vocab = int(size) if size else detail.preset.tokenizer.expected_vocabulary
        each = step_flops(detail.preset, n_vocab)
        return [step * each for step in detail.step]
    return {"tokens": detail.tokens, "time": detail.seconds}.get(axis, detail.step)


def unique_names(lines: Sequence[RunLine]) -> list[str]:
    """A unique name for each run; runs with the same name get a number."""
    names: list[str] = []
    for line in lines:
        name, number = one_line(line.name, 20), 2
        while name in names:
            name, number = f"{one_line(line.name, 17)} {number}", number + 1
        names.append(name)
    return names


def differences(pairs: Sequence[Pair], width: int) -> list[Content]:
    """The settings that differ between the runs, one line each, with a column per run."""
    values = [detail.preset.to_dict() if detail.preset else None for _, detail in pairs]
    presets = [one for one in values if one is not None]
    paths: dict[str, None] = {}
    for one in presets[1:]:
        for path, _, _ in difference(one, presets[0]):
            if path not in _NOT_COMPARED:
                paths[path] = None
    wide = max((len(path) for path in paths), default=12)
    wide = min(max(wide, 12), max(12, width // 2))
    each = max(6, min(18, (width - wide - 2) // max(1, len(pairs)) - 1))
    names = unique_names([line for line, _ in pairs])
    top = [Content(" " * (wide + 1))]
    for (line, _), name in zip(pairs, names, strict=True):
        text = one_line(name, each - 2)
        top.append(Content.assemble(mark_content(line.mark), f" {pad(text, each - 2)} "))
    lines = [Content("").join(top)]
    for path in paths:
        label = (pad(one_line(path, wide), wide), "$foreground 60%")
        lines.append(Content.assemble(label, " ", *(_cell(one, path, each) for one in values)))
    if not paths:
        lines.append(Content.styled("all runs have the same settings", "$foreground 60%"))
    return lines


def _cell(values: dict[str, Any] | None, path: str, width: int) -> Content:
    text = "?" if values is None else setting_text(get(values, path))
    return Content(pad(one_line(text, width), width + 1))


def setting_text(value: Any) -> str:
    """A setting as a person would write it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


def facts_title(width: int) -> Content:
    """The title of a pane of `width` columns that shows one run; a hint only if there is room."""
    title = "this run · space selects runs to compare"
    return Content(f" {title if len(title) <= width - _FRAME else 'this run'} ")


def facts(line: RunLine, detail: RunDetail | None, width: int) -> list[Content]:
    """Facts about one run: its errors first, then model and data."""
    if line.error:
        return [*_wrong(line.error, width), Content.styled(str(line.path), "$foreground 60%")]
    info = line.info
    lines = _wrong(info.error, width) if info.error else []
    if detail is not None and detail.problem:
        lines += _wrong(detail.problem, width)
    values = info.facts
    rows = [
        ("preset", info.preset),
        ("model", _model(detail, values)),
        ("data", _data(detail, values)),
        ("trained", f"{info.step:,} of {info.max_steps:,} steps, {count(info.tokens_seen)} tokens"),
        ("took", f"{clock(info.elapsed_seconds)} at {count(info.tokens_per_second)} tokens/s"),
        ("device", str(values.get("device", ""))),
        ("from", info.parent),
        ("folder", line.path.name),
    ]
    return lines + [
        Content.assemble((name.ljust(9), "$foreground 60%"), one_line(text))
        for name, text in rows
        if text
    ]


def _model(detail: RunDetail | None, facts: dict[str, Any]) -> str:
    if detail is None or detail.preset is None:
        return ""
    parts: list[str] = [detail.preset.model.kind]
    parameters = facts.get("parameters")
    if isinstance(parameters, (int, float)):
        parts.append(f"{count(parameters)} parameters")
    return ", ".join([*parts, f"block {detail.preset.model.block_size}"])


def _data(detail: RunDetail | None, facts: dict[str, Any]) -> str:
    if detail is None or detail.preset is None:
        return ""
    parts: list[str] = [detail.preset.data.kind]
    tokens = facts.get("train_tokens")
    if isinstance(tokens, (int, float)):
        parts.append(f"{count(tokens)} tokens of {detail.preset.tokenizer.kind}")
    return ", ".join(parts)


def _wrong(text: str, width: int) -> list[Content]:
    return Content.styled(f"✗ {one_line(text)}", "$text-error").wrap(width)
