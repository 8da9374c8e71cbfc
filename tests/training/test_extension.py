"""A run with more steps: its learning rate continues where it is, or warms up again if asked to."""

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui import paths
from slm_tui.config.preset import Preset
from slm_tui.config.training import Schedule
from slm_tui.errors import RunError
from slm_tui.live.session import Session
from slm_tui.runs.curves import Curves
from slm_tui.runs.store import Run
from slm_tui.training import checkpoint
from slm_tui.training.control import Control
from slm_tui.training.events import Event, Sink, Stepped, Warned
from slm_tui.training.schedule import Course, learning_rate, moved, rewarmed
from tests.cli.conftest import Cli, cli
from tests.training.harness import train

Make = Callable[..., Preset]
__all__ = ["cli"]
COSINE = {"schedule": {"kind": "cosine", "warmup_steps": 2, "minimum_ratio": 0.1}}
PEAK = 0.01


def rates_of(run: Run) -> dict[int, float]:
    curves = Curves(run)
    curves.read()
    return dict(zip(curves.steps.step, curves.steps.learning_rate, strict=True))


def losses_of(run: Run) -> dict[int, float]:
    curves = Curves(run)
    curves.read()
    return dict(zip(curves.steps.step, curves.steps.loss, strict=True))


def cosine(tiny: Make, **changes: object) -> Preset:
    return tiny(**{**COSINE, **changes}, optimizer={"learning_rate": PEAK})


def resumed(
    run: Run, more_steps: int = 0, *, rewarm: bool = False, sink: Sink = lambda event: None
) -> Session:
    session = Session.resume(run, more_steps=more_steps, rewarm=rewarm, sinks=(sink,))
    assert session.wait(60)
    assert session.status.state == "done", session.status.error
    return session


# The schedule.

KINDS = st.sampled_from(["linear", "cosine", "wsd"])


@settings(max_examples=200, deadline=None)
@given(
    kind=KINDS,
    warmup=st.integers(0, 30),
    steps=st.integers(1, 60),
    ends=st.lists(st.tuples(st.integers(1, 80), st.integers(1, 80)), min_size=1, max_size=4),
)
def test_the_rate_never_rises_after_warm_up_however_often_the_end_moves(
    kind: str, warmup: int, steps: int, ends: list[tuple[int, int]]
) -> None:
    schedule = Schedule(kind=kind, warmup_steps=warmup, minimum_ratio=0.1)  # type: ignore[arg-type]
    course, end, step, rates = Course(), steps, 0, list[float]()
    for wait, more in ends:
        for _ in range(min(wait, end - step)):
            rates.append(learning_rate(schedule, 1.0, step, end, steps, course=course))
            step += 1
        course = moved(schedule, step, end, end + more, steps, course=course)
        end += more
    rates += [
        learning_rate(schedule, 1.0, one, end, steps, course=course) for one in range(step, end)
    ]
    assert all(before >= after - 1e-12 for before, after in pairwise(rates[warmup:]))
    assert all(0.1 - 1e-12 <= rate <= 1 for rate in rates[warmup:])
    if end > warmup + 2:
        assert rates[-1] == pytest.approx(0.1)


def test_a_decay_goes_on_from_where_it_is() -> None:
    schedule = Schedule(kind="cosine", minimum_ratio=0.0)
    before = learning_rate(schedule, 1.0, 50, 101)
    course = moved(schedule, 50, 101, 201, 101)
    assert learning_rate(schedule, 1.0, 50, 201, 101, course=course) == before
    # The other half of the cosine, over three times as many steps.
    assert learning_rate(schedule, 1.0, 125, 201, 101, course=course) == pytest.approx(
        learning_rate(schedule, 1.0, 75, 101)
    )


@pytest.mark.parametrize("kind", ["linear", "cosine", "wsd"])
def test_a_decay_that_has_ended_stays(kind: str) -> None:
    schedule = Schedule(kind=kind, minimum_ratio=0.1)  # type: ignore[arg-type]
    course = moved(schedule, 100, 100, 150, 100)
    rates = {
        learning_rate(schedule, 1.0, step, 150, 100, course=course) for step in range(100, 150)
    }
    assert rates == {learning_rate(schedule, 1.0, 99, 100)}


