"""Which number format `training.precision` means."""

from collections.abc import Callable

import pytest
import torch

from slm_tui.config.preset import Preset
from slm_tui.training import precision
from slm_tui.training.precision import choose_format

Make = Callable[..., Preset]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("width", "native", "expected"),
    [
        (64, True, "fp32"),  # too narrow to gain from it
        (128, True, "bf16"),
        (128, False, "fp32"),  # emulation is many times slower
    ],
)
def test_auto_goes_by_the_width_on_a_cpu(
    tiny: Make, monkeypatch: pytest.MonkeyPatch, width: int, native: bool, expected: str
) -> None:
    monkeypatch.setattr(precision, "has_native_bf16", lambda _: native)
    preset = tiny(model__n_embd=width, model__n_head=2)
    assert choose_format(preset, CPU) == expected


def test_auto_goes_by_native_bf16_alone_on_a_gpu(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "has_native_bf16", lambda _: True)
    assert choose_format(tiny(), CUDA) == "bf16"
    monkeypatch.setattr(precision, "has_native_bf16", lambda _: False)
    assert choose_format(tiny(), CUDA) == "fp32"


def test_a_resumed_run_keeps_its_format_where_the_device_has_it(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that the rule would now begin in the other format repeats its own losses."""
    monkeypatch.setattr(precision, "has_native_bf16", lambda _: True)
    narrow, wide = tiny(), tiny(model__n_embd=128, model__n_head=2)
    assert choose_format(narrow, CPU, "bf16") == "bf16"
    assert choose_format(wide, CPU, "fp32") == "fp32"
    monkeypatch.setattr(precision, "has_native_bf16", lambda _: False)
    assert choose_format(wide, CPU, "bf16") == "fp32"


def test_a_requested_format_is_used_whatever_the_width(tiny: Make) -> None:
    assert choose_format(tiny(training__precision="bf16"), CPU) == "bf16"
