"""Logs for other tools: what they read back matches the CSV log."""

import http.server
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slm_tui.config import overrides
from slm_tui.config.drafts import Draft, spelled
from slm_tui.config.preset import Preset, check, from_toml
from slm_tui.errors import PresetError
from slm_tui.live.session import Session
from slm_tui.runs import store
from slm_tui.runs.sinks import feed, open_sinks
from slm_tui.runs.store import Run
from slm_tui.training.events import Event, Finished, Saving, Started, Stepped, Warned
from tests import extent, limits
from tests.conftest import tiny_values
from tests.runs import log_readers
from tests.runs.log_readers import Points

Make = Callable[..., Preset]

needs_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed"
)
needs_wandb = pytest.mark.skipif(
    importlib.util.find_spec("wandb") is None, reason="wandb is not installed"
)


@pytest.fixture(autouse=True)
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """No step is thinned out; logins, variables and network of the user who runs the tests do
    not matter."""
    monkeypatch.setattr(feed, "STEP_SECONDS", 0.0)
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("NETRC", os.devnull)


def trained(session: Session) -> Run:
    assert session.wait(120)
    return session.run


def warnings(run: Run) -> list[str]:
    lines = [json.loads(line) for line in (run.path / "events.jsonl").open()]
    return [line["message"] for line in lines if line["event"] == "warned"]


def assert_same(written: Points, run: Run) -> None:
    """Exactly the values of the CSV log, in order and once."""
    for name, points in log_readers.csv_points(run).items():
        steps = [step for step, _ in points]
        assert [step for step, _ in written[name]] == steps, name
        # TensorBoard has 32-bit floats; the CSV rounds tokens per second to a tenth.
        expected = pytest.approx([value for _, value in points], rel=1e-6, abs=0.051)
        exact = pytest.approx([value for _, value in points], rel=1e-6)
        values = [value for _, value in written[name]]
        assert values == (expected if name == "tokens_per_second" else exact), name


def stop_at(step: int, started: list[Session]) -> Callable[[Event], None]:
    def sink(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == step:
            while not started:
                time.sleep(0.001)
            started[0].stop()

    return sink


# Choosing loggers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tensorboard", ("tensorboard",)),
        ("wandb, tensorboard", ("wandb", "tensorboard")),
        ('["tensorboard", "wandb"]', ("tensorboard", "wandb")),
        ('["wandb", "wandb"]', ("wandb",)),
        ("[]", ()),
        ("none", ()),
    ],
)
def test_loggers_are_chosen_by_typed_names(
    tiny: Make, text: str, expected: tuple[str, ...]
) -> None:
    preset = overrides.apply(tiny(), [f"training.log_to={text}"])
    assert preset.training.log_to == expected
    assert from_toml(preset.to_toml()).training.log_to == expected


@pytest.mark.parametrize("text", ["tensorboard", "tensorboard, wandb", '["wandb"]', ""])
def test_loggers_are_chosen_in_the_form(tiny: Make, text: str) -> None:
    draft = Draft(tiny(), builtin=False)
    (setting,) = [one for one in draft.settings() if one.path == "training.log_to"]
    draft.put_text(setting, text)
    assert draft.problems == {}
    chosen = draft.value(setting)
    assert chosen == [name for name in ("tensorboard", "wandb") if name in text]
    # The form shows it in a way that can be typed again.
    draft.put_text(setting, spelled(chosen))
    assert draft.value(setting) == chosen


def test_the_error_for_an_unknown_logger_lists_the_known_ones(tiny: Make) -> None:
    with pytest.raises(
        PresetError, match=r"'paper' is not a supported logger; try tensorboard, wandb or mlflow"
    ):
        overrides.apply(tiny(), ["training.log_to=paper"])
    _, wrong = check(tiny_values(training__log_to=["paper"]))
    assert [problem.path for problem in wrong] == ["training.log_to"]


def test_by_default_nothing_else_is_written(tiny: Make) -> None:
    run = trained(Session.start(tiny()))
    assert not (run.path / "tensorboard").exists()
    assert not (run.path / "wandb").exists()


# TensorBoard


