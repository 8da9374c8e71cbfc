"""The shipped presets: sizes as counted by hand, and offline use with one override."""

import pytest

from slm_tui.config import library, overrides
from slm_tui.config.estimate import estimate, step_flops
from slm_tui.config.preset import Preset

# Parameters by the formula V·d + T·d + L(12d² + 13d) + 2d of a tied GPT with biases.
PARAMETERS = {
    "experiments-baseline": 16_041_728,
    "experiments-vocab-small": 5_735_936,
    "experiments-vocab-medium": 9_575_936,
    "experiments-embd-small": 7_234_432,
    "experiments-embd-large": 38_374_912,
    "experiments-embd-xlarge": 66_999_552,
    "experiments-arch-deep": 19_200_768,
    "experiments-arch-wide": 16_041_728,
    "experiments-data-small": 16_041_728,
    "experiments-data-medium": 16_041_728,
    "experiments-lr-high": 16_041_728,
    "experiments-lr-low": 16_041_728,
    "experiments-optimal-small": 20_272_128,
    "experiments-optimal-fast": 1_879_168,
    "experiments-mine": 34_340_864,
    "from-scratch": 29_995_392,
    "from-scratch-8k": 13_842_432,
    # Byte-level models, as their reference implementation counts.
    "simplified-slm-flat": 20_744_192,
    "simplified-slm-1stage": 21_356_032,
    "simplified-slm-2stage": 189_669_120,
    "simplified-slm-custom": 75_068_544,
}
VARIED = {
    "experiments-vocab-small": {"tokenizer.vocab_size"},
    "experiments-embd-large": {"model.n_embd"},
    "experiments-arch-deep": {"model.n_layer"},
    "experiments-arch-wide": {"model.n_head"},
    "experiments-data-small": {"data.limit.fraction"},
    "experiments-data-medium": {"data.limit.fraction"},
    "experiments-lr-high": {"optimizer.learning_rate"},
    "experiments-lr-low": {"optimizer.learning_rate"},
}


def from_a_hub() -> list[str]:
    presets = [entry.preset for entry in library._builtin()]
    return [one.name for one in presets if one is not None and one.data.kind == "huggingface"]


@pytest.mark.parametrize(("name", "count"), PARAMETERS.items())
def test_the_models_have_the_expected_size(name: str, count: int) -> None:
    assert estimate(library.get(name)).parameters == count


@pytest.mark.parametrize(("name", "paths"), VARIED.items())
def test_an_experiment_changes_one_thing_in_the_baseline(name: str, paths: set[str]) -> None:
    baseline = library.get("experiments-baseline").to_dict()
    differences = overrides.difference(library.get(name).to_dict(), baseline)
    assert {path for path, _, _ in differences} - {"title", "description"} == paths


def test_the_list_begins_with_the_baseline() -> None:
    names = [entry.name for entry in library.entries()]
    first = next(name for name in names if name.startswith("experiments-"))
    assert first == "experiments-baseline"
    assert set(PARAMETERS) <= set(names)


@pytest.mark.parametrize("name", from_a_hub())
def test_each_runs_without_a_network_after_one_override(name: str) -> None:
    preset = library.get(name)
    assert "--set data.kind=stories" in preset.description
    assert preset.data.kind == "huggingface"
    offline: Preset = overrides.apply(preset, ["data.kind=stories"])
    assert offline.data.kind == "stories"
    assert offline.model == preset.model
    assert offline.tokenizer == preset.tokenizer
    assert step_flops(offline, 1000) > 0


def test_from_scratch_keeps_its_batch_size() -> None:
    preset = library.get("from-scratch")
    assert preset.tokens_per_step == 131_072
    assert preset.tokens_per_step * preset.training.max_steps == 81_920_000
    assert preset.schedule.minimum == 1e-5
