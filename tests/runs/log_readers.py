"""Reads back what was written for other tools: TensorBoard's files with its own reader, W&B's
with its own messages from the record format that it shares with LevelDB's log."""

import csv
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slm_tui import paths
from slm_tui.runs.store import Run

_BLOCK = 32768
_FIRST_HEADER = 7
# Our scalar names and the matching columns of the CSV log.
COLUMNS = {
    "loss/train": "train_loss",
    "bpb/train": "train_bpb",
    "loss/validation": "val_loss",
    "bpb/validation": "val_bpb",
    "learning_rate": "learning_rate",
    "gradient_norm": "grad_norm",
    "tokens_per_second": "tokens_per_second",
}

Points = dict[str, list[tuple[int, float]]]


def csv_points(run: Run) -> Points:
    """The log of the run as `(step, value)` by name; of repeated steps, the later row."""
    with (run.path / "training_log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns: Points = {}
    for name, column in COLUMNS.items():
        points = {int(row["step"]): float(row[column]) for row in rows if row[column]}
        columns[name] = sorted(points.items())
    return columns


def tensorboard(directory: Path) -> Any:
    """TensorBoard's own reader, with all points kept."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    everything = {"scalars": 0, "tensors": 0}
    return EventAccumulator(str(directory), size_guidance=everything).Reload()


def tensorboard_points(directory: Path) -> Points:
    events = tensorboard(directory)
    return {
        tag: [(one.step, one.value) for one in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def tensorboard_texts(directory: Path, tag: str) -> dict[int, str]:
    return {
        one.step: one.tensor_proto.string_val[0].decode()
        for one in tensorboard(directory).Tensors(tag)
    }


def wandb_records(file: Path) -> list[Any]:
    """All messages of one `.wandb` file, checksums verified."""
    from wandb.proto.wandb_internal_pb2 import Record

    return [Record.FromString(data) for data in _joined(file.read_bytes())]


def _joined(data: bytes) -> Iterator[bytes]:
    assert data[:4] == b":W&B"
    at, parts = _FIRST_HEADER, b""
    while at + 7 <= len(data):
        if _BLOCK - at % _BLOCK < 7:
            at += _BLOCK - at % _BLOCK
            continue
        checksum, length, kind = struct.unpack("<IHB", data[at : at + 7])
        body = data[at + 7 : at + 7 + length]
        assert zlib.crc32(bytes([kind]) + body) & 0xFFFFFFFF == checksum
        parts += body
        if kind in (1, 4):
            yield parts
            parts = b""
        at += 7 + length


def wandb_rows(file: Path) -> list[dict[str, Any]]:
    """The history of one `.wandb` file, a row for each step."""
    return [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}
        for record in wandb_records(file)
        if (items := record.history.item)
    ]


def mlflow(run: Run) -> tuple[Any, Any]:
    """MLflow's own client, and its record of `run`."""
    # Read first: mlflow cannot be imported in two threads at once, and the sink imports it too.
    run_id = json.loads((run.path / "mlflow" / "id").read_text())
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=(paths.data_dir() / "mlflow").as_uri())
    return client, client.get_run(run_id)


def mlflow_points(run: Run) -> Points:
    client, record = mlflow(run)
    return {
        name: [(one.step, one.value) for one in client.get_metric_history(record.info.run_id, name)]
        for name in record.data.metrics
    }
