"""Prepared corpora: tokenized once per fingerprint, checksummed, memory-mapped, shared by runs."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slm_tui import manifest as manifests
from slm_tui import paths, safe_files
from slm_tui.config.preset import Preset
from slm_tui.corpus import build, sources
from slm_tui.corpus.progress import Cancelled, Meter, Progress, Report
from slm_tui.corpus.split import PARTS
from slm_tui.corpus.tokenizers import Tokenizer, from_json
from slm_tui.errors import CorpusError, cause_of, is_system_limit, remedy_for

__all__ = [
    "Cancelled",
    "Corpus",
    "Progress",
    "cached",
    "load",
    "prepare",
    "prepare_again",
    "reopen",
]

FORMAT = 2
_FINGERPRINT = re.compile(r"[0-9a-f]{24}")
_MOST_MANIFEST = 2**26
Tokens = NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus. Token streams are `(length,)`, uint16 or uint32, mapped from disk."""

    directory: Path
    tokenizer: Tokenizer
    manifest: dict[str, Any]
    train: Tokens
    val: Tokens
    test: Tokens

    @property
    def fingerprint(self) -> str:
        return str(self.manifest["fingerprint"])

    @property
    def floor(self) -> float | None:
        """True entropy of the validation text in bits per byte, if the source knows it."""
        value = self.manifest["parts"]["val"].get("bits_per_byte")
        return None if value is None else float(value)

    def bytes_per_token(self, part: str) -> float:
        """Mean bytes per token of a split; 1 if it is empty."""
        counts = self.manifest["parts"][part]
        return counts["bytes"] / counts["tokens"] if counts["tokens"] and counts["bytes"] else 1.0

    @property
    def reading(self) -> int:
        """The version of how its text was read."""
        return int(self.manifest.get("reading", sources.TABLES))

    @property
    def own_splits(self) -> frozenset[str]:
        """Which of `val` and `test` the source provided; the others were taken from training."""
        return frozenset(self.manifest.get("own_splits", []))

    @property
    def notes(self) -> list[str]:
        """How the text was read, as far as that may be unexpected."""
        return [str(one) for one in self.manifest["left_out"].get("notes", [])]

    @property
    def begins_documents(self) -> bool:
        """Whether the model learns what follows end-of-text, that is, has several documents."""
        return int(self.manifest["parts"]["train"]["documents"]) >= 16


class _UnavailableError(CorpusError):
    """The corpus may be intact, but a system limit prevents opening it."""


def prepare(
    preset: Preset,
    *,
    tokenizer: Tokenizer | None = None,
    progress: Report | None = None,
    cancel: Event | None = None,
    reading: int = sources.READING,
) -> Corpus:
    """Return the corpus of `preset`, from the cache or newly built.

    A damaged or incomplete cached corpus is rebuilt. `tokenizer` replaces that of the preset if
    given: existing weights fit no other. The text is read as version `reading` read it.

    Raises:
        CorpusError: the source cannot be read or is too short.
        Cancelled: `cancel` was set.
    """
    identity = _identity(preset, tokenizer, reading)
    directory = paths.corpora_dir() / _name_of(identity)
    replaces = False
    if directory.is_dir():
        try:
            return load(directory)
        except _UnavailableError:
            raise
        except CorpusError:
            replaces = True
    try:
        task = _Task(preset, tokenizer, identity, reading, Meter(progress, cancel))
        _make(task, directory, replaces=replaces)
    except OSError as error:
        raise CorpusError(
            f"the corpus cannot be written to {directory.parent}",
            cause_of(error),
            remedy_for(error, "set SLM_TUI_HOME to a writable directory"),
        ) from None
    return load(directory)


def fingerprint(
    preset: Preset, tokenizer: Tokenizer | None = None, *, reading: int = sources.READING
) -> str:
    """The fingerprint of the corpus that `prepare` would return; nothing is prepared.

    An older `reading` gives the fingerprint of that version.

    Raises:
        CorpusError: the source cannot be read.
    """
    return _name_of(_identity(preset, tokenizer, reading))


def prepare_again(
    preset: Preset,
    wanted: str,
    tokenizer: Tokenizer,
    *,
    progress: Report | None = None,
    cancel: Event | None = None,
) -> Corpus | None:
    """The corpus with fingerprint `wanted`, which a run was trained on, read as it was then.

    The first version read tables in a way that no longer exists: such a corpus is read as `TABLES`
    and has another fingerprint.

    Args:
        tokenizer: that of the run, which a forked run has from its parent.

    Returns:
        `None` if the text has changed.

    Raises:
        CorpusError: the source cannot be read or is too short.
        Cancelled: `cancel` was set.
    """
    for reading in range(sources.READING, 0, -1):
        for own in (None, tokenizer):
            if fingerprint(preset, own, reading=reading) == wanted:
                return prepare(
                    preset,
                    # An old tokenizer of the same settings may not be learned again exactly.
                    tokenizer=tokenizer if reading < sources.TABLES else own,
                    progress=progress,
                    cancel=cancel,
                    reading=max(reading, sources.TABLES),
                )
    return None


