"""The measured speed of the machine expires, and a wrong one is dropped."""

import json
import time
from pathlib import Path

import pytest

from slm_tui import paths
from slm_tui.config.estimate import Calibration, step_seconds
from slm_tui.training import calibrate
from tests.conftest import make_tiny


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLM_TUI_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the measurements, which take a second each."""
    made: list[int] = []

    def times(*_: object) -> list[float]:
        made.append(1)
        return [1e-3, 1e-2]

    monkeypatch.setattr(calibrate, "_times", times)
    return made


def stored() -> Path:
    return paths.cache_dir() / "calibration.json"


def test_a_measurement_is_reused_and_expires(measurements: list[int]) -> None:
    first = calibrate.calibration()
    assert first is not None
    assert calibrate.calibration() == first
    assert len(measurements) == 1
    values = json.loads(stored().read_text())
    assert 0 < values["expires"] - time.time() <= 86_400
    stored().write_text(json.dumps(values | {"expires": time.time() - 1}))
    calibrate.calibration()
    assert len(measurements) == 2
    # A clock that was set back, and the format of earlier versions.
    values = json.loads(stored().read_text())
    stored().write_text(json.dumps(values | {"measured": time.time() + 1e6}))
    calibrate.calibration()
    values = json.loads(stored().read_text())
    stored().write_text(json.dumps({k: v for k, v in values.items() if k != "expires"}))
    calibrate.calibration()
    assert len(measurements) == 4


def test_a_measurement_on_a_busy_machine_is_used_for_minutes_only(
    measurements: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate.OtherLoad, "foreign", lambda self: 3.0)
    calibrate.calibration()
    values = json.loads(stored().read_text())
    assert values["expires"] - values["measured"] == 600


def test_a_run_that_needs_another_time_drops_the_measurement(measurements: list[int]) -> None:
    preset = make_tiny()
    found = calibrate.calibration()
    assert isinstance(found, Calibration)
    expected = step_seconds(preset, found, 100)
    facts = {"n_vocab": 100, "tokens_per_step": 64}
    usual = 64 / expected
    for speed in (usual, 2 * usual, usual / 2, 0.0):
        calibrate.forget_if_wrong(preset, facts, speed)
        assert stored().exists()
    calibrate.forget_if_wrong(preset, {}, 16 * usual)
    assert stored().exists()
    # 1.6 hours were announced for a run of six minutes.
    calibrate.forget_if_wrong(preset, facts, 16 * usual)
    assert not stored().exists()


def test_a_real_measurement_leaves_the_threads_alone() -> None:
    import torch

    before = torch.get_num_threads()
    found = calibrate.calibration()
    assert found is None or found.flops > 0
    assert torch.get_num_threads() == before