@needs_tensorboard
def test_tensorboard_has_every_value_of_the_log(tiny: Make) -> None:
    run = trained(Session.start(tiny(training__log_to=["tensorboard"])))
    assert_same(log_readers.tensorboard_points(run.path / "tensorboard"), run)
    assert warnings(run) == []


@needs_tensorboard
def test_tensorboard_has_the_samples_and_the_preset(tiny: Make) -> None:
    preset = tiny(training__log_to=["tensorboard"], sampling__prompts=["Once", "# Two"])
    run = trained(Session.start(preset))
    directory = run.path / "tensorboard"
    texts = log_readers.tensorboard_texts(directory, "samples")
    assert sorted(texts) == [6, 12]
    assert texts[6].startswith("    Once")
    # Indented, so that text that looks like Markdown is shown literally.
    assert "\n    # Two" in texts[6]
    (text,) = log_readers.tensorboard_texts(directory, "preset").values()
    assert from_toml("\n".join(line[4:] for line in text.split("\n"))) == run.preset()


@needs_tensorboard
def test_tensorboard_has_the_hyperparameters(tiny: Make) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    run = trained(Session.start(tiny(training__log_to=["tensorboard"])))
    events = log_readers.tensorboard(run.path / "tensorboard")
    (content,) = events.PluginTagToContent("hparams").values()
    values = HParamsPluginData.FromString(content).session_start_info.hparams
    assert values["optimizer.learning_rate"].number_value == 0.01
    assert values["model.kind"].string_value == "gpt"
    assert values["facts.parameters"].number_value == run.info().facts["parameters"]
    assert "description" not in values


@needs_tensorboard
def test_a_resumed_run_continues_in_the_same_directory(tiny: Make) -> None:
    started: list[Session] = []
    preset = tiny(training__log_to=["tensorboard"])
    started.append(Session.start(preset, sinks=(stop_at(7, started),)))
    run = trained(started[0])
    trained(Session.resume(run))
    trained(Session.resume(run, more_steps=5))
    directory = run.path / "tensorboard"
    assert len(list(directory.glob("events.out.tfevents.*"))) == 3
    assert_same(log_readers.tensorboard_points(directory), run)
    assert sorted(log_readers.tensorboard_texts(directory, "samples")) == [6, 12, 17]
    assert len(log_readers.tensorboard_texts(directory, "preset")) == 1


_KILLED = """
import contextlib, os, signal, sys, threading, time
from pathlib import Path
from slm_tui.config.preset import from_file
from slm_tui.live.session import Session
from slm_tui.runs.sinks import feed
from slm_tui.training.events import Stepped
from tests.runs import log_readers

feed.STEP_SECONDS = 0.0
preset = from_file(Path(sys.argv[1]))

def written(run, log):
    # The logs are written by threads and processes that take their time.
    for _ in range(600):
        time.sleep(0.1)
        with contextlib.suppress(Exception):
            if steps(run, log)[-1] >= 10:
                return

def steps(run, log):
    if log == "tensorboard":
        points = log_readers.tensorboard_points(run.path / "tensorboard")["loss/train"]
        return [step for step, _ in points]
    if log == "mlflow":
        return [step for step, _ in log_readers.mlflow_points(run)["loss/train"]]
    (file,) = (run.path / "wandb").glob("offline-run-*/run-*.wandb")
    return [row["_step"] for row in log_readers.wandb_rows(file) if "_step" in row]

def sink(event):
    if isinstance(event, Stepped) and event.step == 11:
        print(session.run.path, flush=True)
        written(session.run, sys.argv[2])
        os.kill(os.getpid(), signal.SIGKILL)

session = Session.start(preset, sinks=(sink,))
session.wait(60)
"""


def killed(preset: Preset, directory: Path) -> Run:
    """A run killed at step 11, after its other log was written; its checkpoint is at step 8."""
    file = directory / "preset.toml"
    file.write_text(preset.to_toml())
    (log,) = preset.training.log_to
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(file), log],
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == -signal.SIGKILL
    return Run(Path(done.stdout.split("\n")[0]))


