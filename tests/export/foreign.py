"""Models of transformers, made by the library itself from a configuration."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from slm_tui.export.tokenizer_files import tokenizer_json
from tests.export import exported

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 96,
    "tie_word_embeddings": False,
}
# By name: the configuration class and its settings.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "GPT2": (
        "GPT2Config",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96, "n_inner": 40},
    ),
    "GPT2 exact GELU": (
        "GPT2Config",
        {
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": 96,
            "activation_function": "gelu",
            "tie_word_embeddings": False,
        },
    ),
    "Llama": ("LlamaConfig", {**SMALL, "num_key_value_heads": 2, "rope_theta": 500_000.0}),
    "Llama attention bias": (
        "LlamaConfig",
        {**SMALL, "attention_bias": True, "head_dim": 12, "tie_word_embeddings": True},
    ),
    "Arcee": ("ArceeConfig", {**SMALL, "num_key_value_heads": 1, "mlp_bias": True}),
    "Qwen3": ("Qwen3Config", {**SMALL, "num_key_value_heads": 2, "head_dim": 16}),
}


def saved(name: str, path: Path, kind: str = "bpe", **changes: Any) -> Any:
    """Save a model with random weights and a tokenizer at `path`; return the model."""
    tokenizer = exported.tokenizer_of(kind)
    config_class, settings = MODELS[name]
    end = tokenizer.end_of_text
    # Models pad their vocabulary.
    values = {"vocab_size": tokenizer.n_vocab + 5, "eos_token_id": end, "bos_token_id": end}
    config = getattr(transformers, config_class)(**{**settings, **values, **changes})
    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            spread = 0.7 / 32**0.5 if parameter.dim() == 2 else 0.2
            drawn = torch.randn_like(parameter) * spread
            is_norm = "norm" in key or ".ln_" in key
            parameter.copy_(drawn + float(is_norm and key.endswith("weight")))
    model.save_pretrained(path)
    text = tokenizer_json(tokenizer, begin=name.startswith("Llama"))
    (path / "tokenizer.json").write_text(text, encoding="utf-8")
    return model


def edit(path: Path, **changes: Any) -> None:
    """Change values of the `config.json` in `path`; `None` removes one."""
    file = path / "config.json"
    values = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({key: one for key, one in values.items() if one is not None}))
