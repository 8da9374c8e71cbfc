"""What a preset will cost, from the preset alone: parameters, memory, epochs, time."""

import itertools
import math
import os
from dataclasses import dataclass
from pathlib import Path

from slm_tui.config.data import (
    DataConfig,
    FileData,
    HuggingFaceData,
    StoriesData,
    vocabulary_size,
)
from slm_tui.config.model import GptModel, HgrnModel, HnetModel
from slm_tui.config.preset import Preset
from slm_tui.config.ready_made import ready_made

# Mean bytes of a story, measured over 2,000 stories of each richness.
STORY_BYTES = {"tiny": 405, "small": 593, "rich": 669}
# Bytes per token of BPE vocabularies on English text, measured on the built-in stories
# and on plays; between the points the value is interpolated over log2 of the size.
_BYTES_PER_TOKEN = ((257, 1.0), (512, 2.3), (1024, 2.9), (4096, 3.6), (16_384, 4.0), (65_536, 4.2))
# Hoffmann et al. 2022 (arXiv:2203.15556): about 20 tokens per parameter is compute-optimal.
COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER = 20
# With fewer than this a smaller model would learn as much in the time.
FEW_TOKENS_PER_PARAMETER = COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER / 4
# Muennighoff et al. 2023 (arXiv:2305.16264): up to four epochs are worth nearly fresh text.
MANY_EPOCHS = 4


@dataclass(frozen=True)
class Calibration:
    """How fast a device is: `flops` per second, and `seconds_per_layer` of fixed cost."""

    device: str
    flops: float
    seconds_per_layer: float


@dataclass(frozen=True)
class Estimate:
    """The budget of a preset. Counts are exact for the vocabulary asked for; `train_tokens`,
    `memory_bytes` and `seconds` are estimates; `None` means that it cannot be known yet."""

    parameters: int
    non_embedding: int
    tokens_per_step: int
    tokens: int
    train_tokens: int | None
    epochs: float | None
    tokens_per_parameter: float | None
    memory_bytes: int
    checkpoint_bytes: int
    seconds: float | None


def estimate(
    preset: Preset,
    *,
    n_vocab: int | None = None,
    train_tokens: int | None = None,
    calibration: Calibration | None = None,
) -> Estimate:
    """Compute the budget of `preset`.

    Args:
        n_vocab: the true vocabulary size, once the tokenizer is there.
        train_tokens: the true length of the training part, once the corpus is prepared.
        calibration: speed of the device; without it there is no time.
    """
    vocabulary = n_vocab or vocabulary_size(preset.tokenizer)
    total, embedding = parameters(preset, vocabulary)
    tokens = preset.tokens_per_step * preset.training.max_steps
    have = train_tokens if train_tokens is not None else _train_tokens(preset)
    seconds = None
    if calibration is not None:
        seconds = preset.training.max_steps * step_seconds(preset, calibration, vocabulary)
    return Estimate(
        parameters=total,
        non_embedding=total - embedding,
        tokens_per_step=preset.tokens_per_step,
        tokens=tokens,
        train_tokens=have,
        epochs=tokens / have if have else None,
        tokens_per_parameter=have / total if have else None,
        memory_bytes=_memory(preset, total, vocabulary),
        checkpoint_bytes=total * 12,
        seconds=seconds,
    )


def parameters(preset: Preset, n_vocab: int) -> tuple[int, int]:
    """`(all parameters, those in embeddings and an untied output layer)`."""
    model = preset.model
    if isinstance(model, GptModel):
        return _gpt(model, n_vocab)
    if isinstance(model, HgrnModel):
        return _hgrn(model, n_vocab)
    return _hnet(model, n_vocab)


