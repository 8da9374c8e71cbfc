"""A checkpoint as one GGUF file, for llama.cpp, Ollama and programs built on them.

llama.cpp has no squared ReLU with QK-norm and no exact GELU: blocks without an architecture of
its own are refused, and a GPT2 is computed with the tanh form of GELU there.
"""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from slm_tui.config.models.gpt import GptModel
from slm_tui.corpus.tokenizers import ForeignTokenizer
from slm_tui.errors import ExportError
from slm_tui.export import gguf_tokenizer, huggingface, written
from slm_tui.export.architectures import Architecture
from slm_tui.export.catalog import WeightType
from slm_tui.export.written import Report, Usage, Written
from slm_tui.formatting import size
from slm_tui.text import one_line
from slm_tui.training import checkpoint
from slm_tui.training.checkpoint import Checkpoint

if TYPE_CHECKING:
    from gguf import GGUFWriter

# Weights are rounded in groups of this many along a row.
_GROUP = 32
_GPT2 = {
    "transformer.wte": "token_embd",
    "transformer.wpe": "position_embd",
    "transformer.ln_f": "output_norm",
    "lm_head": "output",
}
_GPT2_LAYER = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
_LLAMA = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_LLAMA_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def export(
    source: Path,
    target: Path,
    report: Report = written.quiet,
    weight_type: WeightType = "f32",
) -> Written:
    """Write the checkpoint at `source` to the new file `target`, and a Modelfile for Ollama.

    Args:
        source: a checkpoint directory.
        target: the file; the Modelfile has its name with `.Modelfile` instead of `.gguf`.
        report: called with what is being done.
        weight_type: the type of matrices; norms, biases and positions are always f32.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ExportError: the package `gguf` is missing, llama.cpp has no such block, the type cannot
            hold a weight, or a file exists or cannot be written.
    """
    try:
        from gguf import GGUFWriter
    except ImportError:
        raise ExportError(
            "GGUF files cannot be written",
            "the package gguf is not installed",
            "install it: pip install gguf",
        ) from None
    modelfile = target.with_suffix(".Modelfile")
    for path in (target, modelfile):
        written.check_free(path)
    report("reading the checkpoint")
    saved = checkpoint.read(source)
    _check_family(saved)
    made = huggingface.architecture_of(saved)
    tokenizer = saved.tokenizer()
    _check(saved, made)
    if isinstance(tokenizer, ForeignTokenizer):
        raise ExportError(
            f"{source.name} cannot be written as GGUF",
            "llama.cpp knows the tokenizers of imported models only by their names",
            "convert the original model, or use --format huggingface",
        )
    report("converting the weights")
    with written.file(modelfile) as text, written.file(target) as temporary:
        writer = GGUFWriter(temporary, made.model_type)
        _describe(writer, saved, made, weight_type)
        gguf_tokenizer.add(writer, tokenizer, begin=saved.state.begins_documents)
        _add_weights(writer, saved, made, weight_type)
        report("writing the file")
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        text.write_text(_modelfile(saved, target), encoding="utf-8")
    total = target.stat().st_size
    return Written(
        target,
        total,
        f"saved {target}: {made.model_type} for llama.cpp, {weight_type}, {size(total)}",
        _usage(saved, target, modelfile),
        _notes(made, weight_type),
        {"architecture": made.model_type, "type": weight_type, "bytes": total},
    )


def _check_family(saved: Checkpoint) -> None:
    config = saved.preset.model
    if not isinstance(config, GptModel):
        raise ExportError(
            f"{saved.path.name} cannot be written as GGUF",
            f"llama.cpp does not compute {config.kind} models",
            "use --format huggingface",
        )


def _check(saved: Checkpoint, made: Architecture) -> None:
    config = saved.preset.model
    assert isinstance(config, GptModel)
    if made.name == "own" or (made.name == "Arcee" and config.bias):
        block: list[str] = [config.position, config.norm, config.activation]
        block += ["qk_norm"] * config.qk_norm + ["bias"] * config.bias
        block += ["value_embeddings"] * config.value_embeddings
        block += ["ngram_order"] * (config.ngram_order > 1)
        raise ExportError(
            f"{saved.path.name} cannot be written as GGUF",
            f"llama.cpp does not compute its block ({', '.join(block)})",
            "use --format huggingface",
        )


