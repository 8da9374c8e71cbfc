"""Every option of optimizer, schedule and training has an effect: a run with it differs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from slm_tui.config.preset import Preset
from slm_tui.config.training import Optimizer, Schedule, Training
from slm_tui.training import checkpoint
from tests import extent
from tests.training.harness import train

Make = Callable[..., Preset]
MUON = {"optimizer__kind": "muon"}
DROPS = {"model__dropout": 0.3}
# The validation loss rises at once, so that patience runs out.
WORSE = {
    "optimizer": {"learning_rate": 1.0},
    "schedule": {"kind": "constant"},
    "training__evaluate_every": 1,
}
PLATEAU = {**WORSE, "schedule__plateau_factor": 0.5, "schedule__plateau_patience": 1}
PATIENT = {"training__early_stop_patience": 2, "training__evaluate_every": 1}
# It improves, but later by less than this in six steps.
STOPS = {
    **PATIENT,
    "training__early_stop_patience": 6,
    "training__early_stop_min_delta": 0.6,
    "training__max_steps": 30,
}
# Each option with other values, and other settings needed for it to matter.
CASES: dict[str, list[tuple[Any, dict[str, Any]]]] = {
    "optimizer__kind": [("muon", {})],
    "optimizer__learning_rate": [(0.02, {})],
    "optimizer__beta1": [(0.5, {})],
    "optimizer__beta2": [(0.5, {})],
    "optimizer__eps": [(1e-2, {})],
    "optimizer__muon_learning_rate": [(0.02, MUON)],
    "optimizer__muon_momentum": [(0.5, MUON)],
    "optimizer__weight_decay": [(0.0, {}), (5.0, {}), (5.0, MUON)],
    "optimizer__weight_decay_on": [("hidden", {}), ("all", {}), ("all", MUON)],
    "optimizer__gradient_clip": [(0.0, {}), (0.1, {})],
    "schedule__kind": [
        ("linear", {"schedule__kind": "cosine"}),
        ("constant", {}),
        ("cosine", {}),
        ("wsd", {}),
    ],
    "schedule__warmup_steps": [(0, {}), (4, {})],
    "schedule__warmup_fraction": [(0.5, {"schedule": {"kind": "linear"}})],
    "schedule__warmup_start_ratio": [(0.5, {})],
    "schedule__length_warmup_fraction": [(0.5, {}), (1.0, {})],
    "schedule__decay_fraction": [(0.8, {"schedule__kind": "wsd"})],
    "schedule__plateau_factor": [(0.9, PLATEAU)],
    "schedule__plateau_patience": [(3, PLATEAU)],
    "schedule__plateau_cooldown": [(0, PLATEAU)],
    "schedule__plateau_floor": [(0.9, PLATEAU)],
    "schedule__minimum": [(0.001, {"schedule": {"kind": "linear"}})],
    "schedule__minimum_ratio": [(0.5, {})],
    "training__max_steps": [(5, {})],
    "training__micro_batch": [(2, {})],
    "training__accumulation": [(2, {})],
    "training__precision": [("bf16", {}), ("fp16", {}), ("fp32", DROPS), ("auto", DROPS)],
    "training__device": [("auto", {}), ("cpu", {})],
    # Real processes in test_ranks.py; the trainer alone does not start them.
    "training__devices": [(2, {})],
    "training__threads": [(0, {}), (2, {})],
    "training__compile": [("auto", {}), ("off", {})],
    "training__seed": [(1, {}), (1, DROPS)],
    "training__log_every": [(2, {})],
    "training__gradient_norms": [(True, {})],
    "training__adapt_threads": [(True, {})],
    "training__max_minutes": [(1e-5, {})],
    "training__evaluate_every": [(2, {})],
    "training__evaluate_batches": [(1, {})],
    "training__sample_every": [(2, {})],
    "training__checkpoint_every": [(2, {})],
    "training__keep_checkpoints": [(1, {"training__checkpoint_every": 1})],
    "training__keep_every": [
        (2, {"training__checkpoint_every": 1, "training__keep_checkpoints": 1})
    ],
    "training__early_stop_patience": [(2, WORSE)],
    "training__early_stop_min_delta": [(5.0, PATIENT)],
    "training__early_stop_restore": [(False, STOPS)],
}
# Options that give the same run on a machine like this, or only change how it is computed.
SAME = {
    "training__device",
    "training__devices",
    "training__threads",
    "training__adapt_threads",
    "training__compile",
}
SAME_VALUES = {("training__precision", "fp32"), ("training__precision", "auto")}
# Where else a run is logged: no effect on training.
OF_THE_RUN = ("training__log_to", "training__wandb_")
# Really compiled in test_compiled.py.
ELSEWHERE = {("training__compile", "on")}


def merged(context: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Whole sections of the context with single options changed."""
    result = {"training__max_steps": 6, **context}
    for name, value in [*context.items(), *changes.items()]:
        section, _, option = name.partition("__")
        if option and isinstance(result.get(section), dict):
            result.pop(name, None)
            result[section] = {**result[section], option: value}
        elif option:
            result[name] = value
    return result


def what_happens(preset: Preset, directory: Path) -> tuple[Any, ...]:
    """Everything that a run shows except times."""
    done = train(preset, directory)
    assert done.reason in ("done", "early stop"), done.events[-1]
    events = [
        (
            type(event).__name__,
            *(
                value
                for name, value in vars(event).items()
                if "second" not in name and name not in ("facts", "bytes")
            ),
        )
        for event in done.events
        if type(event).__name__ not in ("Saved", "Changed")
    ]
    checkpoints = []
    if preset.training.checkpoint_every < 4 or preset.training.keep_checkpoints == 1:
        # Otherwise, which best checkpoints are kept depends on how fast they are written.
        checkpoints = [path.name for path in checkpoint.all_in(directory)]
    last = checkpoint.linked(directory, "last")
    return events, checkpoints, last.name if last else ""


CASE_LIST = [
    pytest.param(option, value, context, id=f"{option}-{value}-{number}")
    for option, values in CASES.items()
    for number, (value, context) in enumerate(values)
]


@extent.sample(40)
@pytest.mark.parametrize(("option", "value", "context"), CASE_LIST)
def test_an_option_takes_effect(
    tiny: Make, tmp_path: Path, option: str, value: Any, context: dict[str, Any]
) -> None:
    plain = what_happens(tiny(**merged(context)), tmp_path / "plain")
    other = what_happens(tiny(**merged(context, **{option: value})), tmp_path / "other")
    is_same = option in SAME or (option, value) in SAME_VALUES
    if option == "training__threads":
        # Another number of threads may round differently.
        assert len(other[0]) == len(plain[0])
    else:
        assert (other == plain) is is_same


def test_every_option_and_choice_is_covered() -> None:
    for section, settings in (
        ("optimizer", Optimizer),
        ("schedule", Schedule),
        ("training", Training),
    ):
        for name, field in settings.model_fields.items():
            option = f"{section}__{name}"
            if option.startswith(OF_THE_RUN):
                continue
            assert option in CASES, f"{option} is never tried"
            tried = {value for value, _ in CASES[option]}
            choices = {one for one in get_args(field.annotation) if isinstance(one, str)}
            untried = choices - tried - {field.default}
            assert all((option, choice) in ELSEWHERE for choice in untried), (option, untried)
