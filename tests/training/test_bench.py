"""Measuring training speed: what is tried, what is chosen, and that it ends."""

from collections.abc import Callable

import pytest
import torch

from slm_tui.config import overrides
from slm_tui.config.preset import Preset
from slm_tui.corpus.parallel import cores
from slm_tui.errors import TrainingError
from slm_tui.training import bench as benching
from slm_tui.training import bench_plan as plan
from slm_tui.training.bench import BenchStopped, bench
from slm_tui.training.bench_plan import BenchSetup
from slm_tui.training.bench_result import Measurement, choose
from slm_tui.training.cpu_load import OtherLoad, available_bytes, peak_bytes, resident_bytes

Make = Callable[..., Preset]


@pytest.mark.parametrize(
    ("there", "configured", "counts"),
    [
        (1, 0, [1]),
        (2, 0, [1, 2]),
        (6, 0, [1, 2, 4, 6]),
        (64, 0, [1, 2, 4, 8, 16]),
        (8, 3, [1, 2, 3, 4, 8]),
    ],
)
def test_thread_counts_to_try(there: int, configured: int, counts: list[int]) -> None:
    assert plan.thread_counts(there, configured) == counts


@pytest.mark.parametrize(
    ("micro", "accumulation", "most", "tried"),
    [
        (8, 1, 8, [1, 2, 4, 8]),
        (8, 4, 32, [4, 8, 16, 32]),
        (6, 1, 6, [1, 3, 6]),
        (1, 1, 1, [1]),
        (64, 16, 13, [1, 2, 4, 8]),
        (7, 3, 21, [1, 7]),
    ],
)
def test_micro_batches_to_try_give_the_same_step(
    tiny: Make, micro: int, accumulation: int, most: int, tried: list[int]
) -> None:
    preset = tiny(training__micro_batch=micro, training__accumulation=accumulation)
    assert plan.micro_batches(preset, most) == tried
    for setup in plan.setups(preset, [1, 2], most):
        changed = plan.changed(preset, setup)
        assert changed.tokens_per_step == preset.tokens_per_step
        assert changed.training.threads == setup.threads


def test_affordable_setups_grow_with_the_time() -> None:
    speeds = {1: 1e9, 2: 2e9}
    few, many = (plan.affordable(1e7, speeds, seconds) for seconds in (10, 100))
    assert 0 < few < many
    assert plan.affordable_pass(1e12, speeds, 1) == 1


