"""How fast a model reads and generates on this machine, and how much memory it takes."""

import time
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from slm_tui.models.base import LanguageModel

_WARM_UP = 3
_FEWEST, _MOST = 5, 20
_SECONDS = 2.0
_WRITTEN = 50


@torch.inference_mode()
def measure(
    model: LanguageModel, end_of_text: int, step: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Times for one completion, medians of a few runs after a warm-up, in milliseconds.

    `forward` reads `block_size` tokens at once; `first_token` reads half as many and computes
    the logits of the next; `per_token` is the time of one more cached token, over 50 of them.
    """
    device = next(model.parameters()).device
    block = model.block_size
    ids = torch.full((1, block), end_of_text, dtype=torch.int64, device=device)
    prompt = ids[:, : max(1, block // 2)]
    forward = _times(lambda: model(ids), device, step)
    first = _times(lambda: model.step(prompt, model.start(1)), device, step)
    written = min(_WRITTEN, block - 1)
    per_token = _writing(model, ids[:, :1], written, device, step) if written else first
    figures: dict[str, Any] = {
        "block_size": block,
        "forward_ms": forward * 1e3,
        "forward_tokens_per_second": block / forward,
        "first_token_ms": first * 1e3,
        "prompt_tokens": prompt.shape[1],
        "generation_ms_per_token": per_token * 1e3,
        "generation_tokens_per_second": 1 / per_token,
        "parameter_bytes": sum(one.numel() * one.element_size() for one in model.parameters()),
        "cache_bytes_per_text": tensor_bytes(model.start(1)),
    }
    if device.type == "cuda":
        figures["peak_gpu_bytes"] = torch.cuda.max_memory_allocated(device)
    return figures


def _writing(
    model: LanguageModel, one: Tensor, count: int, device: torch.device, step: Callable[[], None]
) -> float:
    times = []
    for _ in range(3):
        state = model.start(1)
        model.step(one, state)
        step()
        _wait(device)
        began = time.perf_counter()
        for _ in range(count):
            model.step(one, state)
        _wait(device)
        times.append((time.perf_counter() - began) / count)
    return median(times)


def _times(call: Callable[[], object], device: torch.device, step: Callable[[], None]) -> float:
    """The median seconds of `call`."""
    for _ in range(_WARM_UP):
        step()
        call()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < _MOST:
        step()
        _wait(device)
        start = time.perf_counter()
        call()
        _wait(device)
        times.append(time.perf_counter() - start)
        if len(times) >= _FEWEST and time.perf_counter() - began > _SECONDS:
            break
    return median(times)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def tensor_bytes(value: Any) -> int:
    """Bytes of all tensors in `value`: a tensor, or dataclasses, lists and dicts of them."""
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    if is_dataclass(value):
        return sum(tensor_bytes(getattr(value, one.name)) for one in fields(value))
    if isinstance(value, dict):
        return sum(tensor_bytes(one) for one in value.values())
    if isinstance(value, (list, tuple)):
        return sum(tensor_bytes(one) for one in value)
    return 0


def parameters(model: LanguageModel) -> dict[str, int]:
    """All parameters, and those that are not embeddings or the output layer."""
    groups = model.parameter_groups()
    total = sum(one.numel() for one in model.parameters())
    outer = sum(
        one.numel() for group in groups if group.role == "embedding" for _, one in group.parameters
    )
    return {"total": total, "non_embedding": total - outer}
