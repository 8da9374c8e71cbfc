"""The classes of `transformers` that compute what a GPT of ours computes, with our weights.

| our block | class |
|---|---|
| learned positions, LayerNorm, GELU | GPT2 |
| rotary positions, RMSNorm, SwiGLU | Llama |
| rotary positions, RMSNorm, squared ReLU | Arcee |
| rotary positions, RMSNorm, SwiGLU, QK-norm, no biases | Qwen3 |

Llama, Arcee and Qwen3 name their weights alike; those of GPT2 are transposed. Other blocks have no
class, nor have HGRN and H-Net: `own` keeps our names, for code that is written beside the weights.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from slm_tui.config.model import ModelConfig
from slm_tui.config.models.gpt import GptModel
from slm_tui.config.models.hgrn import BlockSettings, HgrnModel
from slm_tui.config.models.hnet import HnetModel

Name = Literal["GPT2", "Llama", "Arcee", "Qwen3", "own"]
_GPT_CODE = "modeling_slm_tui"
_HGRN_CODE = "modeling_slm_tui_hgrn"
_HNET_CODE = "modeling_slm_tui_hnet"


@dataclass(frozen=True)
class Architecture:
    """A class: its name, the value of `model_type`, its settings and weights by their names.

    `code` are our files that compute it, the one with the class first; none if transformers does.
    """

    name: Name
    model_type: str
    class_name: str
    settings: dict[str, Any]
    weights: dict[str, Tensor]
    code: tuple[str, ...] = ()


def name_of(config: GptModel) -> Name:
    """The class that computes the same function; `own` if there is none."""
    if config.value_embeddings or config.ngram_order > 1:
        return "own"
    usual_heads = (
        config.width_of_head * config.n_head == config.n_embd
        and config.heads_of_keys == config.n_head
    )
    if config.position == "learned":
        gelu = config.activation in ("gelu", "gelu_tanh")
        plain = config.norm == "layernorm" and gelu and usual_heads
        return "GPT2" if plain and not config.qk_norm else "own"
    if config.norm != "rmsnorm":
        return "own"
    if config.activation == "relu2":
        return "own" if config.qk_norm else "Arcee"
    if config.activation != "swiglu":
        return "own"
    if not config.qk_norm:
        return "Llama"
    return "own" if config.bias else "Qwen3"


def architecture(
    config: ModelConfig, n_vocab: int, weights: Mapping[str, Tensor], name: Name | None = None
) -> Architecture:
    """The class for `config`, with `weights` (by our names, fp32) under its names.

    `name` is the class if it is known; `own` holds any.
    """
    if isinstance(config, HgrnModel):
        return _own("Hgrn", (_HGRN_CODE,), _hgrn_settings(config, n_vocab), weights)
    if isinstance(config, HnetModel):
        return _own("Hnet", (_HNET_CODE, _HGRN_CODE), _hnet_settings(config, n_vocab), weights)
    name = name_of(config) if name is None else name
    if name == "own":
        return _own("", (_GPT_CODE,), _gpt_settings(config, n_vocab), weights)
    model_type, class_name, make = _CLASSES[name]
    settings, theirs = make(config, n_vocab, weights)
    return Architecture(name, model_type, class_name, settings, theirs)


def _own(
    family: str, code: tuple[str, ...], settings: dict[str, Any], weights: Mapping[str, Tensor]
) -> Architecture:
    """A class of our own code, `SlmTuiForCausalLM` for a GPT, with our names of weights."""
    class_name = f"SlmTui{family}ForCausalLM"
    places = {
        "AutoConfig": f"{code[0]}.SlmTui{family}Config",
        "AutoModelForCausalLM": f"{code[0]}.{class_name}",
    }
    files = tuple(f"{one}.py" for one in code)
    model_type = f"slm_tui_{family.lower() or 'gpt'}"
    return Architecture(
        "own", model_type, class_name, {**settings, "auto_map": places}, dict(weights), files
    )


# Our parts of a layer, and the names of those classes.
GPT2_PARTS = {
    "attention_norm": "ln_1",
    "attention.qkv": "attn.c_attn",
    "attention.projection": "attn.c_proj",
    "feed_forward_norm": "ln_2",
    "feed_forward.expand": "mlp.c_fc",
    "feed_forward.projection": "mlp.c_proj",
}
LLAMA_PARTS = {
    "attention_norm": "input_layernorm",
    "attention.projection": "self_attn.o_proj",
    "feed_forward_norm": "post_attention_layernorm",
    "feed_forward.expand": "mlp.up_proj",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.projection": "mlp.down_proj",
}


def qkv_rows(config: GptModel) -> list[int]:
    """Rows of queries, keys and values in our joined matrix."""
    heads = (config.n_head, config.heads_of_keys, config.heads_of_keys)
    return [count * config.width_of_head for count in heads]


_Made = tuple[dict[str, Any], dict[str, Tensor]]


def _gpt2(config: GptModel, n_vocab: int, weights: Mapping[str, Tensor]) -> _Made:
    settings = {
        "vocab_size": n_vocab,
        "n_positions": config.block_size,
        "n_embd": config.n_embd,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_inner": config.feed_forward_width,
        "activation_function": "gelu" if config.activation == "gelu" else "gelu_pytorch_tanh",
        "layer_norm_epsilon": config.norm_eps,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "resid_pdrop": config.dropout,
        "tie_word_embeddings": config.tie_weights,
    }
    theirs = {
        "transformer.wte.weight": weights["token_embedding.weight"],
        "transformer.wpe.weight": weights["position_embedding.weight"],
    }
    for layer in range(config.n_layer):
        for ours, name in GPT2_PARTS.items():
            _gpt2_layer(weights, f"blocks.{layer}.{ours}", f"transformer.h.{layer}.{name}", theirs)
    _gpt2_layer(weights, "final_norm", "transformer.ln_f", theirs)
    if not config.tie_weights:
        theirs["lm_head.weight"] = weights["head.weight"]
    return settings, theirs


def _gpt2_layer(
    weights: Mapping[str, Tensor], ours: str, name: str, theirs: dict[str, Tensor]
) -> None:
    """GPT2's matrices are `(inputs, outputs)`, and it always has biases: 0 where we have none."""
    weight = weights[f"{ours}.weight"]
    theirs[f"{name}.weight"] = weight.t().contiguous() if weight.dim() == 2 else weight
    bias = weights.get(f"{ours}.bias")
    theirs[f"{name}.bias"] = weight.new_zeros(weight.shape[0]) if bias is None else bias


