"""MLflow's log: what its own client reads back matches the CSV log."""

from pathlib import Path

import pytest

from slm_tui.config.preset import from_toml
from slm_tui.live.session import Session
from tests.runs import log_readers
from tests.runs.test_sinks import (
    Make,
    assert_same,
    every_step,  # noqa: F401 - a fixture
    killed,
    trained,
    warnings,
)

pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")


@pytest.fixture(autouse=True)
def _local(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")


def test_mlflow_has_the_whole_log(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(training__log_to=["mlflow"], sampling__prompts=["Once", "Two"])
    run = trained(Session.start(preset))
    assert warnings(run) == []
    assert_same(log_readers.mlflow_points(run), run)
    client, record = log_readers.mlflow(run)
    assert (record.info.run_name, record.info.status) == (run.id, "FINISHED")
    assert record.data.params["optimizer.learning_rate"] == "0.01"
    assert record.data.params["facts.parameters"] == str(run.info().facts["parameters"])
    run_id = record.info.run_id
    files = [one.path for one in client.list_artifacts(run_id, "samples")]
    assert files == ["samples/step-000006.txt", "samples/step-000012.txt"]
    kept = Path(client.download_artifacts(run_id, "preset.toml", str(tmp_path)))
    assert from_toml(kept.read_text()) == run.preset()
    # Resumed: the same run of MLflow, with more steps.
    trained(Session.resume(run, more_steps=5))
    assert log_readers.mlflow(run)[1].info.run_id == run_id
    assert_same(log_readers.mlflow_points(run), run)


def test_steps_repeated_after_a_kill_appear_once(tiny: Make, tmp_path: Path) -> None:
    run = killed(tiny(training__log_to=["mlflow"]), tmp_path)
    trained(Session.resume(run))
    assert_same(log_readers.mlflow_points(run), run)
    assert log_readers.mlflow(run)[1].info.status == "FINISHED"


def test_a_server_that_cannot_be_reached_is_named_once(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    run = trained(Session.start(tiny(training__log_to=["mlflow"])))
    (notice,) = warnings(run)
    assert notice.startswith("MLflow was turned off, training continues: http://127.0.0.1:9")
    assert run.info().state == "done"
