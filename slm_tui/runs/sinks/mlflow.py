"""MLflow: the server in `MLFLOW_TRACKING_URI`, otherwise files that its own interface can show.

The files of all runs are together, in `mlflow` of the data directory, so that they can be compared
there. A run of slm-tui is one run of MLflow, even after resuming: its id is kept.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from slm_tui import paths
from slm_tui.config.preset import Preset
from slm_tui.corpus.sources import network
from slm_tui.runs.sinks.contract import hyperparameters, keep_id, kept_id
from slm_tui.runs.store import Run
from slm_tui.training.events import Sampled, Started

_EXPERIMENT = "slm-tui"
# Limits of a tracking server.
_MOST_PARAMETERS, _MOST_METRICS, _MOST_CHARACTERS = 100, 1000, 6000
# Its own retries take minutes, and a run that ends waits for them.
_DEFAULTS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


class MLflow:
    """Sends the figures of a step together, several steps at once.

    MLflow cannot rewind. Steps repeated after a crash are identical and are skipped.

    Raises:
        MlflowException: the server or the directory refuses the run.
        ConnectionError: the server cannot be reached.
    """

    can_rewind = False

    def __init__(self, run: Run, preset: Preset, started: Started) -> None:
        self._client = MlflowClient(tracking_uri=_address())
        self._metrics: list[Metric] = []
        path = run.path / "mlflow" / "id"
        self._run_id = self._resumed(path)
        if self._run_id:
            return
        created = self._client.create_run(self._experiment(), run_name=run.id)
        self._run_id = str(created.info.run_id)
        keep_id(path, self._run_id)
        values = hyperparameters(preset, started)
        parameters = [Param(name, str(one)[:_MOST_CHARACTERS]) for name, one in values.items()]
        for at in range(0, len(parameters), _MOST_PARAMETERS):
            some = parameters[at : at + _MOST_PARAMETERS]
            self._client.log_batch(self._run_id, params=some)
        self._client.log_text(self._run_id, preset.to_toml(), "preset.toml")

    def _resumed(self, path: Path) -> str:
        """The id of the run that a resumed one continues; empty if the store does not have it."""
        run_id = kept_id(path)
        try:
            if run_id:
                self._client.update_run(run_id, status="RUNNING")
        except MlflowException:
            return ""
        return run_id

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))

    def rewind(self, step: int) -> None:
        return

    def scalars(self, step: int, values: dict[str, float], when: float) -> None:
        at = round(when * 1000)
        self._metrics += [Metric(name, value, at, step) for name, value in values.items()]

    def samples(self, step: int, samples: Sequence[Sampled], when: float) -> None:
        text = "\n\n".join(one.prompt + one.text for one in samples)
        self._client.log_text(self._run_id, text, f"samples/step-{step:06}.txt")

    def flush(self) -> None:
        # The newest step waits for what else belongs to it, and a resumed run does not repeat it.
        newest = self._metrics[-1].step if self._metrics else 0
        self._send([one for one in self._metrics if one.step < newest])
        self._metrics = [one for one in self._metrics if one.step == newest]

    def _send(self, metrics: list[Metric]) -> None:
        for at in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(self._run_id, metrics=metrics[at : at + _MOST_METRICS])

    def close(self, *, failed: bool) -> None:
        self._send(self._metrics)
        status = "FAILED" if failed else "FINISHED"
        self._client.set_terminated(self._run_id, status, end_time=round(time.time() * 1000))


def _address() -> str:
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if address.startswith("http") and not network.answers(address):
        raise ConnectionError(f"{address} (MLFLOW_TRACKING_URI) cannot be reached")
    if not address:
        # MLflow recommends a database, for which it needs many more packages.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        address = (paths.data_dir() / "mlflow").as_uri()
    return address
