"""Speed and utilisation on a GPU, at three sizes; nothing without a GPU."""

import math
from collections.abc import Iterator

from slm_tui.config.preset import Preset, parse
from tests.benchmarks.figures import Figure

# Layers, width, heads, window, micro-batch; all but the smallest with GPT-2's vocabulary.
_SIZES = {
    "0.2M": (4, 64, 1, 256, 64, 512),
    "10M": (6, 384, 6, 256, 64, 1024),
    "124M": (12, 768, 12, 1024, 32, 50_257),
}
_TARGETS = {"124M": 0.40}


def gpu_figures(seconds: float) -> Iterator[Figure]:
    """Tokens per second, and model FLOPs relative to a large bf16 product on the same card."""
    import torch

    if not torch.cuda.is_available():
        yield Figure("GPU", math.nan, "", remark="there is none here")
        return
    from slm_tui.training.bench import bench

    for name in _SIZES:
        result = bench(_preset(name), seconds=seconds, compiled=True)
        best = max(result.rows, key=lambda row: row.tokens_per_second)
        setup = best.setup
        remark = f"micro-batch {setup.micro_batch}{', compiled' if setup.compiled else ''}; "
        remark += "; ".join([result.device, *result.notices])
        yield Figure(f"{name}, tokens per second", best.tokens_per_second, "tok/s", remark=remark)
        yield Figure(
            f"{name}, FLOPs over a {result.matmul_format} product",
            best.utilisation,
            "x",
            _TARGETS.get(name),
        )


def _preset(name: str) -> Preset:
    n_layer, n_embd, n_head, block_size, micro_batch, n_vocab = _SIZES[name]
    tokenizer: dict[str, object] = {"kind": "gpt2", "vocab_size": n_vocab}
    model = {"n_layer": n_layer, "n_embd": n_embd, "n_head": n_head, "block_size": block_size}
    training = {"micro_batch": micro_batch, "device": "cuda"}
    values = {"name": name, "tokenizer": tokenizer, "model": model, "training": training}
    return parse(values, name)
