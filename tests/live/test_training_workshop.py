"""The status line's run: what is said about it also holds when nobody looked at its end."""

import json

from slm_tui.live.training_workshop import TrainingWorkshop
from tests import limits
from tests.conftest import make_tiny


def test_an_ended_run_has_the_verdict_of_its_results() -> None:
    workshop = TrainingWorkshop()
    workshop.train(make_tiny(training__max_steps=40, training__evaluate_every=10))
    session = workshop.session
    assert session is not None
    # What the Train screen said before another screen was opened.
    workshop.verdicts[session.run.path] = "learning"
    assert session.wait(limits.LIMIT)
    live = workshop.live_status()
    assert live is not None
    assert live.state == "done"
    first = json.loads((session.run.path / "results.json").read_text())["diagnosis"][0]
    assert live.verdict == f"{first['sign']} {first['verdict']}".strip() != "learning"
    workshop.close()


def test_of_a_live_run_it_has_the_verdict_of_the_train_screen() -> None:
    workshop = TrainingWorkshop()
    workshop.train(make_tiny(training__max_steps=1_000_000))
    session = workshop.session
    assert session is not None
    workshop.verdicts[session.run.path] = "learning"
    live = workshop.live_status()
    session.stop()
    assert live is not None
    assert live.verdict == "learning"
    assert session.wait(limits.LIMIT)
    workshop.close()
