"""The small runs on which the verdicts are measured."""

import itertools
import random
from pathlib import Path
from typing import Any

from slm_tui.config import overrides
from slm_tui.config.preset import Preset, parse

SIZES = ((1, 32), (2, 64), (3, 96))
RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
LENGTHS = (200, 600, 1500)
SCHEDULES = ("constant", "cosine")
# With Muon: rates of hidden matrices and of all other weights, in the blocks of `stories-tiny`.
MUON_SIZES = ((2, 64), (3, 96))
HIDDEN_RATES = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
OTHER_RATES = (4e-4, 4e-3, 1.2e-2, 4e-2, 1.2e-1, 4e-1)
MUON_LENGTHS = (300,)
_SEED = 20
_EVALUATIONS = 20
# Enough text that not every rate overfits.
_MUCH = ("200k tokens of stories", "300k characters of plays")
_BLOCKS = {
    "tie_weights": False,
    "position": "rope",
    "norm": "rmsnorm",
    "activation": "relu2",
    "zero_init": True,
}


def texts(file: Path | None) -> dict[str, dict[str, Any]]:
    """The data sections by name: built-in stories, and parts of `file` if it is given."""

    def stories(richness: str, tokens: int) -> dict[str, Any]:
        return {
            "kind": "stories",
            "richness": richness,
            "limit": {"tokens": tokens},
            "split": {"validation": 0.2, "test": 0.0},
        }

    found = {
        "600 tokens of stories": stories("small", 600),
        "3k tokens of stories": stories("small", 3_000),
        "30k tokens of stories": stories("rich", 30_000),
        "200k tokens of stories": stories("small", 200_000),
    }
    if file is not None:
        for characters in (20_000, 300_000):
            found[f"{characters // 1000}k characters of plays"] = {
                "kind": "file",
                "path": str(file),
                "limit": {"characters": characters},
                "split": {"validation": 0.1, "test": 0.0},
            }
    return found


def preset(
    data: dict[str, Any], size: tuple[int, int], rate: float, steps: int, schedule: str, seed: int
) -> Preset:
    """One run of the grid with AdamW."""
    timing = {"kind": schedule} | (
        {"warmup_fraction": 0.05, "minimum_ratio": 0.1} if schedule == "cosine" else {}
    )
    optimizer = {"kind": "adamw", "learning_rate": rate, "gradient_clip": 1.0}
    return _preset(data, size, {}, optimizer, timing, steps, seed)


def muon_preset(
    data: dict[str, Any],
    size: tuple[int, int],
    hidden_rate: float,
    other_rate: float,
    steps: int,
    seed: int,
) -> Preset:
    """One run of the grid with Muon."""
    optimizer = {
        "kind": "muon",
        "learning_rate": other_rate,
        "muon_learning_rate": hidden_rate,
        "weight_decay": 0.02,
        "gradient_clip": 1.0,
    }
    timing = {"kind": "linear", "warmup_fraction": 0.05, "minimum_ratio": 0.0}
    return _preset(data, size, _BLOCKS, optimizer, timing, steps, seed)


def _preset(
    data: dict[str, Any],
    size: tuple[int, int],
    blocks: dict[str, Any],
    optimizer: dict[str, Any],
    schedule: dict[str, Any],
    steps: int,
    seed: int,
) -> Preset:
    layers, width = size
    return parse(
        {
            "name": "measured",
            "data": data,
            "tokenizer": {"kind": "bpe", "vocab_size": 384},
            "model": {
                "kind": "gpt",
                "n_layer": layers,
                "n_head": 2,
                "n_embd": width,
                "block_size": 32,
                **blocks,
            },
            "optimizer": optimizer,
            "schedule": schedule,
            "training": {
                "max_steps": steps,
                "micro_batch": 8,
                "seed": seed,
                "threads": 1,
                "device": "cpu",
                "evaluate_every": max(1, steps // _EVALUATIONS),
                "evaluate_batches": 8,
                "sample_every": steps,
                "checkpoint_every": steps,
            },
            "sampling": {"prompts": ["Once upon a time"], "max_tokens": 40},
        },
        "a run of the grid",
    )


def presets(count: int, file: Path | None) -> list[tuple[str, Preset]]:
    """`count` runs of the grid in a fixed random order, each with what it is trained on."""
    every = list(itertools.product(texts(file).items(), SIZES, RATES, LENGTHS, SCHEDULES))
    random.Random(_SEED).shuffle(every)
    return [
        (name, preset(data, size, rate, steps, schedule, seed))
        for seed, ((name, data), size, rate, steps, schedule) in enumerate(every[:count])
    ]


def muon_presets(file: Path | None) -> list[tuple[str, Preset]]:
    """All runs with Muon in a fixed random order, each with what it is trained on."""
    few = {name: data for name, data in texts(file).items() if name in _MUCH}
    every = list(
        itertools.product(few.items(), MUON_SIZES, HIDDEN_RATES, OTHER_RATES, MUON_LENGTHS)
    )
    random.Random(_SEED).shuffle(every)
    return [
        (name, muon_preset(data, size, hidden, other, steps, seed))
        for seed, ((name, data), size, hidden, other, steps) in enumerate(every)
    ]


def changed(base: Preset, changes: tuple[str, ...]) -> Preset:
    """`base` with the changes of a remedy; evaluated as often as before."""
    made = overrides.apply(base, list(changes))
    steps = made.training.max_steps
    every = max(1, steps // _EVALUATIONS)
    return overrides.apply(
        made,
        [
            f"training.evaluate_every={every}",
            f"training.sample_every={steps}",
            f"training.checkpoint_every={steps}",
        ],
    )
