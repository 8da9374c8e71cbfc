"""The configuration files of simplified-slm, read as presets.

There are three kinds of JSON files: of a model, of an experiment (nested, naming a model file), and
of a training (flat). What a preset has no place for is reported, never dropped in silence.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slm_tui.config import library
from slm_tui.config.preset import Preset, parse
from slm_tui.errors import PresetError, cause_of

_MOST_BYTES = 1 << 20
_FLAT, _STAGES = "simplified-slm-flat", "simplified-slm-1stage"
_DATASETS = {"tinystories": "roneneldan/TinyStories", "wikitext": "Salesforce/wikitext"}
_SCHEDULES = ("cosine", "linear", "constant")

# By the key of the file: where its value goes.
_TRAINING = {
    "batch_size": "training.micro_batch",
    "gradient_accumulation_steps": "training.accumulation",
    "max_steps": "training.max_steps",
    "eval_interval": "training.evaluate_every",
    "save_interval": "training.checkpoint_every",
    "log_interval": "training.log_every",
    "learning_rate": "optimizer.learning_rate",
    "weight_decay": "optimizer.weight_decay",
    "max_grad_norm": "optimizer.gradient_clip",
    "warmup_steps": "schedule.warmup_steps",
    "max_seq_length": "model.block_size",
    "lr_multipliers": "model.learning_rate_multipliers",
    "downsampling_factor": "model.downsampling_factor",
    "lambda_lb": "model.ratio_loss_weight",
    "load_balancing_weight": "model.ratio_loss_weight",
}
_DATA = {
    "max_seq_length": "model.block_size",
    "val_ratio": "data.split.validation",
    "test_ratio": "data.split.test",
    "dataset_config": "data.config",
    "text_column": "data.text_column",
    "separator": "data.column_separator",
    "streaming": "data.streaming",
    "max_samples": "data.limit.documents",
    "min_length": "data.minimum_length",
    "max_length": "data.maximum_length",
    "train_split": "data.train_split",
    "val_split": "data.validation_split",
}
_MODEL = {
    "hidden_size": "model.n_embd",
    "num_hidden_layers": "model.n_layer",
    "d_model": "model.d_model",
    "num_blocks": "model.num_blocks",
    "expand_ratio": "model.expand_ratio",
    "hidden_ratio": "model.hidden_ratio",
    "use_lower_bound": "model.lower_bound",
    "tie_word_embeddings": "model.tie_weights",
}
# Without a setting: how this program always does it, and any value that differs is reported.
_FIXED: dict[str, tuple[object, ...]] = {
    "vocab_size": (256,),
    "intermediate_size": (None,),
    "hidden_act": ("swish", "silu"),
    "rms_norm_eps": (1e-6,),
    "initializer_range": (0.02,),
    "share_conv_kernel": (True,),
}
# Of no effect on the result: how the other program computes, and where it writes.
_WITHOUT_EFFECT = {
    "attn_mode",
    "num_heads",
    "max_position_embeddings",
    "use_cache",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "use_fused_bitlinear",
    "fuse_cross_entropy",
    "effective_batch_size",
    "output_dir",
    "checkpoint_dir",
    "log_dir",
    "results_dir",
    "data_dir",
    "num_workers",
    "resume_from",
    "model_type",
    "type",
    "config_file",
}


@dataclass(frozen=True)
class Imported:
    """A preset, and one line for each entry that it has no place for."""

    preset: Preset
    notes: list[str]


@dataclass
class _Reader:
    """Collects the values of a file; `where` is the file, for messages."""

    where: Path
    values: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def put(self, path: str, value: Any) -> None:
        *sections, last = path.split(".")
        inner = self.values
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[last] = value

    def note(self, key: str, value: object, why: str) -> None:
        self.notes.append(f"not taken over: {key} = {json.dumps(value)}: {why}")

    def take(self, entries: dict[str, Any], table: dict[str, str], prefix: str = "") -> None:
        """Put the entries that `table` or a special rule knows; report all others."""
        for key, value in entries.items():
            rule = _RULES.get(key)
            if rule is not None:
                rule(self, value)
            elif key in _WITHOUT_EFFECT or value is None:
                continue
            elif key in _FIXED:
                if value not in _FIXED[key]:
                    self.note(prefix + key, value, f"this program uses {_FIXED[key][0]}")
            elif key in table:
                self.put(table[key], value)
            else:
                self.note(prefix + key, value, "a preset has no such setting")


def read(path: Path) -> Imported:
    """The preset in the file `path`.

    Raises:
        PresetError: it cannot be read, is not one of the three kinds, or makes no valid preset.
    """
    entries = _entries(path)
    name = entries.get("experiment_name") or path.stem
    model = _model_of(path, entries)
    reader = _Reader(path, _defaults(entries, model))
    reader.put("name", re.sub(r"[^A-Za-z0-9._-]+", "-", str(name)).strip("-._")[:40] or "imported")
    reader.put("title", "")
    reader.put("description", str(entries.get("description") or f"Imported from {path.name}."))
    reader.put("group", "mine")
    if model:
        _take_model(reader, model)
    if isinstance(entries.get("training"), dict):
        _take_experiment(reader, entries, found_model=bool(model))
    elif "model_type" not in entries:
        reader.take(entries, {**_DATA, **_TRAINING})
        kind = reader.values["model"]["kind"]
        reader.notes.append(f"the file names no model: the preset has the usual {kind} model")
    preset = parse(reader.values, str(path))
    return Imported(preset, reader.notes)


def _entries(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is larger than a megabyte")
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = cause_of(error) if isinstance(error, OSError) else str(error)
        raise PresetError(f"{path} cannot be read", reason) from None
    known = {"training", "model_type", "max_steps", "batch_size"}
    if not isinstance(entries, dict) or not known & set(entries):
        raise PresetError(
            f"{path} is not a file of simplified-slm",
            "it has none of training, model_type, max_steps and batch_size",
            "name a file of its configs directory",
        )
    return entries


def _model_of(path: Path, entries: dict[str, Any]) -> dict[str, Any]:
    """The entries of the model: of the file itself, or of the file that it names."""
    if "model_type" in entries:
        return entries
    model = entries.get("model")
    named = model.get("config_file") if isinstance(model, dict) else None
    if not isinstance(named, str):
        return {}
    # Named from the root of that project, in which the files lie one directory deeper.
    for place in (Path(), path.parent, path.parent.parent):
        if (place / named).is_file():
            return _entries(place / named)
    if (path.parent / Path(named).name).is_file():
        return _entries(path.parent / Path(named).name)
    return {}


def _defaults(entries: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    section = entries.get("model")
    kind = model.get("model_type") or (section.get("type") if isinstance(section, dict) else "")
    has_stages = kind == "hnet_bit" or "d_model" in model or entries.get("lr_multipliers")
    values = library.get(_STAGES if has_stages else _FLAT).to_dict()
    if has_stages:
        # They follow from the widths unless the file says otherwise.
        values["model"]["learning_rate_multipliers"] = []
    return values


def _take_model(reader: _Reader, model: dict[str, Any]) -> None:
    size = model.get("conv_size", 4) if model.get("use_short_conv") else 0
    reader.put("model.conv_size", size)
    known = {key: value for key, value in model.items() if key not in _CONVOLUTION}
    if "d_model" in model and known.pop("tie_word_embeddings", False):
        why = "H-Net has an embedding and an output layer of its own"
        reader.note("model.tie_word_embeddings", True, why)
    reader.take(known, _MODEL, "model.")


def _take_experiment(reader: _Reader, entries: dict[str, Any], *, found_model: bool) -> None:
    section = entries.get("model")
    if isinstance(section, dict) and section.get("config_file") and not found_model:
        why = f"there is no such file near {reader.where.name}; the preset has the usual sizes"
        reader.note("model.config_file", section["config_file"], why)
    for name, table in (("data", _DATA), ("training", _TRAINING), ("evaluation", _EVALUATION)):
        part = entries.get(name)
        if isinstance(part, dict):
            reader.take(part, table, f"{name}.")
    rest = {
        key: value
        for key, value in entries.items()
        if key not in ("experiment_name", "description", "model", "data", "training", "evaluation")
    }
    for name in ("output", "hardware"):
        part = rest.pop(name, None)
        if isinstance(part, dict):
            reader.take(part, {}, f"{name}.")
    reader.take(rest, {})


_CONVOLUTION = ("use_short_conv", "conv_size")
_EVALUATION = {"generation_max_tokens": "sampling.max_tokens"}


def _dataset(reader: _Reader, value: Any) -> None:
    if value is not None:
        name = str(value)
        reader.put("data.dataset", _DATASETS.get(name.lower(), name))


def _data_path(reader: _Reader, value: Any) -> None:
    if value is not None:
        kind = "directory" if Path(str(value)).is_dir() else "file"
        split = reader.values["data"].get("split", {})
        reader.values["data"] = {"kind": kind, "path": str(value), "split": split}


def _text_columns(reader: _Reader, value: Any) -> None:
    columns = value if isinstance(value, list) else []
    if columns:
        reader.put("data.text_column", columns[0])
    if len(columns) > 1:
        reader.put("data.second_column", columns[1])
    if len(columns) > 2:
        reader.note("text_columns", value, "a preset joins two columns")


def _scheduler(reader: _Reader, value: Any) -> None:
    if value in _SCHEDULES:
        reader.put("schedule.kind", value)
    elif value is not None:
        reader.note("scheduler", value, f"choose one of {', '.join(_SCHEDULES)}")


def _precision(name: str) -> Callable[[_Reader, Any], None]:
    def rule(reader: _Reader, value: Any) -> None:
        if value is True:
            reader.put("training.precision", name)
        elif reader.values["training"]["precision"] == "auto":
            reader.put("training.precision", "fp32")

    return rule


def _mixed_precision(reader: _Reader, value: Any) -> None:
    named = {None: "fp32", False: "fp32", "no": "fp32", "none": "fp32", "fp32": "fp32"}
    precision = value if value in ("bf16", "fp16") else named.get(value)
    if precision is None:
        reader.note("mixed_precision", value, "choose one of fp32, bf16, fp16")
    else:
        reader.put("training.precision", precision)


def _compile(reader: _Reader, value: Any) -> None:
    reader.put("training.compile", "on" if value else "off")


def _device(reader: _Reader, value: Any) -> None:
    # A preset should also run where there is no GPU; `auto` takes one if there is.
    reader.put("training.device", "auto" if value in (None, "cuda") else str(value))


def _seed(reader: _Reader, value: Any) -> None:
    if value is not None:
        reader.put("training.seed", value)


_RULES: dict[str, Callable[[_Reader, Any], None]] = {
    "dataset": _dataset,
    "data_path": _data_path,
    "text_columns": _text_columns,
    "scheduler": _scheduler,
    "lr_scheduler": _scheduler,
    "bf16": _precision("bf16"),
    "fp16": _precision("fp16"),
    "mixed_precision": _mixed_precision,
    "compile_model": _compile,
    "device": _device,
    "seed": _seed,
}
