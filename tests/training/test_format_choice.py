"""`training.precision = "auto"` takes the faster format, always the same one for a shape."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from slm_tui.config.preset import Preset
from slm_tui.training import format_choice, precision
from slm_tui.training.format_choice import faster_format
from tests.training.harness import train

Make = Callable[..., Preset]
CPU = torch.device("cpu")
WIDE = {"model__n_embd": 64, "model__n_head": 2}


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor with native bf16."""
    for module in (precision, format_choice):
        monkeypatch.setattr(module, "has_native_bf16", lambda _: True)


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Counts what is measured; the result is then bf16."""
    made: list[str] = []

    def measured(preset: Preset, n_vocab: int, device: torch.device) -> str:
        made.append(preset.name)
        return "bf16"

    monkeypatch.setattr(format_choice, "_measured", measured)
    return made


def test_a_real_measurement_decides(tiny: Make, native: None, home: Path) -> None:
    assert faster_format(tiny(**WIDE), 300, CPU) in ("fp32", "bf16")


def test_a_shape_is_measured_once(
    tiny: Make, native: None, measurements: list[str], home: Path
) -> None:
    for _ in range(3):
        assert faster_format(tiny(**WIDE), 300, CPU) == "bf16"
    assert len(measurements) == 1
    faster_format(tiny(**WIDE, training__micro_batch=3), 300, CPU)
    assert len(measurements) == 2


@pytest.mark.parametrize("text", ["", "[]", "no JSON", '{"x": 3}'])
def test_a_damaged_file_of_results_is_written_anew(
    tiny: Make, native: None, measurements: list[str], home: Path, text: str
) -> None:
    format_choice._file().parent.mkdir(parents=True, exist_ok=True)
    format_choice._file().write_text(text)
    faster_format(tiny(**WIDE), 300, CPU)
    faster_format(tiny(**WIDE), 300, CPU)
    assert len(measurements) == 1


def test_a_requested_or_obvious_format_is_not_measured(
    tiny: Make, native: None, measurements: list[str], home: Path
) -> None:
    assert faster_format(tiny(**WIDE, training__precision="fp32"), 300, CPU) == "fp32"
    assert faster_format(tiny(), 300, CPU) == "fp32"
    assert measurements == []


def test_a_resumed_run_keeps_its_format(tiny: Make, tmp_path: Path) -> None:
    first = train(tiny(), tmp_path / "run")
    assert first.trainer.state.precision == first.trainer._stepper.format
    assert faster_format(tiny(**WIDE), 300, CPU, "fp32") == "fp32"
    native = precision.has_native_bf16(CPU)
    assert faster_format(tiny(), 300, CPU, "bf16") == ("bf16" if native else "fp32")