def test_what_has_not_begun_to_decay_is_stretched() -> None:
    for kind, step in (("wsd", 40), ("cosine", 3), ("constant", 99)):
        schedule = Schedule(kind=kind, warmup_steps=10, minimum_ratio=0.1)  # type: ignore[arg-type]
        assert moved(schedule, step, 100, 200, 100) == Course()


@pytest.mark.parametrize("kind", ["linear", "cosine", "wsd"])
def test_a_rewarmed_rate_rises_from_where_it_was_and_decays_to_the_new_end(kind: str) -> None:
    schedule = Schedule(kind=kind, warmup_fraction=0.1, minimum_ratio=0.1)  # type: ignore[arg-type]
    course = rewarmed(schedule, 100, 200, 0.1)
    rates = [
        learning_rate(schedule, 1.0, step, 200, 100, course=course) for step in range(100, 200)
    ]
    assert course.rewarm_steps == 10
    assert 0.1 < rates[0] < 0.2
    assert rates[9] == 1.0
    assert all(a < b for a, b in pairwise(rates[:10]))
    assert all(a >= b for a, b in pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.1)


# Runs.


def test_more_steps_stay_at_the_final_rate(tiny: Make, home: Path) -> None:
    first = Session.start(cosine(tiny), "it")
    assert first.wait(60)
    events: list[Event] = []
    session = resumed(first.run, 6, sink=events.append)
    rates = rates_of(session.run)
    assert len(rates) == 18
    assert {rates[step] for step in range(12, 19)} == {rates[12]}
    assert rates[12] == pytest.approx(PEAK / 10)
    assert Warned(12, "the learning rate stays at 0.001, where its decay ended") in events


def test_a_rewarmed_run(tiny: Make, home: Path) -> None:
    first = Session.start(cosine(tiny), "it")
    assert first.wait(60)
    events: list[Event] = []
    session = resumed(first.run, 10, rewarm=True, sink=events.append)
    rates = rates_of(session.run)
    assert rates[13] == pytest.approx(PEAK * 0.55)
    assert rates[14] == PEAK
    assert rates[22] == pytest.approx(PEAK / 10)
    text = "warms up again from 0.001 to 0.01 in 2 steps, then decays to 0.001 at step 22"
    assert Warned(12, f"the learning rate {text}") in events


def test_an_extension_of_a_running_run_does_not_jump(tiny: Make, tmp_path: Path) -> None:
    done = train(cosine(tiny), tmp_path, wishes={9: lambda control: control.extend(12)})
    plain = train(cosine(tiny), tmp_path / "plain")
    rates, before = (
        {event.step: event.learning_rate for event in one.of(Stepped)} for one in (done, plain)
    )
    assert rates[10] == before[10]
    assert all(a >= b for a, b in pairwise(list(rates.values())[2:]))
    assert rates[24] == pytest.approx(PEAK / 10)