@needs_tensorboard
def test_steps_repeated_after_a_kill_appear_once(tiny: Make, tmp_path: Path) -> None:
    run = killed(tiny(training__log_to=["tensorboard"]), tmp_path)
    directory = run.path / "tensorboard"
    before = log_readers.tensorboard_points(directory)["loss/train"]
    assert [step for step, _ in before][-1] >= 10
    trained(Session.resume(run))
    assert_same(log_readers.tensorboard_points(directory), run)


@needs_tensorboard
def test_a_torn_event_file_does_not_hide_what_follows(tiny: Make) -> None:
    started: list[Session] = []
    preset = tiny(training__log_to=["tensorboard"])
    started.append(Session.start(preset, sinks=(stop_at(7, started),)))
    run = trained(started[0])
    (file,) = (run.path / "tensorboard").glob("events.out.tfevents.*")
    file.write_bytes(file.read_bytes()[:-5])
    trained(Session.resume(run))
    steps = [s for s, _ in log_readers.tensorboard_points(file.parent)["loss/train"]]
    assert steps[-5:] == [8, 9, 10, 11, 12]


@needs_tensorboard
def test_tensorflow_is_not_imported(tmp_path: Path) -> None:
    fake = tmp_path / "tensorflow"
    fake.mkdir()
    (fake / "__init__.py").write_text("raise RuntimeError('TensorFlow was imported')")
    code = "import slm_tui.runs.sinks.tensorboard"
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": path}
    limits.run([sys.executable, "-c", code], env=environment)


# Weights & Biases


def wandb_files(run: Run) -> list[Path]:
    return sorted((run.path / "wandb").glob("offline-run-*/run-*.wandb"), key=os.path.getmtime)


def wandb_points(run: Run) -> Points:
    """As W&B reads them: files one after the other, rows in order."""
    result: Points = {name: [] for name in log_readers.COLUMNS}
    for file in wandb_files(run):
        for row in log_readers.wandb_rows(file):
            for name, points in result.items():
                if name in row:
                    points.append((row["_step"], row[name]))
    return result


@needs_wandb
def test_wandb_has_every_value_of_the_log(tiny: Make) -> None:
    run = trained(Session.start(tiny(training__log_to=["wandb"])))
    assert_same(wandb_points(run), run)
    assert warnings(run) == []


@needs_wandb
def test_wandb_has_the_preset_the_facts_and_the_samples(tiny: Make) -> None:
    preset = tiny(training__log_to=["wandb"], training__wandb_project="mine")
    run = trained(Session.start(preset))
    (file,) = wandb_files(run)
    (record,) = [one.run for one in log_readers.wandb_records(file) if one.run.run_id]
    config = {one.key: json.loads(one.value_json) for one in record.config.update}
    assert (record.project, record.display_name) == ("mine", run.id)
    assert config["preset"] == run.preset().to_dict()
    assert config["facts"] == run.info().facts
    tables = sorted((file.parent / "files" / "media" / "table").iterdir())
    sampled = [json.loads(table.read_text()) for table in tables]
    samples = [json.loads(line) for line in (run.path / "samples.jsonl").open()]
    assert sorted(table["data"][0] for table in sampled) == sorted(
        [one["prompt"], one["text"]] for one in samples
    )


@needs_wandb
@extent.only_in_all
def test_a_resumed_run_is_one_run_in_wandb(tiny: Make, tmp_path: Path) -> None:
    run = killed(tiny(training__log_to=["wandb"]), tmp_path)
    trained(Session.resume(run))
    files = wandb_files(run)
    assert len(files) == 2
    assert len({file.name for file in files}) == 1
    assert_same(wandb_points(run), run)