def feed_forward_width(model: GptModel) -> int:
    """Inner width: 4 x n_embd, or 8/3 of it for SwiGLU's three matrices, a multiple of 8."""
    if model.activation == "swiglu":
        return -(-(8 * model.n_embd // 3) // 8) * 8
    return 4 * model.n_embd


def _gpt(model: GptModel, n_vocab: int) -> tuple[int, int]:
    width, inner = model.n_embd, feed_forward_width(model)
    norm = 2 * width if model.norm == "layernorm" and model.bias else width
    matrices = 3 if model.activation == "swiglu" else 2
    block = 4 * width * width + matrices * width * inner + 2 * norm
    if model.bias:
        block += 4 * width + (matrices - 1) * inner + width
    embedding = n_vocab * width * (1 if model.tie_weights else 2)
    if model.position == "learned":
        embedding += model.block_size * width
    return model.n_layer * block + norm + embedding, embedding


def _hgrn_block(width: int, expand: int, hidden_ratio: int, conv_size: int) -> int:
    """Parameters of one HGRN-bit block, norms of its ternary layers included."""
    recurrent = width * expand
    inner = 256 * -(-int(width * hidden_ratio * 2 / 3) // 256)
    matrices = 4 * width * recurrent + 3 * width * inner
    norms = 2 * width + 3 * width + recurrent + recurrent + width + inner
    return matrices + norms + conv_size * width


def _hgrn(model: HgrnModel, n_vocab: int) -> tuple[int, int]:
    block = _hgrn_block(model.n_embd, model.expand_ratio, model.hidden_ratio, model.conv_size)
    embedding = n_vocab * model.n_embd * (1 if model.tie_weights else 2)
    return embedding + model.n_embd + model.n_layer * block + model.n_embd, embedding


def _hnet(model: HnetModel, n_vocab: int) -> tuple[int, int]:
    embedding = 2 * n_vocab * model.d_model[0]
    total = embedding + model.d_model[0]
    for stage, (width, blocks) in enumerate(zip(model.d_model, model.num_blocks, strict=True)):
        total += sum(blocks) * _hgrn_block(width, 1, 4, 0)
        routed = stage < len(model.d_model) - 1
        total += 2 * width + 3 * width * width + width if routed else width
        if stage:
            total += width - model.d_model[stage - 1]
    return total, embedding


def step_flops(preset: Preset, n_vocab: int) -> float:
    """Floating-point operations of one step: 6 per matrix weight and token, plus attention.

    Source: Chowdhery et al. 2022 (arXiv:2204.02311), appendix B.
    """
    total, embedding = parameters(preset, n_vocab)
    model = preset.model
    if not isinstance(model, GptModel):
        return 6.0 * total * preset.tokens_per_step
    weights = total - embedding + n_vocab * model.n_embd
    attention = 12 * model.n_layer * model.n_embd * model.block_size
    return float(preset.tokens_per_step) * (6 * weights + attention)


def step_seconds(preset: Preset, calibration: Calibration, n_vocab: int) -> float:
    """Expected time of one step."""
    model = preset.model
    layers = sum(map(sum, model.num_blocks)) if isinstance(model, HnetModel) else model.n_layer
    fixed = calibration.seconds_per_layer * (layers + 1) * preset.training.accumulation
    return fixed + step_flops(preset, n_vocab) / calibration.flops


def _memory(preset: Preset, total: int, n_vocab: int) -> int:
    """Peak bytes: the program, weights, gradients, two moments, activations of a micro-batch."""
    return 350_000_000 + 16 * total + activation_bytes(preset, n_vocab, preset.training.micro_batch)


def activation_bytes(preset: Preset, n_vocab: int, sequences: int) -> int:
    """Bytes kept for the backward pass of so many sequences in one forward pass, in fp32."""
    model = preset.model
    tokens = sequences * model.block_size
    if isinstance(model, HnetModel):
        width, layers = max(model.d_model), sum(map(sum, model.num_blocks))
    else:
        width, layers = model.n_embd, model.n_layer
    # About 22 activations of the width are kept per block for the backward pass (norms,
    # q, k, v, attention, two of 4 x width), and the logits with their gradient.
    return 4 * tokens * (22 * width * layers + 3 * n_vocab)


def _train_tokens(preset: Preset) -> int | None:
    limit, data = preset.data.limit, preset.data
    if limit.tokens is not None:
        return int(limit.tokens * (1 - _held_out(data)))
    size = _source_bytes(preset)
    if size is None:
        return None
    size *= 1 - _held_out(data)
    return int(size / bytes_per_token(preset))


def _held_out(data: DataConfig) -> float:
    """The part of the text that is cut from training; none where validation has its own."""
    if isinstance(data, StoriesData):
        return 0.0
    entry = ready_made(data.dataset, data.config) if isinstance(data, HuggingFaceData) else None
    own = {
        "validation": getattr(data, "validation_split", "") or (entry.validation if entry else ""),
        "test": getattr(data, "test_split", "") or (entry.test if entry else ""),
    }
    ratios = {"validation": data.split.validation, "test": data.split.test}
    return sum(ratio for part, ratio in ratios.items() if own[part] in ("", "none"))


def _source_bytes(preset: Preset) -> float | None:
    data = preset.data
    size: float
    if isinstance(data, StoriesData):
        documents = min(data.documents, data.limit.documents or data.documents)
        size = documents * STORY_BYTES[data.richness]
    elif isinstance(data, FileData):
        try:
            size = os.stat(Path(data.path).expanduser()).st_size
        except (OSError, ValueError, RuntimeError):
            return None
    elif isinstance(data, HuggingFaceData):
        entry = ready_made(data.dataset, data.config)
        if entry is None:
            return None
        size = entry.bytes
    else:
        return None
    if data.limit.fraction is not None:
        size *= data.limit.fraction
    return min(size, data.limit.characters) if data.limit.characters is not None else size


def bytes_per_token(preset: Preset) -> float:
    """Expected bytes per token of the preset's tokenizer."""
    if preset.tokenizer.kind in ("bytes", "chars"):
        return 1.0
    size = vocabulary_size(preset.tokenizer)
    for (low, below), (high, above) in itertools.pairwise(_BYTES_PER_TOKEN):
        if size <= high:
            part = math.log2(max(size, low) / low) / math.log2(high / low)
            return below + part * (above - below)
    return _BYTES_PER_TOKEN[-1][1]