def cached(preset: Preset) -> dict[str, Any] | None:
    """The manifest of the preset's corpus if it is prepared, without checking its tokens."""
    try:
        directory = paths.corpora_dir() / fingerprint(preset)
    except (CorpusError, NotImplementedError):
        return None
    try:
        manifest = safe_files.read_json(directory / "manifest.json", _MOST_MANIFEST)
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


def reopen(fingerprint: str) -> Corpus | None:
    """The prepared corpus of that fingerprint, if it exists and is intact; needs no source.

    Raises:
        CorpusError: a system limit prevents opening it.
    """
    # It may come from a file that someone else wrote, and becomes a directory name.
    if not _FINGERPRINT.fullmatch(fingerprint):
        return None
    try:
        return load(paths.corpora_dir() / fingerprint)
    except _UnavailableError:
        raise
    except CorpusError:
        return None


def load(directory: Path) -> Corpus:
    """Open a prepared corpus and verify its checksums.

    Raises:
        CorpusError: it does not exist, or one of its files is missing or damaged.
    """
    try:
        manifest = manifests.unsealed(
            safe_files.read_text(directory / "manifest.json", _MOST_MANIFEST)
        )
        if manifest["format"] != FORMAT:
            raise CorpusError(f"corpus {directory.name} has format {manifest['format']}")
        for name, digest in manifest["sha256"].items():
            if manifests.digest(directory / name) != digest:
                raise CorpusError(f"{directory / name} is damaged", "its checksum differs")
        tokenizer = from_json((directory / "tokenizer.json").read_text(encoding="utf-8"))
        streams = {part: _mapped(directory / f"{part}.bin", manifest["dtype"]) for part in PARTS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        kind = _UnavailableError if is_system_limit(error) else CorpusError
        what = f"the corpus in {directory} cannot be opened"
        raise kind(what, cause_of(error), remedy_for(error, "")) from None
    return Corpus(directory, tokenizer, manifest, **streams)


def _identity(
    preset: Preset, tokenizer: Tokenizer | None, reading: int = sources.READING
) -> dict[str, Any]:
    config = preset.tokenizer.model_dump(mode="json", exclude_none=True)
    return {
        "format": FORMAT,
        "source": sources.fingerprint(preset.data, reading=reading),
        "tokenizer": config if tokenizer is None else {"fingerprint": tokenizer.fingerprint},
    }


def _name_of(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class _Task:
    """A corpus to build: from which settings, and how its text is read."""

    preset: Preset
    tokenizer: Tokenizer | None
    identity: dict[str, Any]
    reading: int
    meter: Meter


def _make(task: _Task, directory: Path, *, replaces: bool) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    safe_files.sweep(directory.parent)
    temporary = Path(tempfile.mkdtemp(prefix=safe_files.MAKING, dir=directory.parent))
    try:
        target, texts = temporary / "corpus", temporary / "texts"
        target.mkdir()
        texts.mkdir()
        _fill(task, target, texts)
        safe_files.sync_directory(target)
        if replaces:
            # Only now: the text of a damaged corpus may be gone.
            safe_files.remove_directory(directory)
        try:
            os.replace(target, directory)
        except OSError:
            # Another process has built the same corpus meanwhile: use its copy.
            if not (directory / "manifest.json").is_file():
                raise
        safe_files.sync_directory(directory.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _fill(task: _Task, target: Path, texts: Path) -> None:
    """Write the files of a corpus to `target`; `texts` is for its staged text."""
    preset, tokenizer, meter = task.preset, task.tokenizer, task.meter
    parts, left_out = build.staged(preset, texts, meter, reading=task.reading)
    if sources.fingerprint(preset.data, reading=task.reading) != task.identity["source"]:
        raise CorpusError(
            "the text changed while it was read", "another program is writing to it", "try again"
        )
    if tokenizer is None:
        tokenizer = build.tokenizer(preset, parts.documents["train"], meter)
    written = build.write(preset, parts, tokenizer, target, meter)
    manifest = {
        "format": FORMAT,
        **written,
        "leakage": build.leakage(parts, written["parts"], meter),
        "left_out": left_out.to_dict(),
        "text": preset.data.label,
        "reading": task.reading,
        "identity": task.identity,
        "fingerprint": _name_of(task.identity),
    }
    safe_files.write_atomically(target / "manifest.json", manifests.sealed(manifest))


def _mapped(path: Path, dtype: str) -> Tokens:
    if path.stat().st_size == 0:
        return np.empty(0, dtype=dtype)
    # A plain array over the map: indexing a memmap object is several times slower.
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))
