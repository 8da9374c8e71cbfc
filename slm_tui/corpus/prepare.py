"""Prepared corpora: tokenized once per fingerprint, checksummed, memory-mapped, shared by runs."""

import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slm_tui import manifest as manifests
from slm_tui import paths
from slm_tui.config.built import NotBuiltYet, check_built
from slm_tui.config.data import BpeTokenizer, FileData, Gpt2Tokenizer, StoriesData
from slm_tui.config.preset import Preset
from slm_tui.corpus import sources
from slm_tui.corpus.sources import Document
from slm_tui.corpus.split import PARTS, Parts, limited, split, without_duplicates
from slm_tui.corpus.tokenizers import Tokenizer, byte_tokenizer, from_json, load_gpt2, train_bpe
from slm_tui.errors import CorpusError

FORMAT = 1
Progress = Callable[[str, float], None]
Tokens = NDArray[np.unsignedinteger]


class Cancelled(Exception):  # noqa: N818 - not an error: somebody asked for it
    """Preparation was stopped on request; nothing was left behind."""


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
        """True entropy of the validation text in bits per byte, where the source knows it."""
        value = self.manifest["parts"]["val"].get("bits_per_byte")
        return None if value is None else float(value)

    def bytes_per_token(self, part: str) -> float:
        """Mean bytes per token of a part; 1 where it is empty."""
        counts = self.manifest["parts"][part]
        return counts["bytes"] / counts["tokens"] if counts["tokens"] and counts["bytes"] else 1.0

    @property
    def begins_documents(self) -> bool:
        """Whether the model learns what follows end-of-text: there are several documents."""
        return int(self.manifest["parts"]["train"]["documents"]) >= 16


def prepare(
    preset: Preset, *, progress: Progress | None = None, cancel: Event | None = None
) -> Corpus:
    """Return the corpus of `preset`, from the cache or made now.

    A cached corpus that is damaged or half-written is made again.

    Raises:
        CorpusError: the source cannot be read or is too short.
        NotBuiltYet: this version cannot read the source or make the tokenizer.
        Cancelled: `cancel` was set.
    """
    check_built(preset)
    identity = _identity(preset)
    fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]
    directory = paths.corpora_dir() / fingerprint
    if directory.is_dir():
        try:
            return load(directory)
        except CorpusError:
            shutil.rmtree(directory, ignore_errors=True)
    try:
        _make(preset, identity, directory, _Steps(progress, cancel))
    except OSError as error:
        raise CorpusError(
            f"the corpus cannot be written to {directory.parent}",
            error.strerror or str(error),
            "free some space, or set SLM_TUI_HOME to another place",
        ) from None
    return load(directory)


def cached(preset: Preset) -> dict[str, Any] | None:
    """The manifest of the preset's corpus if it is prepared, without checking its tokens."""
    try:
        identity = _identity(preset)
    except (CorpusError, NotImplementedError):
        return None
    fingerprint = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]
    try:
        manifest = json.loads((paths.corpora_dir() / fingerprint / "manifest.json").read_text())
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) else None


def reopen(fingerprint: str) -> Corpus | None:
    """The prepared corpus of that fingerprint, if it is there and whole; needs no source."""
    try:
        return load(paths.corpora_dir() / fingerprint)
    except CorpusError:
        return None


def load(directory: Path) -> Corpus:
    """Open a prepared corpus and verify its checksums.

    Raises:
        CorpusError: it is not there, or a file of it is missing or damaged.
    """
    try:
        manifest = manifests.unsealed((directory / "manifest.json").read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise CorpusError(f"corpus {directory.name} has format {manifest['format']}")
        for name, digest in manifest["sha256"].items():
            if manifests.digest(directory / name) != digest:
                raise CorpusError(f"{directory / name} is damaged", "its checksum differs")
        tokenizer = from_json((directory / "tokenizer.json").read_text(encoding="utf-8"))
        streams = {part: _mapped(directory / f"{part}.bin", manifest["dtype"]) for part in PARTS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"the corpus in {directory} cannot be opened", str(error)) from None
    return Corpus(directory, tokenizer, manifest, **streams)


class _Steps:
    """Reports progress and notices cancellation, in the same place."""

    def __init__(self, progress: Progress | None, cancel: Event | None) -> None:
        self._progress = progress
        self._cancel = cancel
        self._last = 0.0

    def __call__(self, stage: str, part: float) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled
        now = time.monotonic()
        if self._progress is not None and (now - self._last > 0.1 or part in (0.0, 1.0)):
            self._last = now
            self._progress(stage, part)


def _identity(preset: Preset) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "source": sources.fingerprint(preset.data),
        "tokenizer": preset.tokenizer.model_dump(mode="json", exclude_none=True),
    }