@needs_wandb
def test_without_a_login_wandb_is_offline_with_a_single_notice(
    tiny: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE")
    # A port that refuses connections simulates having no network.
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    run = trained(Session.start(tiny(training__log_to=["wandb"])))
    (notice,) = warnings(run)
    assert "offline" in notice
    assert "wandb sync" in notice
    assert_same(wandb_points(run), run)


class HalfDead(http.server.BaseHTTPRequestHandler):
    """Accepts connections but never answers."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        time.sleep(15)

    def log_message(self, *arguments: object) -> None:
        return


@pytest.fixture
def half_dead(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """W&B's address answers, but uselessly."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), HalfDead)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("WANDB_MODE", "online")
    yield
    server.shutdown()
    server.server_close()


@needs_wandb
@pytest.mark.parametrize("key", ["", pytest.param("0123456789" * 4, marks=extent.only_in_all)])
def test_a_server_that_rejects_or_ignores_wandb_makes_it_offline(
    tiny: Make, monkeypatch: pytest.MonkeyPatch, half_dead: None, key: str
) -> None:
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "2")
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    run = trained(Session.start(tiny(training__log_to=["wandb"])))
    (notice,) = warnings(run)
    assert "offline" in notice
    assert_same(wandb_points(run), run)


@needs_wandb
def test_wandb_can_be_disabled_by_its_variable(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    run = trained(Session.start(tiny(training__log_to=["wandb"])))
    assert wandb_files(run) == []
    assert warnings(run) == []


@needs_wandb
@needs_tensorboard
def test_tensorboard_and_wandb_together(tiny: Make) -> None:
    run = trained(Session.start(tiny(training__log_to=["tensorboard", "wandb"])))
    assert_same(wandb_points(run), run)
    assert_same(log_readers.tensorboard_points(run.path / "tensorboard"), run)


# Failures


def test_a_missing_package_is_reported_once(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "slm_tui.runs.sinks.tensorboard", raising=False)
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    run = trained(Session.start(tiny(training__log_to=["tensorboard"])))
    (notice,) = warnings(run)
    assert "pip install 'slm-tui[tensorboard]'" in notice
    assert run.info().state == "done"


@needs_tensorboard
def test_a_full_disk_turns_off_only_the_logger(tiny: Make) -> None:
    preset = tiny(training__log_to=["tensorboard"])
    run = store.create(preset)
    (run.path / "tensorboard").symlink_to("/dev/full")
    session = Session(run, preset, resume=True)
    session._thread.start()
    trained(session)
    (notice,) = warnings(run)
    assert notice.startswith("TensorBoard was turned off, training continues: ")
    assert run.info().state == "done"


class Stuck:
    """A destination whose server no longer answers."""

    can_rewind = False

    def __init__(self, release: threading.Event) -> None:
        self._release = release

    def rewind(self, step: int) -> None:
        return

    def scalars(self, step: int, values: dict[str, float], when: float) -> None:
        self._release.wait(30)

    def samples(self, step: int, samples: Any, when: float) -> None:
        return

    def flush(self) -> None:
        return

    def close(self, *, failed: bool) -> None:
        return


def step(number: int) -> Stepped:
    return Stepped(number, number * 0.1, number * 64, 0.01, 2.0, 1.5, 640.0)


def test_a_hanging_destination_is_abandoned(tmp_path: Path) -> None:
    release = threading.Event()
    messages: list[str] = []
    stuck = feed.SinkFeed("wandb", tmp_path, lambda started: Stuck(release), messages.append)
    for event in (Started(0, 10), step(1), step(2), Finished(2, "done")):
        stuck(event)
    stuck.close(0.2)
    release.set()
    assert len(messages) == 1
    assert "did not finish" in messages[0]


def test_steps_are_thinned_except_checkpoints_and_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "STEP_SECONDS", 3600.0)
    seen: list[int] = []

    class Noting(Stuck):
        def scalars(self, step: int, values: dict[str, float], when: float) -> None:
            seen.append(step)

    noting = feed.SinkFeed("x", tmp_path, lambda started: Noting(threading.Event()), pytest.fail)
    noting(Started(0, 10))
    for number in range(1, 11):
        noting(step(number))
        if number == 6:
            noting(Saving(6))
    noting(Finished(10, "done"))
    noting.close(30)
    assert seen == [1, 6, 10]


def test_nothing_is_opened_before_training_begins(tiny: Make) -> None:
    preset = tiny(training__log_to=["tensorboard", "wandb"])
    run = store.create(preset)
    events: list[Event] = []
    sinks = open_sinks(run, preset, events.append)
    sinks(Warned(0, "the text is being read"))
    sinks.close()
    assert {path.name for path in run.path.iterdir()} == {"preset.toml", "run.json", "checkpoints"}
    assert events == []
