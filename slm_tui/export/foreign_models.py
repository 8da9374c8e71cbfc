"""What the `config.json` and the tensors of a transformers model are in our terms."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from slm_tui.config.models.gpt import GptModel
from slm_tui.config.preset import problems
from slm_tui.errors import ImportedModelError
from slm_tui.export import architectures
from slm_tui.export.architectures import GPT2_PARTS, LLAMA_PARTS, Name
from slm_tui.models.build import build

_READ = "slm-tui reads GPT2, Llama, Arcee and Qwen3"
# Constants that some files store beside the weights.
_CONSTANTS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")
_MOST_CONTEXT = 16_384
_GELU = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
_NAMES: dict[str, Name] = {
    "gpt2": "GPT2",
    "llama": "Llama",
    "arcee": "Arcee",
    "qwen3": "Qwen3",
    "slm_tui_gpt": "own",
}


class _Settings:
    """The values of a `config.json`, each with its type checked."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def get(self, name: str, default: Any = None) -> Any:
        value = self._values.get(name)
        return default if value is None else value

    def whole(self, name: str, default: int | None = None) -> int:
        value = self.get(name, default)
        if type(value) is not int or not 0 < value < 2**31:
            raise _bad(f"{name} is {value!r}, not a positive whole number")
        return value

    def number(self, name: str, default: float) -> float:
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _bad(f"{name} is {value!r}, not a number")
        if not math.isfinite(value) or value <= 0:
            raise _bad(f"{name} is {value!r}, not a positive number")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self.get(name, default)
        if not isinstance(value, bool):
            raise _bad(f"{name} is {value!r}, not true or false")
        return value

    def only(self, name: str, *allowed: Any) -> None:
        """Raise unless `name` has one of these values or is unset; the first is the usual one."""
        value = self.get(name, allowed[0])
        if value not in allowed:
            raise ImportedModelError(
                "this model cannot be imported",
                f"its {name} is {value!r}, which slm-tui does not compute",
                f"choose a model with {allowed[0]!r}",
            )


def _bad(why: str) -> ImportedModelError:
    return ImportedModelError("config.json cannot be used", why, "download the model again")


def model_of(values: Any, context: int | None = None) -> tuple[Name, GptModel, int]:
    """The class, our settings and the vocabulary size of a `config.json`.

    Args:
        values: as parsed, from anyone.
        context: the longest context to use, in tokens; `None` for the model's own, up to 16,384.

    Raises:
        ImportedModelError: another class, a value of the wrong type or out of range, or a feature
            that our blocks do not have.
    """
    if not isinstance(values, Mapping):
        raise _bad("it does not hold an object")
    settings = _Settings(values)
    kind = settings.get("model_type")
    name = _NAMES.get(kind) if isinstance(kind, str) else None
    if name is None:
        what = next(iter(_texts(settings.get("architectures"))), None) or kind or "not named"
        extra = ", and never runs code of a model" if "auto_map" in values else ""
        raise ImportedModelError(
            "this model cannot be imported",
            f"its class is {what}; {_READ}{extra}",
            "choose a model of one of these classes",
        )
    if settings.get("quantization_config") is not None:
        raise ImportedModelError(
            "this model cannot be imported",
            "its weights are quantised",
            "choose the original, with weights in fp32, fp16 or bf16",
        )
    ours = _READERS[name](settings)
    n_vocab = settings.whole("vocab_size")
    block_size = min(int(ours["block_size"]), _MOST_CONTEXT)
    if context is not None:
        if ours["position"] == "learned" and context != block_size:
            raise ImportedModelError(
                "the context cannot be changed", "its positions are learned", "omit --context"
            )
        block_size = min(context, block_size)
    try:
        return name, GptModel.model_validate({**ours, "block_size": block_size}), n_vocab
    except ValidationError as error:
        raise _bad("; ".join(map(str, problems(error)))) from None


def _texts(values: Any) -> list[str]:
    return [one for one in values if isinstance(one, str)] if isinstance(values, list) else []