def _make(preset: Preset, identity: dict[str, Any], directory: Path, step: _Steps) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    _sweep(directory.parent)
    temporary = Path(tempfile.mkdtemp(prefix=".making-", dir=directory.parent))
    try:
        parts = _parts(preset, step)
        tokenizer = _tokenizer(preset, parts.documents["train"], step)
        manifest = _write(preset, parts, tokenizer, temporary, step)
        manifest |= {"identity": identity, "fingerprint": directory.name}
        paths.write_atomically(temporary / "manifest.json", manifests.sealed(manifest))
        paths.fsync_directory(temporary)
        try:
            os.replace(temporary, directory)
        except OSError:
            # Another process made the same corpus in the meantime: its copy is as good.
            if not (directory / "manifest.json").is_file():
                raise
        paths.fsync_directory(directory.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sweep(directory: Path) -> None:
    """Remove what a killed preparation left behind more than an hour ago."""
    for left in directory.glob(".making-*"):
        try:
            if time.time() - left.stat().st_mtime > 3600:
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue


def _parts(preset: Preset, step: _Steps) -> Parts:
    data = preset.data
    if isinstance(data, FileData):
        step("reading", 0.0)
        return split(limited(sources.file_documents(data), data.limit), data.split)
    if not isinstance(data, StoriesData):
        raise NotBuiltYet(f"the source {data.kind}", "it comes in a later version")
    first, documents_of = 0, {}
    wanted = sources.stories_wanted(data)
    total = sum(wanted.values())
    for part, count in wanted.items():
        found = []
        for number, document in enumerate(sources.stories(data, first, count)):
            if number % 256 == 0:
                step("writing stories", (first + number) / total)
            found.append(document)
        documents_of[part] = found
        first += count
    if data.limit.characters is not None:
        documents_of["train"] = limited(documents_of["train"], data.limit)
    return without_duplicates(Parts(documents_of))


def _tokenizer(preset: Preset, train: Sequence[Document], step: _Steps) -> Tokenizer:
    config = preset.tokenizer
    if isinstance(config, BpeTokenizer):
        step("training the tokenizer", 0.0)
        texts = [document.text for document in limited(train, config.limit)]
        return train_bpe(
            texts,
            config.vocab_size,
            progress=lambda part: step("training the tokenizer", part),
        )
    if isinstance(config, Gpt2Tokenizer):
        step("loading the tokenizer", 0.0)
        return load_gpt2(config.vocab_size)
    return byte_tokenizer()


def _write(
    preset: Preset, parts: Parts, tokenizer: Tokenizer, directory: Path, step: _Steps
) -> dict[str, Any]:
    dtype = "uint16" if tokenizer.n_vocab <= 65_536 else "uint32"
    counts: dict[str, Any] = {}
    for part in PARTS:
        most = _most_tokens(preset, part)
        counts[part] = _write_part(
            parts.documents.get(part, []), tokenizer, directory / f"{part}.bin", dtype, most, step
        )
    (directory / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
    names = [f"{part}.bin" for part in PARTS] + ["tokenizer.json"]
    return {
        "format": FORMAT,
        "dtype": dtype,
        "n_vocab": tokenizer.n_vocab,
        "parts": counts,
        "duplicates_removed": parts.duplicates,
        "sha256": {name: manifests.digest(directory / name) for name in names},
    }


def _most_tokens(preset: Preset, part: str) -> int | None:
    """A limit in tokens is shared by the parts as the split says; stories limit training only."""
    most, ratios = preset.data.limit.tokens, preset.data.split
    if most is None:
        return None
    if isinstance(preset.data, StoriesData):
        return most if part == "train" else None
    shares = {"val": ratios.validation, "test": ratios.test}
    shares["train"] = 1 - ratios.validation - ratios.test
    return round(most * shares[part])


def _write_part(
    documents: Sequence[Document],
    tokenizer: Tokenizer,
    path: Path,
    dtype: str,
    most: int | None,
    step: _Steps,
) -> dict[str, Any]:
    """Write `end-of-text, document, end-of-text, document, …, end-of-text`; return its counts."""
    lengths: list[int] = []
    size = tokens = 0
    end = np.array([tokenizer.end_of_text], dtype=dtype)
    chunk = 256
    with path.open("wb") as file:
        if documents:
            file.write(end.tobytes())
            tokens += 1
        for at in range(0, len(documents), chunk):
            step("cutting into tokens", at / len(documents))
            for ids in tokenizer.encode_batch([one.text for one in documents[at : at + chunk]]):
                room = None if most is None else most - tokens
                if room is not None and room <= 0:
                    break
                cut = ids if room is None else ids[:room]
                file.write(np.asarray(cut, dtype=dtype).tobytes())
                tokens += len(cut)
                size += int(tokenizer.byte_lengths()[cut].sum())
                lengths.append(len(cut))
                if room is None or len(cut) < room:
                    file.write(end.tobytes())
                    tokens += 1
        file.flush()
        os.fsync(file.fileno())
    return {
        "documents": len(lengths),
        "tokens": tokens,
        "bytes": size,
        "longest": max(lengths, default=0),
        "shortest": min(lengths, default=0),
        **_information(documents[: len(lengths)]),
    }


def _information(documents: Sequence[Document]) -> dict[str, float]:
    """Exact information of the documents, where every one of them knows its own."""
    if not documents or any(one.bits is None for one in documents):
        return {}
    bits = math.fsum(one.bits for one in documents if one.bits is not None)
    size = sum(len(one.text.encode()) for one in documents)
    return {"bits": bits, "bits_per_byte": bits / size}


def _mapped(path: Path, dtype: str) -> Tokens:
    if path.stat().st_size == 0:
        return np.empty(0, dtype=dtype)
    # A plain array over the map: indexing a memmap object costs several times more.
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))
