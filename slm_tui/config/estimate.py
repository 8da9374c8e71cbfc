"""The cost of a preset, from its settings alone: parameters, memory, epochs, time."""

import math
from dataclasses import dataclass

from slm_tui.config.preset import Preset

# Hoffmann et al. 2022 (arXiv:2203.15556): about 20 tokens per parameter is compute-optimal.
COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER = 20
# Below this, a smaller model would learn as much in the same time.
FEW_TOKENS_PER_PARAMETER = COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER / 4
# The built-in stories have few words and rules: a fifth of that is enough for them. Runs with four
# tokens per parameter come close to their entropy and do not overfit (docs/verdicts.md).
_FEW_TOKENS_OF_STORIES = FEW_TOKENS_PER_PARAMETER / 5
# Muennighoff et al. 2023 (arXiv:2305.16264): up to 4 epochs are nearly as good as fresh text.
MANY_EPOCHS = 4
# More than common processors reach in training, per core: times derived from it are a minimum.
_CORE_FLOPS = 60e9
DAY = 86_400.0
"""In seconds: a run that takes a CPU longer is announced before it starts."""


@dataclass(frozen=True)
class Calibration:
    """The speed of a device: `flops` per second, and a fixed cost of `seconds_per_layer`. There are
    `devices` of this kind; processes on a CPU share its cores, so that it is one."""

    device: str
    flops: float
    seconds_per_layer: float
    devices: int = 1


@dataclass(frozen=True)
class Estimate:
    """The budget of a preset. Counts are exact for the requested vocabulary; `train_tokens`,
    `memory_bytes` and `seconds` are estimates; `None` means not known yet."""

    n_vocab: int
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
        n_vocab: the actual vocabulary size, once the tokenizer exists.
        train_tokens: the actual length of the training split, once the corpus is prepared.
        calibration: speed of the device; without it, no time is estimated.
    """
    vocabulary = n_vocab or preset.tokenizer.expected_vocabulary
    total, embedding = preset.model.parameters(vocabulary)
    have = train_tokens if train_tokens is not None else _train_tokens(preset)
    steps = float(preset.training.max_steps)
    seconds = None
    if calibration is not None:
        each = step_seconds(preset, calibration, vocabulary)
        if preset.training.max_minutes is not None:
            steps = min(steps, max(1.0, 60 * preset.training.max_minutes // each))
        seconds = steps * each
    tokens = int(preset.tokens_per_step * steps)
    return Estimate(
        n_vocab=vocabulary,
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


def few_tokens_per_parameter(preset: Preset) -> float:
    """Below this, the text of the preset is little for its model."""
    return _FEW_TOKENS_OF_STORIES if preset.data.is_endless else FEW_TOKENS_PER_PARAMETER


def step_flops(preset: Preset, n_vocab: int) -> float:
    """Floating-point operations of one step, forward and backward, as counted by the model."""
    return preset.tokens_per_step * preset.model.flops(n_vocab)


def update_flops(preset: Preset, n_vocab: int) -> float:
    """Floating-point operations of Muon in one step: five rounds for each hidden matrix, in which
    it is multiplied about 2.5 times with a square one of its shorter side. The few operations of
    AdamW for each weight are not counted.
    """
    if preset.optimizer.kind != "muon":
        return 0.0
    total, embedding = preset.model.parameters(n_vocab)
    hidden = total - embedding
    # A layer has about twelve times as many weights as its width squared.
    width = math.sqrt(hidden / (12 * max(1, preset.model.layers)))
    return 5 * 2.5 * 2 * width * hidden


def step_seconds(preset: Preset, calibration: Calibration, n_vocab: int) -> float:
    """Expected time of one step. Several GPUs divide its passes; the time in which they exchange
    gradients is not part of it."""
    devices = min(preset.training.devices or calibration.devices, calibration.devices)
    passes = max(1.0, preset.training.accumulation / devices)
    fixed = calibration.seconds_per_layer * (preset.model.layers + 1) * passes
    # Each device updates all weights.
    flops = step_flops(preset, n_vocab) / devices + update_flops(preset, n_vocab)
    return fixed + flops / calibration.flops


def least_seconds_on_cpu(preset: Preset, cores: int, *, steps: int | None = None) -> float:
    """The least time that training takes on this many cores, in seconds.

    Args:
        steps: the remaining steps; `None` means all.
    """
    flops = step_flops(preset, preset.tokenizer.expected_vocabulary)
    steps = preset.training.max_steps if steps is None else steps
    seconds = flops * steps / (cores * _CORE_FLOPS)
    minutes = preset.training.max_minutes
    return seconds if minutes is None else min(seconds, 60 * minutes)


def _memory(preset: Preset, total: int, n_vocab: int) -> int:
    """Peak bytes: the process, weights, gradients, two moments, activations of a micro-batch."""
    return 350_000_000 + 16 * total + activation_bytes(preset, n_vocab, preset.training.micro_batch)


def activation_bytes(preset: Preset, n_vocab: int, sequences: int) -> int:
    """Bytes kept for the backward pass of `sequences` sequences in one forward pass, in fp32."""
    return 4 * sequences * preset.model.block_size * preset.model.activations(n_vocab)


def _train_tokens(preset: Preset) -> int | None:
    data = preset.data
    share = 1 - data.held_out()
    if data.limit.tokens is not None:
        return int(data.limit.tokens * share)
    size = data.expected_bytes()
    return None if size is None else int(size * share / preset.tokenizer.bytes_per_token)