def measured(threads: int, micro: int, speed: float, *, compiled: bool = False) -> Measurement:
    return Measurement(BenchSetup(threads, micro, 8 // micro, compiled), 10, 1.0, speed, 1e9, 0.5)


def test_the_fastest_is_chosen(tiny: Make) -> None:
    rows = [measured(2, 8, 100.0), measured(1, 8, 60.0), measured(2, 4, 90.0)]
    assert choose(rows, tiny(), 1) is rows[0]


def test_ties_go_to_the_presets_setup_then_to_fewer_threads(tiny: Make) -> None:
    rows = [measured(4, 8, 101.0), measured(2, 4, 100.0), measured(1, 8, 99.0)]
    assert choose(rows, tiny(), 2) is rows[1]
    assert choose(rows, tiny(), 8) is rows[2]


def test_a_setup_that_training_cannot_use_is_not_chosen(tiny: Make) -> None:
    rows = [measured(1, 8, 900.0, compiled=True), measured(1, 8, 100.0)]
    assert choose(rows, tiny(), 1) is rows[1]


def test_the_command_contains_the_best_setup(tiny: Make) -> None:
    preset = tiny(training__micro_batch=4, training__accumulation=2)
    words = plan.command("mine.toml", preset, BenchSetup(2, 8, 1), ["model.n_layer=2"])
    assert words[:3] == ["slm-tui", "train", "mine.toml"]
    assignments = words[4::2]
    trained = overrides.apply(preset, assignments).training
    assert (trained.threads, trained.micro_batch, trained.accumulation) == (2, 8, 1)
    same = plan.command("tiny", preset, BenchSetup(1, 4, 2), [])
    assert not any("accumulation" in word for word in same)


def test_a_small_preset_is_measured_completely(tiny: Make) -> None:
    before = torch.get_num_threads()
    stages: list[str] = []
    found = bench(tiny(), seconds=1.0, report=lambda stage, share: stages.append(stage))
    assert torch.get_num_threads() == before
    assert not found.partial
    assert not found.interrupted
    assert {row.setup.micro_batch for row in found.rows} >= {4}
    assert {row.setup.threads for row in found.rows} <= set(plan.thread_counts(cores(), 1))
    assert found.best in found.rows
    assert any(row.steps for row in found.rows)
    assert found.parameters > 0
    for row in found.rows:
        assert row.tokens_per_second == pytest.approx(4 * 16 / row.step_seconds)
        assert row.utilisation == pytest.approx(row.flops / found.matmul[row.setup.threads])
    assert stages[0] == "measuring a matrix product"
    assert stages[-1] == "measuring"


def test_no_text_is_needed(tiny: Make) -> None:
    preset = tiny(data={"kind": "file", "path": "/nowhere/at/all.txt"})
    assert bench(preset, seconds=0.2).rows


def test_a_step_that_takes_too_long_is_computed_from_passes(tiny: Make) -> None:
    preset = tiny(
        model={"kind": "gpt", "n_layer": 2, "n_head": 2, "n_embd": 64, "block_size": 128},
        training__micro_batch=4096,
        training__accumulation=64,
    )
    result = bench(preset, seconds=0.5)
    assert result.partial
    assert "single passes" in result.notices[0]
    assert result.sequences == 4096 * 64
    for row in result.rows:
        assert row.setup.micro_batch * row.setup.accumulation == result.sequences
        assert row.step_seconds > 0


def test_a_stop_returns_the_results_so_far(tiny: Make) -> None:
    stages: list[str] = []

    def stop() -> bool:
        return "measuring" in stages

    found = bench(tiny(), seconds=600, stop=stop, report=lambda stage, share: stages.append(stage))
    assert found.interrupted
    assert found.best in found.rows


def test_a_stop_before_the_first_step_gives_no_results(tiny: Make) -> None:
    with pytest.raises(BenchStopped):
        bench(tiny(), seconds=600, stop=lambda: True)


def test_setups_that_do_not_fit_are_left_out(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    real = benching.Stepper._accumulate

    def short_of_memory(self: benching.Stepper, ids: torch.Tensor, targets: torch.Tensor) -> object:
        if self.at_once > 2:
            raise MemoryError
        return real(self, ids, targets)

    monkeypatch.setattr(benching.Stepper, "_accumulate", short_of_memory)
    result = bench(tiny(), seconds=0.3)
    assert {row.setup.micro_batch for row in result.rows} == {1, 2}
    assert result.notices[0] == "no memory for a micro-batch of 4"


def test_an_error_is_raised_if_nothing_fits(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(benching.Stepper, "_accumulate", never)
    with pytest.raises(TrainingError, match="no memory for any micro-batch"):
        bench(tiny(), seconds=0.3)


def test_a_failing_compiler_is_a_notice(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("no C++ compiler\nwas found")

    monkeypatch.setattr(torch, "compile", broken)
    result = bench(tiny(), seconds=0.3, compiled=True)
    (notice,) = [one for one in result.notices if one.startswith("torch.compile does not work")]
    assert "no C++ compiler" in notice
    assert not any(row.setup.compiled for row in result.rows)


def test_memory_and_load_of_the_machine_are_reported() -> None:
    peak, resident = peak_bytes(), resident_bytes()
    assert peak is None or resident is None or 0 < resident <= peak * 1.1
    free = available_bytes(torch.device("cpu"))
    assert free is None or free > 0
    foreign = OtherLoad().foreign()
    assert foreign is None or foreign >= 0
