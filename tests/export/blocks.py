"""Models by the class that holds them, and texts that tokenizers read differently."""

from typing import Any

MODERN: dict[str, Any] = {"position": "rope", "norm": "rmsnorm"}
BLOCKS: dict[str, dict[str, Any]] = {
    "GPT2": {},
    "GPT2 without biases": {"bias": False, "tie_weights": False},
    "Llama": {**MODERN, "activation": "swiglu", "bias": False},
    "Llama with biases": {**MODERN, "activation": "swiglu", "tie_weights": False},
    "Arcee": {**MODERN, "activation": "relu2", "bias": False},
    "Arcee with biases": {**MODERN, "activation": "relu2"},
    "Qwen3": {**MODERN, "activation": "swiglu", "qk_norm": True, "bias": False},
    "own": {**MODERN, "activation": "relu2", "qk_norm": True, "bias": False},
    "own learned": {"norm": "rmsnorm", "activation": "swiglu", "tie_weights": False},
    "own gelu": {"position": "rope", "qk_norm": True},
    "own n-grams": {"ngram_order": 3, "ngram_rows": 97},
    "own values": {"value_embeddings": True, "n_kv_head": 1},
}
# One model of each family that no class of transformers computes, by its kind.
OWN: dict[str, dict[str, Any]] = {
    "gpt": {"ngram_order": 4, "ngram_rows": 97, "value_embeddings": True, "block_size": 96},
    "hgrn": {"conv_size": 4, "lower_bound": True, "n_layer": 2, "n_embd": 16, "block_size": 32},
    "hnet": {
        "d_model": (16, 16, 24),
        "num_blocks": ((1, 0, 0), (0, 0, 1), (1,)),
        "conv_size": 4,
        "lower_bound": True,
        "expand_ratio": 2,
        "block_size": 32,
    },
}
HOSTILE = [
    "",
    "<|endoftext|>",
    "a<|endoftext|>b<|begin_of_text|>",
    "x" * 10_000 + " " * 9000 + "!" * 5000,
    "\t\n" * 3000 + "\x00\x01\x1c\x85\u2028\ufeff",
    "Łódź 日本語 🤗👨‍👩‍👧 \u202e a\u0301 ½ Ⅷ ²³ ▁▁",
    "'s 'S don't I'LL  a   b\r\n\r\n e\t",
]