@pytest.mark.parametrize("rewarm", [False, True])
@pytest.mark.parametrize("stops_at", [8, 12])
def test_an_extended_run_that_is_killed_resumes_bit_for_bit(
    tiny: Make, home: Path, rewarm: bool, stops_at: int
) -> None:
    """Killed before its first checkpoint, and after one."""
    preset = cosine(tiny, training__checkpoint_every=8, training__evaluate_every=1000)

    def stop(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == stops_at:
            first.stop()

    first = Session.start(preset, "it", sinks=(stop,))
    assert first.wait(60)
    step = first.status.step
    copies = {at: paths.runs_dir() / f"killed-{at}-20260101-000000" for at in (step + 2, step + 9)}

    def kill(event: Event) -> None:
        if isinstance(event, Stepped) and event.step in copies:
            session._recorder.beat()  # what is logged by now
            shutil.copytree(session.run.path, copies[event.step], symlinks=True)

    session = Session.resume(first.run, more_steps=14, rewarm=rewarm, sinks=(kill,))
    assert session.wait(60)
    assert session.status.state == "done", session.status.error
    expected = losses_of(session.run), rates_of(session.run)
    for copy in copies.values():
        again = resumed(Run(copy))
        assert (losses_of(again.run), rates_of(again.run)) == expected
        ends = [checkpoint.newest(run.checkpoints)[0] for run in (again.run, session.run)]
        assert ends[0] is not None
        assert ends[1] is not None
        assert ends[0].state.course == ends[1].state.course
        assert ends[0].state.max_steps == ends[1].state.max_steps


def test_an_early_stop_that_is_extended_and_killed_keeps_its_end(tiny: Make, home: Path) -> None:
    preset = cosine(
        tiny,
        training__max_steps=300,
        training__evaluate_every=2,
        training__checkpoint_every=1000,
        training__early_stop_patience=4,
        training__early_stop_min_delta=3.0,
    )
    first = Session.start(preset, "it")
    assert first.wait(60)
    assert first.status.state == "stopped early"
    stopped = first.status.step
    copy = paths.runs_dir() / "killed-20260101-000000"

    def kill(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == stopped + 1:
            shutil.copytree(first.run.path, copy, symlinks=True)

    session = Session.resume(first.run, more_steps=2, sinks=(kill,))
    assert session.wait(60)
    assert session.status.step == stopped + 2
    rates = rates_of(session.run)
    assert rates[stopped + 1] <= rates[stopped] + 1e-12
    again = resumed(Run(copy))
    assert again.status.step == stopped + 2
    assert losses_of(again.run) == losses_of(session.run)


def test_a_run_that_ended_at_a_rate_of_zero_asks_for_rewarming(
    cli: Cli, tiny: Make, home: Path, tmp_path: Path
) -> None:
    preset = cosine(tiny, schedule={"kind": "cosine", "minimum_ratio": 0.0})
    (tmp_path / "it.toml").write_text(preset.to_toml())
    assert cli("train", str(tmp_path / "it.toml"), "--name", "it")[0] == 0
    code, out, err = cli("train", "--resume", "it", "--steps", "5")
    assert code == 1
    assert "its learning rate has decayed to 0" in err
    words = err.strip().rpartition("slm-tui ")[2].split()
    assert words[-1] == "--rewarm"
    code, out, err = cli(*words)
    assert code == 0, err
    assert "the learning rate warms up again from 0 to 0.01" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--resume", "it", "--rewarm"], "--rewarm requires --steps"),
        (["it.toml", "--rewarm"], "--rewarm requires --resume and --steps"),
    ],
)
def test_rewarming_is_for_additional_steps(cli: Cli, words: list[str], says: str) -> None:
    code, _, err = cli("train", *words)
    assert code == 1
    assert says in err


def test_a_constant_rate_has_nothing_to_warm_up(tiny: Make, home: Path) -> None:
    first = Session.start(tiny(schedule={"kind": "constant"}), "it")
    assert first.wait(60)
    with pytest.raises(RunError, match="its schedule is constant"):
        Session.resume(first.run, more_steps=2, rewarm=True)
    resumed(first.run, 2)
    assert len(set(rates_of(first.run).values())) == 1


def test_a_run_extended_by_an_earlier_version_goes_on_as_it_was(tiny: Make, tmp_path: Path) -> None:
    """It had a longer schedule, and its checkpoint has no course."""
    preset = cosine(tiny)
    whole = train(preset, tmp_path / "whole", wishes={11: Control.stop})
    newest, _ = checkpoint.newest(tmp_path / "whole")
    assert newest is not None
    values = newest.state.to_stored()
    del values["course"]
    assert type(newest.state).parse(values).course == Course()
    more = train(preset, tmp_path / "whole", resume=True, more_steps=10)
    schedule, peak = preset.schedule, preset.optimizer.learning_rate
    for event in more.of(Stepped):
        assert event.learning_rate == learning_rate(schedule, peak, event.step - 1, 22, 12)
    assert whole.reason == "stopped"