def _describe(
    writer: "GGUFWriter", saved: Checkpoint, made: Architecture, weight_type: WeightType
) -> None:
    from gguf import LlamaFileType

    config = saved.preset.model
    assert isinstance(config, GptModel)
    kinds = {
        "f32": LlamaFileType.ALL_F32,
        "f16": LlamaFileType.MOSTLY_F16,
        "q8_0": LlamaFileType.MOSTLY_Q8_0,
    }
    writer.add_type("model")
    writer.add_name(one_line(saved.preset.title or saved.preset.name, 80))
    writer.add_file_type(kinds[weight_type])
    writer.add_quantization_version(2)
    writer.add_context_length(config.block_size)
    writer.add_embedding_length(config.n_embd)
    writer.add_block_count(config.n_layer)
    writer.add_feed_forward_length(config.feed_forward_width)
    writer.add_head_count(config.n_head)
    writer.add_head_count_kv(config.heads_of_keys)
    if made.name == "GPT2":
        writer.add_layer_norm_eps(config.norm_eps)
        return
    width = config.width_of_head
    writer.add_vocab_size(saved.state.n_vocab)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(config.rope_base)
    writer.add_key_length(width)
    writer.add_value_length(width)


def _add_weights(
    writer: "GGUFWriter", saved: Checkpoint, made: Architecture, weight_type: WeightType
) -> None:
    from gguf import GGMLQuantizationType, quants

    config = saved.preset.model
    assert isinstance(config, GptModel)
    for theirs, value in made.weights.items():
        name, tensor = _name(theirs), value
        if made.name == "GPT2" and value.dim() == 2 and ".h." in theirs:
            tensor = value.t()  # the file has them as `(outputs, inputs)`
        if made.name in ("Llama", "Arcee") and name.split(".")[2:3] in (["attn_q"], ["attn_k"]):
            is_query = name.split(".")[2] == "attn_q"
            tensor = _interleaved(tensor, config.n_head if is_query else config.heads_of_keys)
        data = tensor.contiguous().numpy()
        if tensor.dim() < 2 or name == "position_embd.weight" or weight_type == "f32":
            writer.add_tensor(name, data)
        elif weight_type == "q8_0" and data.shape[1] % _GROUP == 0:
            kind = GGMLQuantizationType.Q8_0
            writer.add_tensor(name, quants.quantize(data, kind), raw_dtype=kind)
        else:
            if float(tensor.abs().max()) > torch.finfo(torch.float16).max:
                raise ExportError(
                    f"{name} does not fit {weight_type}",
                    "it has a weight above 65,504",
                    "use --type f32",
                )
            writer.add_tensor(name, data.astype("float16"))


def _name(theirs: str) -> str:
    """The name of a tensor in a file of llama.cpp: `blk.0.attn_q.weight`."""
    name, _, kind = theirs.rpartition(".")
    for prefix, table in (("transformer.h.", _GPT2_LAYER), ("model.layers.", _LLAMA_LAYER)):
        if name.startswith(prefix):
            layer, _, part = name.removeprefix(prefix).partition(".")
            return f"blk.{layer}.{table[part]}.{kind}"
    return f"{(_GPT2 | _LLAMA)[name]}.{kind}"


def _interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rows of queries or keys for rotations of neighbours instead of halves."""
    shape = (heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    return weight.view(shape).transpose(1, 2).reshape(weight.shape)


def _modelfile(saved: Checkpoint, target: Path) -> str:
    """How Ollama runs the file: plain completion, with the sampling of the preset."""
    sampling, n_vocab = saved.preset.sampling, saved.state.n_vocab
    parameters: dict[str, Any] = {
        "num_ctx": saved.preset.model.block_size,
        "temperature": sampling.temperature,
        "top_k": n_vocab if sampling.top_k is None else min(sampling.top_k, n_vocab),
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "min_p": 0.0,
        "repeat_penalty": sampling.repetition_penalty,
    }
    lines = [
        f"FROM ./{target.name}",
        'TEMPLATE """{{ .Prompt }}"""',
        *(f"PARAMETER {name} {value}" for name, value in parameters.items()),
        *(f"PARAMETER stop {json.dumps(one)}" for one in sampling.stop),
    ]
    return "\n".join(lines) + "\n"


def _usage(saved: Checkpoint, target: Path, modelfile: Path) -> tuple[Usage, ...]:
    name = "".join(one if one.isalnum() and one.isascii() else "-" for one in target.stem.lower())
    file, model = shlex.quote(str(target)), shlex.quote(name.strip("-") or "my-model")
    create = f"ollama create {model} -f {shlex.quote(str(modelfile))} && ollama run {model} Once"
    return (
        Usage("with Ollama", create),
        Usage("with llama.cpp", f"llama-completion -m {file} -no-cnv -p Once"),
    )


def _notes(made: Architecture, weight_type: WeightType) -> tuple[str, ...]:
    notes = []
    if made.settings.get("activation_function") == "gelu":
        notes.append("llama.cpp computes the tanh form of GELU: its logits differ slightly")
    if weight_type != "f32":
        notes.append(f"the weights are rounded to {weight_type}: logits differ; f32 is exact")
    return tuple(notes)