def _llama(config: GptModel, n_vocab: int, weights: Mapping[str, Tensor]) -> _Made:
    settings = {
        "vocab_size": n_vocab,
        "hidden_size": config.n_embd,
        "intermediate_size": config.feed_forward_width,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.heads_of_keys,
        "head_dim": config.width_of_head,
        "max_position_embeddings": config.block_size,
        "hidden_act": "relu2" if config.activation == "relu2" else "silu",
        "rms_norm_eps": config.norm_eps,
        # Version 5 reads the second, older ones the first.
        "rope_theta": config.rope_base,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_base},
        "attention_bias": config.bias,
        "mlp_bias": config.bias,
        "attention_dropout": config.dropout,
        "tie_word_embeddings": config.tie_weights,
    }
    theirs = {
        "model.embed_tokens.weight": weights["token_embedding.weight"],
        "model.norm.weight": weights["final_norm.weight"],
    }
    rows = qkv_rows(config)
    for layer in range(config.n_layer):
        for kind in ("weight", "bias"):
            for ours, name in LLAMA_PARTS.items():
                value = weights.get(f"blocks.{layer}.{ours}.{kind}")
                if value is not None:
                    theirs[f"model.layers.{layer}.{name}.{kind}"] = value
            joined = weights.get(f"blocks.{layer}.attention.qkv.{kind}")
            if joined is not None:
                for name, value in zip("qkv", torch.split(joined, rows), strict=True):
                    place = f"model.layers.{layer}.self_attn.{name}_proj.{kind}"
                    theirs[place] = value.contiguous()
    if not config.tie_weights:
        theirs["lm_head.weight"] = weights["head.weight"]
    return settings, theirs


