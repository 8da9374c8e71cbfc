"""A checkpoint as a directory that the library `transformers` loads, written without it."""

import json
import shlex
import stat
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file

from slm_tui.config.models.gpt import GptModel
from slm_tui.config.training import Sampling
from slm_tui.export import architectures, model_card, tokenizer_files, written
from slm_tui.export.architectures import Architecture
from slm_tui.export.written import Report, Usage, Written
from slm_tui.formatting import size
from slm_tui.training import checkpoint
from slm_tui.training.checkpoint import Checkpoint

WEIGHTS = "model.safetensors"


def export(source: Path, target: Path, report: Report = written.quiet) -> Written:
    """Write the checkpoint at `source` to the new directory `target`, its weights in fp32.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ExportError: `target` exists or cannot be written.
    """
    written.check_free(target)
    report("reading the checkpoint")
    saved = checkpoint.read(source)
    made = architecture_of(saved)
    report("writing the weights")
    with written.directory(target) as directory:
        try:
            save_file(made.weights, directory / WEIGHTS, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(str(error)) from error
        report("writing the tokenizer and the model card")
        for name, text in _texts(saved, made).items():
            (directory / name).write_text(text, encoding="utf-8")
        # The library makes it readable only by the owner.
        mode = stat.S_IMODE((directory / "config.json").stat().st_mode)
        (directory / WEIGHTS).chmod(mode)
        total = sum(path.stat().st_size for path in directory.iterdir())
    return Written(
        target,
        total,
        _summary(target, total, made),
        _usage(target, made),
        _notes(made),
        {"class": made.class_name, "bytes": total},
    )


def architecture_of(saved: Checkpoint) -> Architecture:
    """The class of `transformers` for a checkpoint, with its weights.

    Raises:
        CheckpointError: the weights cannot be read or do not fit.
    """
    weights = saved.checked_weights()
    return architectures.architecture(saved.preset.model, saved.state.n_vocab, weights)


def _texts(saved: Checkpoint, made: Architecture) -> dict[str, str]:
    tokenizer, model = saved.tokenizer(), saved.preset.model
    end, context = tokenizer.end_of_text, model.block_size
    # A recurrent model reads texts of any length.
    limit = context if isinstance(model, GptModel) else None
    ids = {"bos_token_id": tokenizer.document_start, "eos_token_id": end, "pad_token_id": end}
    generation = _generation(saved.preset.sampling, context, limit)
    config: dict[str, Any] = {
        "architectures": [made.class_name],
        "model_type": made.model_type,
        **made.settings,
        **ids,
        "dtype": "float32",
        "torch_dtype": "float32",
        "use_cache": True,
    }
    texts = {
        "config.json": _json(config),
        "generation_config.json": _json({**ids, **generation}),
        "tokenizer.json": tokenizer_files.tokenizer_json(
            tokenizer, begin=saved.state.begins_documents
        ),
        "tokenizer_config.json": _json(tokenizer_files.tokenizer_config(tokenizer, limit)),
        "README.md": model_card.text(saved, made),
    }
    for name in made.code:
        code = Path(architectures.__file__).with_name(name)
        texts[name] = code.read_text(encoding="utf-8")
    return texts


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _generation(sampling: Sampling, context: int, limit: int | None) -> dict[str, Any]:
    """The preset's sampling; a text is as long as the context allows, and if there is no limit,
    a completion as long as one."""
    length = {"max_new_tokens": context} if limit is None else {"max_length": limit}
    values: dict[str, Any] = {**length, "do_sample": sampling.temperature > 0}
    if sampling.temperature > 0:
        values |= {"temperature": sampling.temperature, "top_k": sampling.top_k or 0}
        values["top_p"] = 1.0 if sampling.top_p is None else sampling.top_p
    if sampling.repetition_penalty != 1:
        values["repetition_penalty"] = sampling.repetition_penalty
    return values


def _summary(target: Path, total: int, made: Architecture) -> str:
    what = f"weights with {made.code[0]}" if made.code else f"{made.name} for transformers"
    return f"saved {target}: {what}, {size(total)}"


def _usage(target: Path, made: Architecture) -> tuple[Usage, ...]:
    trust = ", trust_remote_code=True" if made.code else ""
    python = (
        "from transformers import pipeline; "
        f'print(pipeline("text-generation", {json.dumps(str(target.resolve()))}{trust})("Once"))'
    )
    return (Usage("generate text", f"python -c {shlex.quote(python)}"),)


def _notes(made: Architecture) -> tuple[str, ...]:
    if not made.code:
        return ()
    files = " and ".join(made.code)
    verb = "do" if len(made.code) > 1 else "does"
    return (f"no class of transformers computes this model: {files} {verb}, and must be trusted",)
