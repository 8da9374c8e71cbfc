"""A metric reported by a model reaches the log, the other logs and the curves under its name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from slm_tui.config.preset import Preset
from slm_tui.live.session import Session
from slm_tui.models.base import Loss
from slm_tui.models.gpt import Gpt
from slm_tui.runs.curves import Curves
from slm_tui.training.events import Started, Stepped
from tests import limits
from tests.training.harness import train

Make = Callable[..., Preset]


@pytest.fixture
def with_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPT that reports what share of its targets are spaces."""
    plain = Gpt.loss

    def loss(self: Gpt, ids: torch.Tensor, targets: torch.Tensor) -> Loss:
        result = plain(self, ids, targets)
        share = (targets == ord(" ")).float().mean()
        return Loss(result.total, result.cross_entropy, {"spaces": share})

    monkeypatch.setattr(Gpt, "loss", loss)
    monkeypatch.setattr(Gpt, "metrics", ("spaces",))


@pytest.mark.usefixtures("with_metric")
def test_a_metric_is_the_mean_over_the_passes_of_a_step(tiny: Make, tmp_path: Path) -> None:
    def smaller(trainer: Any) -> None:
        trainer._stepper.at_once = 3

    whole = train(tiny(training__max_steps=4), tmp_path / "whole")
    parts = train(tiny(training__max_steps=4), tmp_path / "parts", patch=smaller)
    (started,) = whole.of(Started)
    assert started.metrics == ("spaces",)
    result = [event.metrics["spaces"] for event in whole.of(Stepped)]
    assert all(0 < one < 1 for one in result)
    assert [event.metrics["spaces"] for event in parts.of(Stepped)] == pytest.approx(result)


@pytest.mark.usefixtures("with_metric")
def test_a_metric_is_in_the_log_and_in_the_curves(tiny: Make) -> None:
    values: list[float] = []

    def sink(event: object) -> None:
        if isinstance(event, Stepped):
            values.append(event.metrics["spaces"])

    session = Session.start(tiny(training__max_steps=6), sinks=(sink,))
    assert session.wait(limits.LIMIT)
    curves = Curves(session.run)
    curves.read()
    assert curves.steps.metrics == {"spaces": values}
    again = Session.resume(session.run, more_steps=2)
    assert again.wait(limits.LIMIT)
    curves.read()
    assert len(curves.steps.metrics["spaces"]) == len(curves.steps.step) == 8


HGRN: dict[str, Any] = {"kind": "hgrn", "n_layer": 2, "n_embd": 16, "block_size": 16}
HNET: dict[str, Any] = {"kind": "hnet", "d_model": (16, 24), "num_blocks": ((1, 0, 1), (1,))}


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ({"n_layer": 11, "n_head": 2, "n_embd": 8, "block_size": 16},
         [*(f"block{number}" for number in range(1, 12)), "rest"]),
        (HGRN, ["block1", "block2", "rest"]),
        ({**HNET, "block_size": 16}, ["stage1", "stage2"]),
    ],
    ids=["gpt", "hgrn", "hnet"],
)  # fmt: skip
def test_gradient_norms_by_part_add_up_to_the_whole(
    tiny: Make, model: dict[str, Any], parts: list[str]
) -> None:
    preset = tiny(model=model, training__max_steps=3, training__gradient_norms=True)
    session = Session.start(preset)
    assert session.wait(limits.LIMIT)
    curves = Curves(session.run)
    curves.read()
    columns = {
        name.removeprefix("gradient_"): values
        for name, values in curves.steps.metrics.items()
        if name.startswith("gradient_")
    }
    assert list(columns) == parts
    squares = [sum(one**2 for one in row) for row in zip(*columns.values(), strict=True)]
    assert squares == pytest.approx([one**2 for one in curves.steps.gradient_norm], rel=1e-3)


def test_a_model_without_metrics_has_no_column_for_them(tiny: Make) -> None:
    session = Session.start(tiny(training__max_steps=2))
    assert session.wait(limits.LIMIT)
    curves = Curves(session.run)
    curves.read()
    assert curves.steps.metrics == {}
