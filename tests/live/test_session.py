"""Sessions: a training in its own thread, and its public status."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm_tui import paths
from slm_tui.config.preset import Preset
from slm_tui.errors import RunError, in_words
from slm_tui.live.session import Session
from slm_tui.runs import results, store
from slm_tui.runs.curves import Curves
from slm_tui.runs.store import Run
from slm_tui.training import checkpoint
from slm_tui.training.control import Control
from slm_tui.training.events import Event, Stepped, Warned

Make = Callable[..., Preset]


def ended(session: Session) -> Session:
    assert session.wait(60)
    return session


def at(step: int, wish: Callable[[Control], None], control: "list[Control]") -> Any:
    """A sink that makes a request after step `step`; the control exists once the session does."""
    done: list[bool] = []

    def sink(event: Event) -> None:
        if isinstance(event, Stepped) and event.step >= step and not done:
            done.append(True)
            while not control:
                threading.Event().wait(0.001)
            wish(control[0])

    return sink


def start(preset: Preset, step: int, wish: Callable[[Control], None]) -> Session:
    control: list[Control] = []
    session = Session.start(preset, sinks=(at(step, wish, control),))
    control.append(session.control)
    return ended(session)


def events(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.path / "events.jsonl").open()]


def losses(run: Run) -> dict[int, float]:
    curves = Curves(run)
    curves.read()
    return dict(zip(curves.steps.step, curves.steps.loss, strict=True))


def test_a_session_trains_to_the_end(tiny: Make) -> None:
    session = ended(Session.start(tiny(), "whole"))
    status = session.status
    assert (status.state, status.step, status.max_steps) == ("done", 12, 12)
    assert not session.is_live
    assert not status.is_live
    info = session.run.info()
    assert (info.state, info.step, info.name) == ("done", 12, "whole")
    assert info.facts["parameters"] > 0
    assert list(losses(session.run)) == list(range(1, 13))
    names = {path.name for path in session.run.path.iterdir()}
    assert names >= {
        "preset.toml",
        "run.json",
        "training_log.csv",
        "eval_log.csv",
        "samples.jsonl",
        "events.jsonl",
        "checkpoints",
    }


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libpng16.so.16: no such file"),
        OverflowError("cannot convert float infinity to integer"),
        OSError(5, "Input/output error"),
        RecursionError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_failures_after_the_last_step_are_reported_and_unlock_the_run(
    tiny: Make, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(*_: object) -> None:
        raise error

    events: list[Event] = []
    with monkeypatch.context() as patched:
        patched.setattr("slm_tui.runs.evidence.of_run", broken)
        session = ended(Session.start(tiny(), "whole", sinks=(events.append,)))
    assert session.status.state == "done"
    assert not session.is_live
    warned = [one.message for one in events if isinstance(one, Warned)]
    assert len(warned) == 1
    assert in_words(error) in warned[0]
    with store.lock(session.run):
        pass
    assert not (session.run.path / "results.json").exists()
    # Missing files are written as soon as possible.
    assert results.catch_up([session.run]) == [session.run]
    assert (session.run.path / "results.json").is_file()


def test_every_request_leaves_an_event(tiny: Make) -> None:
    def everything(control: Control) -> None:
        control.pause()
        control.save()
        control.evaluate()
        control.sample()
        control.scale_learning_rate(0.5)
        control.extend(3)
        control.resume()

    session = start(tiny(), 7, everything)
    result = [event for event in events(session.run) if event["step"] == 7]
    kinds = [event["event"] for event in result if event["event"] != "saved"]
    assert kinds == [
        "paused",
        "requested",
        "requested",
        "requested",
        "changed",
        "changed",
        "continued",
    ]
    assert next(event["kind"] for event in result if event["event"] == "saved") == "manual"
    assert session.run.info().max_steps == 15
    assert session.status.step == 15
    assert 7 in {json.loads(line)["step"] for line in (session.run.path / "samples.jsonl").open()}
    assert ",7," in (session.run.path / "eval_log.csv").read_text().replace("\n", ",")


def test_stop_is_an_event_and_a_state(tiny: Make) -> None:
    session = start(tiny(), 5, Control.stop)
    assert events(session.run)[-1] | {"timestamp": 0} == {
        "timestamp": 0,
        "event": "finished",
        "step": 5,
        "reason": "stopped",
    }
    assert session.status.state == session.run.info().state == "stopped"


def test_a_resumed_session_ends_with_the_losses_of_an_uninterrupted_one(tiny: Make) -> None:
    preset = tiny(model__dropout=0.2, training__accumulation=2)
    whole = ended(Session.start(preset, "whole"))
    first = start(preset, 5, Control.stop)
    second = ended(Session.resume(first.run))
    assert second.status.state == "done"
    assert losses(first.run) == losses(whole.run)
    one, two = (checkpoint.newest(run.checkpoints)[0] for run in (first.run, whole.run))
    assert one is not None
    assert two is not None
    assert all((one.weights()[name] == weight).all() for name, weight in two.weights().items())


def test_a_damaged_checkpoint_is_skipped_and_reported(tiny: Make) -> None:
    preset = tiny(training__checkpoint_every=4)
    whole = ended(Session.start(preset, "whole"))
    first = start(preset, 9, Control.stop)
    newest = checkpoint.all_in(first.run.checkpoints)[-1]
    weights = newest / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    second = ended(Session.resume(first.run))
    assert second.status.state == "done"
    warned = [event["message"] for event in events(first.run) if event["event"] == "warned"]
    assert any("model.safetensors differs" in text and "older" in text for text in warned)
    assert losses(first.run) == losses(whole.run)
    # Its step was trained and saved again: the checkpoint is now complete.
    for path in checkpoint.all_in(first.run.checkpoints):
        checkpoint.read(path)


def test_a_run_without_a_complete_checkpoint_is_not_restarted(tiny: Make) -> None:
    first = start(tiny(), 9, Control.stop)
    for path in checkpoint.all_in(first.run.checkpoints):
        (path / "state.json").write_text("{}")
    before = (first.run.path / "training_log.csv").read_bytes()
    second = ended(Session.resume(first.run))
    assert second.status.state == "failed"
    assert "cannot be resumed: it has 9 steps, but checkpoint" in second.status.error
    assert "start again: slm-tui train" in second.status.error
    assert (first.run.path / "training_log.csv").read_bytes() == before


def test_a_run_stopped_before_its_first_step_starts_from_the_beginning(tiny: Make) -> None:
    run = store.create(tiny())
    second = ended(Session.resume(run))
    assert second.status.state == "done"
    assert list(losses(run)) == list(range(1, 13))


@pytest.mark.parametrize("missing", ["checkpoints", "its log too", "its record too"])
def test_a_run_whose_checkpoints_are_gone_is_refused_not_restarted(
    tiny: Make, missing: str
) -> None:
    first = start(tiny(), 2, Control.stop)
    shutil.rmtree(first.run.checkpoints)
    if missing == "its log too":
        (first.run.path / "training_log.csv").unlink()
    if missing == "its record too":
        info = first.run.info()
        info.step = 0
        first.run.write_info(info)
    second = ended(Session.resume(first.run))
    assert second.status.state == "failed"
    assert "cannot be resumed" in second.status.error
    assert "no checkpoint" in second.status.error
    if missing != "its log too":
        assert list(losses(first.run)) == [1, 2]


def test_a_damaged_corpus_is_prepared_again_on_resume(tiny: Make) -> None:
    whole = ended(Session.start(tiny(), "whole"))
    first = start(tiny(), 5, Control.stop)
    (corpus,) = paths.corpora_dir().iterdir()
    (corpus / "train.bin").write_bytes(b"rubbish")
    second = ended(Session.resume(first.run))
    assert second.status.state == "done"
    assert losses(first.run) == losses(whole.run)


def test_a_run_resumes_without_its_text_if_the_corpus_exists(tiny: Make, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("a line of text\n" * 200)
    preset = tiny(data={"kind": "file", "path": str(text)})
    first = start(preset, 5, Control.stop)
    text.unlink()
    assert ended(Session.resume(first.run)).status.state == "done"


def test_a_changed_text_is_not_trained_on_as_if_it_were_the_same(
    tiny: Make, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("a line of text\n" * 200)
    first = start(tiny(data={"kind": "file", "path": str(text)}), 5, Control.stop)
    text.write_text("another sort of text\n" * 200)
    shutil.rmtree(paths.corpora_dir())
    second = ended(Session.resume(first.run))
    assert second.status.state == "failed"
    assert "has changed since it was trained" in second.status.error
    assert "--text" in second.status.error


def test_a_finished_run_needs_more_steps(tiny: Make) -> None:
    session = ended(Session.start(tiny()))
    with pytest.raises(RunError, match="is finished.*more steps"):
        Session.resume(session.run)
    more = ended(Session.resume(session.run, more_steps=4))
    assert (more.status.state, more.status.step) == ("done", 16)
    assert list(losses(session.run)) == list(range(1, 17))


def test_an_extension_survives_a_kill_before_the_next_checkpoint(tiny: Make) -> None:
    first = start(tiny(training__checkpoint_every=1000), 5, lambda control: control.extend(4))
    assert first.status.step == 16
    # As if killed at step 8, after the extension.
    for path in checkpoint.all_in(first.run.checkpoints):
        if checkpoint.step_of(path) > 5:
            checkpoint.discard(path)
    info = first.run.info()
    info.state = "interrupted"
    first.run.write_info(info)
    assert ended(Session.resume(first.run)).status.step == 16


def test_two_sessions_on_one_run_are_refused(tiny: Make) -> None:
    session = Session.start(tiny(training__max_steps=100_000))
    try:
        with pytest.raises(RunError, match="is being trained"):
            Session.resume(session.run)
        with pytest.raises(RunError, match="is being trained"):
            store.delete(session.run)
    finally:
        session.stop()
    ended(session)


def test_stop_while_preparing_ends_at_once(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session.start(tiny(data__documents=3_000_000, data__richness="rich"))
    session.stop()
    ended(session)
    assert session.status.state == session.run.info().state == "stopped"
    assert not paths.corpora_dir().exists() or list(paths.corpora_dir().iterdir()) == []


def test_an_error_while_preparing_is_reported_and_leaves_no_empty_run(tiny: Make) -> None:
    session = ended(Session.start(tiny(data={"kind": "file", "path": "/nowhere/text.txt"})))
    assert session.status.state == "failed"
    assert "/nowhere/text.txt cannot be read" in session.status.error
    assert store.all_runs() == []


def test_a_run_that_takes_days_on_a_cpu_says_so_before_it_starts(tiny: Make) -> None:
    events: list[Event] = []
    long = {"training__max_steps": 10**8, "model__n_embd": 64, "training__micro_batch": 64}
    session = Session.start(tiny(**long), sinks=(events.append,))
    session.stop()
    ended(session)
    (notice,) = [event for event in events if isinstance(event, Warned)]
    assert events.index(notice) == 0
    assert "on this CPU; it is meant for a GPU" in notice.message
    # It is no trace of a run that cannot start.
    gone = {"kind": "file", "path": "/nowhere/text.txt"}
    assert ended(Session.start(tiny(**long, data=gone))).status.state == "failed"
    assert [run.id for run in store.all_runs()] == [session.run.id]


def test_a_fork_names_its_parent_and_starts_from_its_weights(tiny: Make) -> None:
    first = ended(Session.start(tiny()))
    initial = store.find_checkpoint(f"{first.run.id}@last")
    fork = ended(Session.start(tiny(training__seed=5), "fork", initial=initial))
    assert fork.run.info().parent == f"{first.run.id}@step-000012"
    assert losses(fork.run)[1] < losses(first.run)[1] - 0.5


def test_a_status_has_an_eta_once_there_is_a_pace(tiny: Make) -> None:
    session = Session.start(tiny(training__max_steps=1_000_000))
    try:
        while session.status.eta_seconds is None and session.is_live:
            session.wait(0.02)
        assert session.status.state == "running"
        assert session.status.eta_seconds is not None
        assert session.status.eta_seconds > 0
        assert session.status.tokens_per_second > 0
    finally:
        session.stop()
    ended(session)


def test_a_live_run_reads_as_running_to_others_and_as_paused(tiny: Make) -> None:
    session = Session.start(tiny(training__max_steps=1_000_000))
    try:
        while session.status.step < 3 and session.is_live:
            session.wait(0.01)
        assert session.run.info().state == "running"
        session.control.pause()
        while session.status.state != "paused" and session.is_live:
            session.wait(0.01)
        assert session.run.info().state == "paused"
    finally:
        session.stop()
    ended(session)
    assert session.run.info().state == "stopped"


def test_log_messages_are_also_run_events(tiny: Make) -> None:
    seen: list[Event] = []
    session = ended(Session.start(tiny(), sinks=(seen.append,)))
    in_memory = {event.step: event.loss for event in seen if isinstance(event, Stepped)}
    assert losses(session.run) == in_memory
