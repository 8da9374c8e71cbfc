"""Budgets: exact where possible, close where estimated."""

from pathlib import Path
from typing import Any

import pytest

from slm_tui.config import library
from slm_tui.config.estimate import (
    DAY,
    Calibration,
    estimate,
    least_seconds_on_cpu,
    step_flops,
    update_flops,
)
from slm_tui.config.overrides import apply
from tests.conftest import make_tiny


def test_epochs_are_tokens_over_training_text() -> None:
    numbers = estimate(make_tiny(), train_tokens=3840)
    assert (numbers.tokens_per_step, numbers.tokens) == (64, 768)
    assert numbers.epochs == 0.2
    assert numbers.tokens_per_parameter == 3840 / numbers.parameters


def test_the_prepared_corpus_takes_precedence() -> None:
    preset = library.get("stories-tiny")
    assert estimate(preset, n_vocab=400).parameters < estimate(preset).parameters


@pytest.mark.parametrize("name", ["stories-tiny", "stories-small", "educational-medium"])
def test_the_length_of_the_stories_is_about_right(name: str) -> None:
    from slm_tui.corpus.prepare import prepare

    preset = apply(library.get(name), ["tokenizer.kind=bytes"])
    if preset.data.limit.tokens is None:
        preset = apply(preset, ["data.documents=2000"])
    expected = estimate(preset).train_tokens
    assert expected == pytest.approx(len(prepare(preset).train), rel=0.35)


def test_a_missing_file_has_no_length() -> None:
    for path in ("/nowhere", "a\0b", "~nobody-has-this-name/x", ""):
        preset = make_tiny(data={"kind": "file", "path": path})
        assert estimate(preset).train_tokens is None or path == ""


def test_a_file_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "text.txt"
    file.write_text("x" * 10_000)
    data = {"kind": "file", "path": str(file), "split": {"validation": 0.2}}
    assert estimate(make_tiny(data=data)).train_tokens == 8000
    data["limit"] = {"characters": 1000}
    assert estimate(make_tiny(data=data)).train_tokens == 800


def test_time_grows_with_the_work() -> None:
    slow, fast = Calibration("cpu", 1e9, 1e-3), Calibration("gpu", 1e12, 1e-4)
    preset = library.get("stories-tiny")
    assert estimate(preset).seconds is None
    seconds = [estimate(preset, calibration=one).seconds or 0.0 for one in (slow, fast)]
    assert seconds[0] > seconds[1] > 0


def test_gpus_divide_the_time_and_processes_on_a_cpu_do_not() -> None:
    one, four = Calibration("cpu", 1e9, 1e-3), Calibration("gpu", 1e9, 1e-3, devices=4)
    changes = {"training": {"micro_batch": 2, "accumulation": 4, "devices": 2}}
    shared = make_tiny(**changes)
    alone = make_tiny(training={**changes["training"], "devices": 1})
    every = make_tiny(training={**changes["training"], "devices": 0})
    seconds = {
        name: estimate(preset, calibration=four).seconds
        for name, preset in (("alone", alone), ("shared", shared), ("every", every))
    }
    assert seconds["alone"] == estimate(alone, calibration=one).seconds
    assert seconds["shared"] == pytest.approx((seconds["alone"] or 0) / 2)
    assert seconds["every"] == pytest.approx((seconds["alone"] or 0) / 4)
    assert estimate(shared, calibration=one).seconds == seconds["alone"]


def test_flops_of_a_step_are_about_six_per_weight_and_token() -> None:
    preset = library.get("shakespeare-medium")
    numbers = estimate(preset)
    assert step_flops(preset, 1536) == pytest.approx(
        6 * numbers.parameters * numbers.tokens_per_step, rel=0.5
    )


@pytest.mark.parametrize("n_embd", [64, 256])
@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
def test_the_updates_of_muon_cost_about_what_its_rounds_multiply(
    n_embd: int, activation: str
) -> None:
    model = {"n_embd": n_embd, "n_layer": 3, "activation": activation}
    preset = make_tiny(model=model, optimizer={"kind": "muon"})
    outer = round(8 / 3 * n_embd) if activation == "swiglu" else 4 * n_embd
    matrices = [(n_embd, n_embd)] * 4 + [(n_embd, outer)] * (3 if activation == "swiglu" else 2)
    products = sum(5 * (4 * m * m * n + 2 * m**3) for m, n in matrices)
    assert update_flops(preset, 512) == pytest.approx(3 * products, rel=0.15)
    assert update_flops(make_tiny(model=model), 512) == 0
    speed = Calibration("cpu", 1e9, 1e-3)
    adamw, muon = (estimate(one, calibration=speed) for one in (make_tiny(model=model), preset))
    assert (muon.seconds or 0) > (adamw.seconds or 0)


def test_memory_grows_with_the_batch_and_holds_the_weights_four_times() -> None:
    small = estimate(make_tiny())
    large = estimate(make_tiny(training__micro_batch=64))
    assert large.memory_bytes > small.memory_bytes > 16 * small.parameters
    assert small.checkpoint_bytes == 12 * small.parameters


@pytest.mark.parametrize(
    ("tokenizer", "low", "high"),
    [
        ({"kind": "bytes"}, 1, 1),
        ({"kind": "bpe", "vocab_size": 257}, 1, 1.01),
        ({"kind": "bpe", "vocab_size": 1024}, 2.5, 3.5),
        ({"kind": "gpt2"}, 4, 4.5),
    ],
)
def test_bytes_per_token_follow_the_vocabulary(
    tokenizer: dict[str, Any], low: float, high: float
) -> None:
    assert low <= make_tiny(tokenizer=tokenizer).tokenizer.bytes_per_token <= high


@pytest.mark.parametrize("kind", ["hgrn", "hnet"])
def test_every_family_has_a_budget(kind: str) -> None:
    numbers = estimate(make_tiny(model={"kind": kind}), calibration=Calibration("cpu", 1e9, 1e-3))
    assert 0 < numbers.non_embedding < numbers.parameters
    assert numbers.seconds


def test_presets_for_a_gpu_take_days_on_two_cores_and_the_others_do_not() -> None:
    presets = [entry.preset for entry in library.entries() if entry.preset]
    days = {preset.name: least_seconds_on_cpu(preset, 2) / DAY for preset in presets}
    assert days["simplified-slm-flat"] > 2
    assert days["simplified-slm-2stage"] > 20
    small = [name for name in days if name.startswith(("bytes-", "stories-", "shakespeare-tiny"))]
    assert len(small) > 7
    assert max(days[name] for name in small) < 0.2
    preset = library.get("simplified-slm-flat")
    seconds = least_seconds_on_cpu(preset, 2, steps=100)
    assert seconds / DAY == pytest.approx(days[preset.name] / 100)
