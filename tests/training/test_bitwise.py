"""The same preset, seed, device and thread count give the same losses bit for bit, in another
process too; and the losses of two presets still match recorded ones."""

from pathlib import Path
from typing import Any

import pytest
import torch

from slm_tui.training import precision
from tests.conftest import make_tiny
from tests.training.forks import run
from tests.training.harness import train

CLASSIC: dict[str, Any] = {"model__n_layer": 2, "training__max_steps": 10}
MODERN: dict[str, Any] = {
    **CLASSIC,
    "model": {
        "n_layer": 2,
        "n_head": 2,
        "n_embd": 32,
        "block_size": 16,
        "bias": False,
        "position": "rope",
        "norm": "rmsnorm",
        "activation": "relu2",
        "qk_norm": True,
        "zero_init": True,
    },
}
MUON: dict[str, Any] = {"optimizer": {"kind": "muon", "learning_rate": 0.01}}
DROPS: dict[str, Any] = {"model__dropout": 0.2}
# Large enough for torch to use several threads.
WIDE: dict[str, Any] = {"model__n_embd": 64, "model__block_size": 32, "training__micro_batch": 8}


def losses(changes: dict[str, Any], directory: Path) -> tuple[list[float], int]:
    done = train(make_tiny(**changes), directory)
    assert done.reason == "done"
    return list(done.losses.values()), torch.get_num_threads()


@pytest.mark.parametrize(
    ("changes", "threads"),
    [
        pytest.param({}, 1, id="adamw"),
        pytest.param({}, 2, id="adamw, two threads"),
        pytest.param(MUON, 2, id="muon, two threads"),
        pytest.param({**DROPS, "training__accumulation": 3}, 2, id="dropout, two threads"),
        pytest.param({**DROPS, "training__precision": "fp16"}, 1, id="fp16"),
        pytest.param(
            {"training__precision": "bf16"},
            2,
            id="bf16, two threads",
            marks=pytest.mark.skipif(
                not precision.has_native_bf16(torch.device("cpu")),
                reason="this CPU has no native bf16",
            ),
        ),
    ],
)
def test_another_process_computes_the_same_losses(
    home: Path, changes: dict[str, Any], threads: int
) -> None:
    preset = {**CLASSIC, **WIDE, **changes, "training__threads": threads}
    preset["training__max_steps"] = 4
    one = run(losses, home / "one", preset, home / "one")
    two = run(losses, home / "two", preset, home / "two")
    assert one == two
    assert one[1] == threads
    assert len(set(one[0])) == 4


# Recorded with torch 2.13 on x86-64. Other versions and machines round differently.
KNOWN: dict[str, list[float]] = {
    "classic": [
        5.530788,
        5.45977,
        5.238696,
        5.028737,
        4.857146,
        4.736016,
        4.576228,
        4.486034,
        4.443458,
        4.370543,
    ],
    "modern": [
        5.52712,
        5.44071,
        5.002411,
        4.626242,
        4.354773,
        4.164288,
        3.904994,
        3.851475,
        3.765112,
        3.680446,
    ],
}


@pytest.mark.parametrize(("name", "changes"), [("classic", CLASSIC), ("modern", MODERN)])
def test_the_first_ten_losses_have_not_changed(
    home: Path, name: str, changes: dict[str, Any]
) -> None:
    result, _ = run(losses, home, {**changes, "training__precision": "fp32"}, home)
    assert result == pytest.approx(KNOWN[name], abs=1e-5)
