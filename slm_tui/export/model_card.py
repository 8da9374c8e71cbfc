"""The README of an exported model: what it is, what it learned from, how good it is."""

import json
from typing import Any

from slm_tui import __version__
from slm_tui.config.models.gpt import GptModel
from slm_tui.errors import CheckpointError, RunError
from slm_tui.export.architectures import Architecture
from slm_tui.formatting import count
from slm_tui.runs import evaluation_results
from slm_tui.runs import info as infos
from slm_tui.runs.info import run_of
from slm_tui.text import one_line
from slm_tui.training.checkpoint import Checkpoint

_LICENCES = "https://huggingface.co/docs/hub/repositories-licenses"


def text(saved: Checkpoint, made: Architecture) -> str:
    """The model card, as Markdown with a YAML header."""
    preset = saved.preset
    rows = [*_model(saved, made), *_training(saved), *_results(saved)]
    parts = [
        _header(),
        f"# {_plain(preset.title or preset.name)}",
        f"A small language model, trained with slm-tui {__version__}. Its text reads like what it "
        "was trained on: it has not been taught to answer, and it may state things that are false.",
        "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]),
        "## How to load it",
        _loading(made),
        "Texts begin with `<|endoftext|>`, which the tokenizer adds."
        if saved.state.begins_documents
        else "Texts begin without a special token.",
        _length(saved),
    ]
    return "\n\n".join(parts) + "\n"


def _header() -> str:
    lines = (
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        f"# Choose a licence that the training text allows, see {_LICENCES}, and remove the #:",
        "# license: mit",
        "---",
    )
    return "\n".join(lines)


def _model(saved: Checkpoint, made: Architecture) -> list[tuple[str, str]]:
    config, tokenizer = saved.preset.model, saved.preset.tokenizer
    total, embedding = config.parameters(saved.state.n_vocab)
    what = f"{made.class_name}" + (f" (in `{made.code[0]}`)" if made.code else "")
    rows = [
        ("class", what),
        ("parameters", f"{total:,}, {count(total - embedding)} without embeddings"),
        ("shape", f"{config.layers} layers, {config.width} channels"),
        ("context", f"{config.block_size:,} tokens" if _is_limited(saved) else "any length"),
        ("tokenizer", f"{tokenizer.kind}, {saved.state.n_vocab:,} tokens"),
    ]
    if config.is_ternary:
        how = "fp32, as trained; rounded to -1, 0 and 1 when used, activations to 8 bits"
        rows.append(("weights", how))
    return rows


def _is_limited(saved: Checkpoint) -> bool:
    return isinstance(saved.preset.model, GptModel)


def _length(saved: Checkpoint) -> str:
    window = f"It was trained on windows of {saved.preset.model.block_size:,} tokens"
    if _is_limited(saved):
        return f"{window}: a prompt and its completion must fit."
    return f"{window}, but reads texts of any length: its memory is a state of fixed size."


def _training(saved: Checkpoint) -> list[tuple[str, str]]:
    state, data = saved.state, saved.preset.data
    rows = [("training text", _plain(data.content))]
    facts = _facts(saved)
    if isinstance(facts.get("train_tokens"), int):
        rows.append(("its size", f"{facts['train_tokens']:,} tokens"))
    seen = f"{state.step:,} steps, {state.tokens_seen:,} tokens including repeats"
    return [*rows, ("trained for", seen)]


def _results(saved: Checkpoint) -> list[tuple[str, str]]:
    state, rows = saved.state, []
    if state.train_loss is not None:
        rows.append(("training loss", f"{state.train_loss:.4f} nats per token, at the last step"))
    if state.val_loss is not None:
        bits = state.val_bits_per_byte
        more = "" if bits is None else f", {bits:.4f} bits per byte"
        rows.append(("validation loss", f"{state.val_loss:.4f} nats per token{more}"))
    report = _report(saved)
    if report is not None:
        rows += _evaluated(report)
    else:
        how = "not measured; `slm-tui evaluate` before the export adds it here"
        rows.append(("95% interval", how))
    floor = _facts(saved).get("floor_bits_per_byte")
    if isinstance(floor, int | float):
        rows.append(("floor", f"{floor:.4f} bits per byte: the true entropy of this text"))
    return rows


def _evaluated(report: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures of an evaluation; files of others may hold anything."""
    try:
        model, source = report["models"][0], report["text"]
        figure = f"{model['bits_per_byte']:.4f} bits per byte"
        if model["interval"] and None not in model["interval"]:
            low, high = model["interval"]
            figure += f", 95% interval {low:.4f} to {high:.4f}"
        figure += f", {model['loss']:.4f} nats per token"
        split = f", {source['split']}" if source["split"] else ""
        text = f"{source['name']}{split}: {source['documents']:,} documents"
    except (LookupError, TypeError, ValueError):
        return []
    return [("evaluation", figure), ("evaluated on", _plain(text))]


def _report(saved: Checkpoint) -> dict[str, Any] | None:
    """The newest evaluation of exactly these weights on a held-out text."""
    run = run_of(saved.path)
    if run is None:
        return None
    try:
        digest = evaluation_results.digest_of(saved.path)
    except (OSError, CheckpointError):
        return None
    reports: list[dict[str, Any]] = evaluation_results.read(run)
    for report in reports[::-1]:
        try:
            digests, settings = json.loads(report["key"])
            matches = digests == [digest] and settings["split"] != "train"
        except (LookupError, TypeError, ValueError):
            continue
        if matches:
            return report
    return None


def _facts(saved: Checkpoint) -> dict[str, Any]:
    run = run_of(saved.path)
    try:
        return infos.read(run).facts if run else {}
    except RunError:
        return {}


def _plain(text: str) -> str:
    """Text of others on one line, with nothing that Markdown would interpret."""
    return "".join(f"\\{one}" if one in r"\`*_[]<>|#&!" else one for one in one_line(text, 200))


def _loading(made: Architecture) -> str:
    trust = ", trust_remote_code=True" if made.code else ""
    lines = (
        "```python",
        "from transformers import pipeline",
        "",
        f'writer = pipeline("text-generation", "PATH OF THIS DIRECTORY"{trust})',
        'print(writer("Once upon a time")[0]["generated_text"])',
        "```",
    )
    return "\n".join(lines)
