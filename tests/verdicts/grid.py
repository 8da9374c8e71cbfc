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
_SEED = 20
_EVALUATIONS = 20


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
    """One run of the grid."""
    layers, width = size
    timing = {"kind": schedule} | (
        {"warmup_fraction": 0.05, "minimum_ratio": 0.1} if schedule == "cosine" else {}
    )
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
            },
            "optimizer": {"kind": "adamw", "learning_rate": rate, "gradient_clip": 1.0},
            "schedule": timing,
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
