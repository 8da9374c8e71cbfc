"""A report on checkpoints as aligned lines, the same on the command line and on screen."""

import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from slm_tui.formatting import count, ratio_text, size
from slm_tui.text import cells, cut, one_line, pad

Tone = Literal["", "title", "best", "muted", "warning"]
_NARROWEST = 60
# Width of the metric names, including the space after them.
_NAME = 15


@dataclass(frozen=True)
class Line:
    """One line and its style."""

    text: str = ""
    tone: Tone = ""


def lines(report: dict[str, Any], width: int) -> list[Line]:
    """The whole report in lines of at most `width` characters; below 60 they are truncated."""
    width = max(_NARROWEST, width)
    result = list(_heading(report, width))
    if report["kind"] == "evaluation":
        result += _metrics(report["models"][0], report, width)
    result += [Line(), *_table(report, width)]
    result += [*_legend(report, width)]
    return [Line(line.text[:width].rstrip(), line.tone) for line in result]


def _heading(report: dict[str, Any], width: int) -> Iterator[Line]:
    text, models = report["text"], report["models"]
    if report["kind"] == "evaluation":
        yield Line(f"{models[0]['run'] or models[0]['name']}, step {models[0]['step']:,}", "title")
    else:
        yield Line(f"{len(models)} checkpoints on the same text", "title")
    part = f", {text['split']}" if text["split"] else ""
    all_of = "" if text["documents"] == text["of_documents"] else f" of {text['of_documents']:,}"
    number = f"{text['documents']:,}{all_of} document{'s' * (text['documents'] != 1)}"
    yield Line(one_line(f"{text['name']}{part}: {number}, {text['bytes']:,} bytes", width))
    for model in models:
        if model["leak"]:
            whose = f"{model['name']}: " if len(models) > 1 else ""
            yield from _wrapped(f"▲ {whose}{model['leak']}", width, "warning")
    for note in report["notes"]:
        yield from _wrapped(f"▲ {note}", width, "warning")


def _wrapped(text: str, width: int, tone: Tone) -> Iterator[Line]:
    for line in textwrap.wrap(one_line(text), width, subsequent_indent="  "):
        yield Line(line, tone)


def _metrics(model: dict[str, Any], report: dict[str, Any], width: int) -> Iterator[Line]:
    yield Line()
    yield from _pair("loss", f"{_number(model['loss'], 4)} nats per token", width)
    before = model.get("val_loss_in_training")
    if before is not None and report["text"]["split"] == "validation":
        why = "its windows start mid-document, with less context"
        yield from _pair("", f"{_number(before, 4)} during training: {why}", width)
    yield from _pair(
        "bits per byte", f"{_number(model['bits_per_byte'], 4)}{_interval(model)}", width
    )
    yield from _pair("perplexity", f"{_large(model['perplexity'])} per token", width)
    right = f"{_share(model['accuracy'])}, top five {_share(model['top5_accuracy'])}"
    yield from _pair("accuracy", right, width)
    counted = f"{model['num_tokens']:,} tokens, each scored once; {model['num_bytes']:,} bytes"
    yield from _pair("scored", counted, width)
    gap = report.get("gap")
    if gap:
        yield from _pair("gap", _gap_words(gap, model), width)
    inner = f"{count(model['non_embedding_parameters'])} without embeddings"
    kind = f"{model['model_type']}, {model['tokenizer']} {model['n_vocab']:,}"
    yield from _pair("parameters", f"{count(model['parameters'])} ({inner}); {kind}", width)
    data = report.get("data", {})
    if data.get("tokens_per_parameter") is not None:
        each = f"{ratio_text(data['tokens_per_parameter'])} training tokens per parameter"
        seen = f"{ratio_text(data['tokens_seen_per_parameter'])} including repeats"
        yield from _pair("data", f"{each}, {seen}", width)
    for number, stage in enumerate(report.get("chunks", [])):
        yield from _pair("" if number else "chunks", _chunk_words(stage), width)
    if report.get("generation"):
        yield from _generation(report["generation"], width)
    if report.get("efficiency"):
        yield from _efficiency(report["efficiency"], width)


def _chunk_words(stage: dict[str, Any]) -> str:
    starts = f"{_share(stage['words'])} begin a word, {_share(stage['punctuation'])} punctuation"
    inside = f"{_share(stage['inside'])} inside a word"
    return f"{_number(stage['bytes_per_chunk'], 2)} bytes each; {starts}, {inside}"


def _gap_words(gap: dict[str, Any], model: dict[str, Any]) -> str:
    bits = gap["gap_bits_per_byte"]
    if gap["gap"] is None or bits is None:
        return "–"
    against = f"{gap['split']} has {_number(gap['bits_per_byte'], 4)}"
    return f"{gap['gap']:+.4f} nats, {bits:+.4f} bits per byte ({against})"


def _generation(figures: dict[str, Any], width: int) -> Iterator[Line]:
    number, tokens, sizes = figures["num_samples"], figures["tokens"], figures["bytes"]
    valid = f"{_share(figures['utf8_validity'])} of {number} completions, "
    valid += f"{_share(figures['utf8_byte_validity'], 2)} of their bytes"
    yield from _pair("valid UTF-8", valid, width)
    ended = f"{figures['ended_by_end_of_text']} ended with end-of-text"
    length = f"{tokens['mean']:.0f} tokens ({tokens['min']} to {tokens['max']}), "
    yield from _pair("length", f"{length}{sizes['mean']:.0f} bytes; {ended}", width)


