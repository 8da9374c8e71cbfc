"""TensorBoard: event files in `runs/<run>/tensorboard/`, written without TensorFlow.

`tensorboard.summary.writer` would import TensorFlow if it is installed, and its own thread prints
a traceback on the terminal when the disk is full; only its record format and messages are used
here.
"""

import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from tensorboard.compat.proto.event_pb2 import Event as Entry
from tensorboard.compat.proto.event_pb2 import SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.hparams import metadata as hparams
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo
from tensorboard.plugins.text.metadata import create_summary_metadata
from tensorboard.summary.writer.record_writer import RecordWriter

from slm_tui.config.preset import Preset
from slm_tui.runs.sinks.contract import hyperparameters
from slm_tui.runs.store import Run
from slm_tui.text import visible
from slm_tui.training.events import Sampled, Started


class TensorBoard:
    """Writes one event file per session; TensorBoard reads those of a directory as one run.

    Raises:
        OSError: the directory cannot be written.
    """

    can_rewind = True

    def __init__(self, run: Run, preset: Preset, started: Started) -> None:
        directory = run.path / "tensorboard"
        directory.mkdir(exist_ok=True)
        is_first = not any(directory.glob("events.out.tfevents.*"))
        self._file: BinaryIO = _next_file(directory).open("xb")
        self._records = RecordWriter(self._file)
        self._write(Entry(wall_time=time.time(), file_version="brain.Event:2"))
        if is_first:
            self._describe(preset, started)

    def _describe(self, preset: Preset, started: Started) -> None:
        session = _session(preset, hyperparameters(preset, started))
        content = HParamsPluginData(session_start_info=session)
        summary = Summary.Value(
            tag=hparams.SESSION_START_INFO_TAG,
            metadata=hparams.create_summary_metadata(content),
            tensor=hparams.NULL_TENSOR,
        )
        now = time.time()
        self._summary(started.step, [summary], now)
        facts = "\n".join(f"{name} = {value}" for name, value in started.facts.items())
        texts = [_text("preset", preset.to_toml()), _text("facts", facts)]
        self._summary(started.step, texts, now)

    def rewind(self, step: int) -> None:
        start = SessionLog(status=SessionLog.START)
        self._write(Entry(wall_time=time.time(), step=step, session_log=start))

    def scalars(self, step: int, values: dict[str, float], when: float) -> None:
        summaries = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._summary(step, summaries, when)

    def samples(self, step: int, samples: Sequence[Sampled], when: float) -> None:
        text = "\n\n".join(one.prompt + one.text for one in samples)
        self._summary(step, [_text("samples", text)], when)

    def flush(self) -> None:
        self._records.flush()

    def close(self, *, failed: bool) -> None:
        self._records.close()

    def _summary(self, step: int, values: list[Any], when: float) -> None:
        self._write(Entry(wall_time=when, step=step, summary=Summary(value=values)))

    def _write(self, entry: Any) -> None:
        self._records.write(entry.SerializeToString())


def _next_file(directory: Path) -> Path:
    """A name that sorts after all existing ones: TensorBoard reads files in that order."""
    there = {path.name for path in directory.glob("events.out.tfevents.*")}
    stamp = int(time.time())
    while True:
        name = f"events.out.tfevents.{stamp:010d}.{socket.gethostname()}.{os.getpid()}.0"
        if all(other < name for other in there):
            return directory / name
        stamp += 1


def _session(preset: Preset, values: dict[str, Any]) -> Any:
    session = SessionStartInfo(start_time_secs=time.time(), group_name=preset.name)
    for name, value in values.items():
        slot = session.hparams[name]
        if isinstance(value, bool):
            slot.bool_value = value
        elif isinstance(value, (int, float)):
            slot.number_value = value
        else:
            slot.string_value = str(value)
    return session


def _text(tag: str, text: str) -> Any:
    """The literal text: indented, so that it is not rendered as Markdown."""
    shown = "\n".join(f"    {line}" for line in visible(text).split("\n"))
    plugin = create_summary_metadata(display_name="", description="")
    tensor = TensorProto(
        dtype=DT_STRING, string_val=[shown.encode()], tensor_shape=TensorShapeProto()
    )
    metadata = SummaryMetadata.FromString(plugin.SerializeToString())
    return Summary.Value(tag=tag, metadata=metadata, tensor=tensor)