def _qwen3(config: GptModel, n_vocab: int, weights: Mapping[str, Tensor]) -> _Made:
    """Qwen3 has one epsilon for all norms, ours has a smaller one for queries and keys.

    With queries s times as large, an epsilon s² times as large gives the same result:
    s·q / √(mean(s²q²) + s²ε) = q / √(mean(q²) + ε). The same holds for keys.
    """
    settings, theirs = _llama(config, n_vocab, weights)
    del settings["mlp_bias"]
    settings["use_sliding_window"] = False
    same = math.isclose(config.norm_eps, config.epsilon_of_qk_norm, rel_tol=1e-6)
    scale = 1.0 if same else math.sqrt(config.norm_eps / config.epsilon_of_qk_norm)
    for layer in range(config.n_layer):
        for name, ours in (("q", "query_norm"), ("k", "key_norm")):
            place = f"model.layers.{layer}.self_attn.{name}"
            weight = theirs[f"{place}_proj.weight"]
            theirs[f"{place}_proj.weight"] = weight if scale == 1 else weight * scale
            norm = weights.get(f"blocks.{layer}.attention.{ours}.weight")
            ones = weight.new_ones(config.width_of_head)
            theirs[f"{place}_norm.weight"] = ones if norm is None else norm
    return settings, theirs


def _gpt_settings(config: GptModel, n_vocab: int) -> dict[str, Any]:
    return {
        "vocab_size": n_vocab,
        "hidden_size": config.n_embd,
        "intermediate_size": config.feed_forward_width,
        "num_hidden_layers": config.n_layer,
        "num_attention_heads": config.n_head,
        "num_key_value_heads": config.heads_of_keys,
        "head_dim": config.width_of_head,
        "max_position_embeddings": config.block_size,
        "position": config.position,
        "norm": config.norm,
        "activation": config.activation,
        "bias": config.bias,
        "qk_norm": config.qk_norm,
        "qk_norm_weights": config.qk_norm_weights,
        "norm_eps": config.norm_eps,
        "qk_norm_eps": config.epsilon_of_qk_norm,
        "rope_base": config.rope_base,
        "value_embeddings": config.value_embeddings,
        "ngram_order": config.ngram_order,
        "ngram_rows": config.ngram_rows,
        "tie_word_embeddings": config.tie_weights,
    }


def _hgrn_settings(config: HgrnModel, n_vocab: int) -> dict[str, Any]:
    return {
        **_block_settings(config, n_vocab),
        "hidden_size": config.n_embd,
        "num_hidden_layers": config.n_layer,
        "tie_word_embeddings": config.tie_weights,
    }


def _hnet_settings(config: HnetModel, n_vocab: int) -> dict[str, Any]:
    return {
        **_block_settings(config, n_vocab),
        "widths": list(config.d_model),
        "num_blocks": [list(blocks) for blocks in config.num_blocks],
        "tie_word_embeddings": False,
    }


def _block_settings(config: BlockSettings, n_vocab: int) -> dict[str, Any]:
    names = ("hidden_ratio", "expand_ratio", "conv_size", "ternary", "lower_bound", "gate_order")
    return {"vocab_size": n_vocab, **{name: getattr(config, name) for name in names}}


_Make = Callable[[GptModel, int, Mapping[str, Tensor]], _Made]
_CLASSES: dict[Name, tuple[str, str, _Make]] = {
    "GPT2": ("gpt2", "GPT2LMHeadModel", _gpt2),
    "Llama": ("llama", "LlamaForCausalLM", _llama),
    "Arcee": ("arcee", "ArceeForCausalLM", _llama),
    "Qwen3": ("qwen3", "Qwen3ForCausalLM", _qwen3),
}