def _efficiency(figures: dict[str, Any], width: int) -> Iterator[Line]:
    forward = f"{figures['forward_ms']:.2f} ms for {figures['block_size']:,} tokens, "
    forward += f"{count(figures['forward_tokens_per_second'])} tokens/s"
    yield from _pair("reading", forward, width)
    writing = f"{figures['generation_ms_per_token']:.2f} ms per token, "
    writing += f"{count(figures['generation_tokens_per_second'])} tokens/s; "
    writing += f"first after {figures['first_token_ms']:.2f} ms"
    yield from _pair("writing", writing, width)
    parts = [
        f"parameters {size(figures['parameter_bytes'])}",
        f"cache {size(figures['cache_bytes_per_text'])} per text",
    ]
    if figures.get("peak_gpu_bytes"):
        parts.append(f"GPU peak {size(figures['peak_gpu_bytes'])}")
    if figures.get("peak_process_bytes"):
        parts.append(f"process peak {size(figures['peak_process_bytes'])}")
    yield from _pair("memory", ", ".join(parts), width)


def _pair(name: str, text: str, width: int) -> Iterator[Line]:
    """A name and its value; a long value is wrapped."""
    parts = textwrap.wrap(one_line(text), width - _NAME) or [""]
    for at, part in enumerate(parts):
        yield Line(f"{name if not at else '':<{_NAME - 1}} {part}")


def _table(report: dict[str, Any], width: int) -> Iterator[Line]:
    """Models and baselines by bits per byte; columns that do not fit are left out."""
    rows = [*report["models"], *report["baselines"]]
    rows.sort(key=lambda row: math.inf if row["bits_per_byte"] is None else row["bits_per_byte"])
    several = len(report["models"]) > 1
    columns: list[tuple[str, int, Any]] = [
        ("bpb", 8, lambda row: _number(row["bits_per_byte"], 4)),
        ("95% interval", 17, lambda row: _interval(row).strip()),
        ("vs. best", 14, _difference),
    ]
    wide = [
        ("params", 7, lambda row: count(row["parameters"]) if "parameters" in row else ""),
        ("model", 16, _kind),
        ("nats/tok", 8, lambda row: _number(row["loss"], 3) if "loss" in row else ""),
        ("acc", 5, lambda row: _share(row["accuracy"]) if "loss" in row else ""),
        ("top-5", 5, lambda row: _share(row["top5_accuracy"]) if "loss" in row else ""),
        ("ppl/tok", 8, lambda row: _large(row["perplexity"]) if "loss" in row else ""),
    ]
    longest = max(cells(one_line(str(row["name"]))) for row in rows)
    for column in wide:
        room = width - 3 - sum(one[1] + 1 for one in columns)
        if several and room - column[1] - 1 >= min(longest, 24):
            columns.append(column)
    room = width - 3 - sum(one[1] + 1 for one in columns)
    name_width = max(8, min(longest, room))
    titles = " ".join(title.rjust(wide_) for title, wide_, _ in columns)
    yield Line(f"   {'':<{name_width}} {titles}", "muted")
    for row in rows:
        rank = row.get("rank")
        mark = f"{rank:>2} " if rank else "   "
        figures = " ".join(one_line(cell(row), wide_).rjust(wide_) for _, wide_, cell in columns)
        tone: Tone = "best" if rank == 1 else "" if rank else "muted"
        name = pad(_cut(row["name"], name_width), name_width)
        yield Line(f"{mark}{name} {figures}", tone)


def _cut(name: str, width: int) -> str:
    """Shorten a long name in the middle: its end has the step."""
    name = one_line(name)
    if cells(name) <= width:
        return name
    head = max(1, (width - 1) * 2 // 5)
    tail = name
    while cells(tail) > width - 1 - head:
        tail = tail[1:]
    return f"{cut(name, head + 1)[:-1]}…{tail}"


def _kind(row: dict[str, Any]) -> str:
    return f"{row['model_type']} {row['tokenizer']} {row['n_vocab']:,}" if "n_vocab" in row else ""


def _difference(row: dict[str, Any]) -> str:
    if row.get("rank") == 1:
        return "best"
    if row["difference"] is None:
        return ""
    words = f"{row['difference']:+.4f}"
    if row["is_noise"]:
        return f"≈ noise {words}" if len(words) <= 7 else f"≈ {words}"
    return words


def _legend(report: dict[str, Any], width: int) -> Iterator[Line]:
    resampling = report["resampling"]
    yield Line()
    if len(report["models"]) > 1:
        tail = f"All models see at most {report['context_bytes']:,} bytes of context"
        tail += "; by default, the shortest context among them."
        yield from _wrapped(tail, width, "muted")
    if resampling["resamples"]:
        how = (
            f"{resampling['resamples']:,} resamples of {resampling['units']:,} {resampling['unit']}"
        )
        text = f"95% intervals from {how}; ≈ marks differences within noise."
        yield from _wrapped(text, width, "muted")
    if any(model["tokenizer"] == "bytes" for model in report["models"]):
        good = "For English text read as bytes, good results are below 1.5 bits per byte, above "
        good += "30% accuracy (top five above 60%), and above 95% valid UTF-8."
        yield from _wrapped(good, width, "muted")
    for row in report["baselines"]:
        if row["note"]:
            yield from _wrapped(f"{row['name']}: {row['note']}", width, "muted")


def _interval(row: dict[str, Any]) -> str:
    interval = row["interval"]
    if not interval or None in interval:
        return ""
    return f"  {interval[0]:.4f} – {interval[1]:.4f}"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _large(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.2f}" if value < 1e5 else f"{value:.2e}"


def _share(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}%"