def _gpt2(settings: _Settings) -> dict[str, Any]:
    settings.only("scale_attn_weights", True)
    settings.only("scale_attn_by_inverse_layer_idx", False)
    settings.only("add_cross_attention", False)
    settings.only("activation_function", "gelu_new", *_GELU)
    width = settings.whole("n_embd", 768)
    return {
        "n_layer": settings.whole("n_layer", 12),
        "n_head": settings.whole("n_head", 12),
        "n_embd": width,
        "inner_width": settings.whole("n_inner", 4 * width),
        "block_size": settings.whole("n_positions", 1024),
        "activation": _GELU[settings.get("activation_function", "gelu_new")],
        "norm_eps": settings.number("layer_norm_epsilon", 1e-5),
        "tie_weights": settings.flag("tie_word_embeddings", True),
        "position": "learned",
        "norm": "layernorm",
        "bias": True,
    }


def _rotary(settings: _Settings, activation: str, *, ties: bool = False) -> dict[str, Any]:
    scaling, base = _rope(settings)
    if scaling != "default":
        raise ImportedModelError(
            "this model cannot be imported",
            f"its rotary positions are scaled ({scaling}), which slm-tui does not compute",
            "choose a model without rope scaling",
        )
    settings.only("partial_rotary_factor", 1.0)
    settings.only("hidden_act", "relu2" if activation == "relu2" else "silu")
    heads, width = settings.whole("num_attention_heads"), settings.whole("hidden_size")
    biases = settings.flag("attention_bias", False) or settings.flag("mlp_bias", False)
    return {
        "n_layer": settings.whole("num_hidden_layers"),
        "n_head": heads,
        "n_kv_head": settings.whole("num_key_value_heads", heads),
        "n_embd": width,
        "head_width": settings.whole("head_dim", max(1, width // heads)),
        "inner_width": settings.whole("intermediate_size"),
        "block_size": settings.whole("max_position_embeddings", 2048),
        "activation": activation,
        "rope_base": base,
        "norm_eps": settings.number("rms_norm_eps", 1e-6),
        "tie_weights": settings.flag("tie_word_embeddings", ties),
        "position": "rope",
        "norm": "rmsnorm",
        "bias": biases,
    }


def _rope(settings: _Settings) -> tuple[str, float]:
    """The kind of scaling and the base: in one object in newer files, beside it in older ones."""
    base, kind = settings.number("rope_theta", 10_000.0), "default"
    for name in ("rope_scaling", "rope_parameters"):
        inner = settings.get(name)
        if inner is None:
            continue
        if not isinstance(inner, Mapping):
            raise _bad(f"{name} is {inner!r}, not an object")
        base = _Settings(inner).number("rope_theta", base)
        own = str(inner.get("rope_type", inner.get("type", "default")))
        kind = kind if own == "default" else own
    return kind, base


def _qwen3(settings: _Settings) -> dict[str, Any]:
    settings.only("use_sliding_window", False)
    if set(_texts(settings.get("layer_types"))) - {"full_attention"}:
        settings.only("layer_types", ["full_attention"])
    ours = _rotary(settings, "swiglu")
    if ours["bias"]:
        settings.only("attention_bias", False)
    qk_norm = {"qk_norm": True, "qk_norm_weights": True, "qk_norm_eps": ours["norm_eps"]}
    return {**ours, **qk_norm, "head_width": settings.whole("head_dim", 128)}


def _own(settings: _Settings) -> dict[str, Any]:
    heads, width = settings.whole("num_attention_heads"), settings.whole("hidden_size")
    return {
        "n_layer": settings.whole("num_hidden_layers"),
        "n_head": heads,
        "n_kv_head": settings.whole("num_key_value_heads", heads),
        "n_embd": width,
        "head_width": settings.whole("head_dim", max(1, width // heads)),
        "inner_width": settings.whole("intermediate_size"),
        "block_size": settings.whole("max_position_embeddings"),
        "rope_base": settings.number("rope_base", 10_000.0),
        "norm_eps": settings.number("norm_eps", 1e-5),
        "qk_norm_eps": settings.number("qk_norm_eps", 2.0**-23),
        "tie_weights": settings.flag("tie_word_embeddings", True),
        "bias": settings.flag("bias", False),
        "qk_norm": settings.flag("qk_norm", False),
        "qk_norm_weights": settings.flag("qk_norm_weights", False),
        "value_embeddings": settings.flag("value_embeddings", False),
        "ngram_order": settings.get("ngram_order", 0),
        "ngram_rows": settings.whole("ngram_rows", 8192),
        **{name: settings.get(name) for name in ("position", "norm", "activation")},
    }


_READERS: dict[Name, Callable[[_Settings], dict[str, Any]]] = {
    "GPT2": _gpt2,
    "Llama": lambda settings: _rotary(settings, "swiglu"),
    "Arcee": lambda settings: _rotary(settings, "relu2"),
    "Qwen3": _qwen3,
    "own": _own,
}


def expected_shapes(name: Name, config: GptModel, n_vocab: int) -> dict[str, torch.Size]:
    """The shape of every tensor by its name in the file; allocates nothing."""
    outline = build(config, n_vocab, torch.device("meta"), None)
    weights = {key: value.detach() for key, value in outline.named_parameters()}
    theirs = architectures.architecture(config, n_vocab, weights, name).weights
    return {key: value.shape for key, value in theirs.items()}


def plain_name(name: Name, key: str) -> str | None:
    """The name of a tensor as `expected_shapes` has it; `None` for constants."""
    if key.endswith(_CONSTANTS):
        return None
    if name == "GPT2" and key.startswith(("wte.", "wpe.", "h.", "ln_f.")):
        return f"transformer.{key}"
    return key


def ours(name: Name, config: GptModel, theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by the names of the class, as our weights in fp32."""
    if name == "own":
        return {key: value.float() for key, value in theirs.items()}
    weights = {key: value.float() for key, value in theirs.items()}
    made = dict[str, Tensor]()
    if name == "GPT2":
        made["token_embedding.weight"] = weights["transformer.wte.weight"]
        made["position_embedding.weight"] = weights["transformer.wpe.weight"]
        places = {"final_norm": "transformer.ln_f"}
        for layer in range(config.n_layer):
            for part, place in GPT2_PARTS.items():
                places[f"blocks.{layer}.{part}"] = f"transformer.h.{layer}.{place}"
        for part, place in places.items():
            value = weights[f"{place}.weight"]
            made[f"{part}.weight"] = value.t().contiguous() if value.dim() == 2 else value
            made[f"{part}.bias"] = weights[f"{place}.bias"]
    else:
        made["token_embedding.weight"] = weights["model.embed_tokens.weight"]
        made["final_norm.weight"] = weights["model.norm.weight"]
        for layer in range(config.n_layer):
            _llama_layer(weights, layer, made)
    if not config.tie_weights:
        made["head.weight"] = weights["lm_head.weight"]
    return made


def _llama_layer(weights: Mapping[str, Tensor], layer: int, made: dict[str, Tensor]) -> None:
    place, block = f"model.layers.{layer}", f"blocks.{layer}"
    for kind in ("weight", "bias"):
        for part, name in LLAMA_PARTS.items():
            value = weights.get(f"{place}.{name}.{kind}")
            if value is not None:
                made[f"{block}.{part}.{kind}"] = value
        parts = [weights.get(f"{place}.self_attn.{one}_proj.{kind}") for one in "qkv"]
        if parts[0] is not None:
            made[f"{block}.attention.qkv.{kind}"] = torch.cat(
                [one for one in parts if one is not None]
            )
    for name, part in (("q_norm", "query_norm"), ("k_norm", "key_norm")):
        value = weights.get(f"{place}.self_attn.{name}.weight")
        if value is not None:
            made[f"{block}.attention.{part}.weight"] = value
