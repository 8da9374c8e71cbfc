"""Building a corpus: staged text, splits, tokenizer, tokens, leaks."""

import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from slm_tui import manifest as manifests
from slm_tui.config.limits import Split
from slm_tui.config.preset import Preset
from slm_tui.config.tokenizer import (
    BpeSettings,
    BytesSettings,
    CharsSettings,
    Gpt2Settings,
    TokenizerSettings,
)
from slm_tui.corpus import overlap, sources
from slm_tui.corpus.parallel import cores, in_order
from slm_tui.corpus.progress import Meter
from slm_tui.corpus.sources import LeftOut
from slm_tui.corpus.split import PARTS, SplitDocuments, limited, split, without_duplicates
from slm_tui.corpus.staging import Chunk, DocumentSpans
from slm_tui.corpus.tokenizers import (
    Tokenizer,
    byte_tokenizer,
    chars_tokenizer,
    load_gpt2,
    train_bpe,
)
from slm_tui.corpus.tokenizers.contract import Ids

_CUTTING = "tokenizing"


def staged(
    preset: Preset, directory: Path, meter: Meter, *, reading: int = sources.READING
) -> tuple[SplitDocuments, LeftOut]:
    """The documents of each split, on disk in `directory`, and what the source left out."""
    data = preset.data
    source = sources.stage(data, directory, meter, reading=reading)
    parts, own = source.parts, frozenset[str]()
    if not source.complete:
        own = frozenset(parts) - {"train"}
        parts = _divided(parts, data.split)
    return replace(without_duplicates(parts), own=own), source.left_out


def _divided(parts: dict[str, DocumentSpans], ratios: Split) -> dict[str, DocumentSpans]:
    """Take held-out documents from training, unless the source has splits for them."""
    named = {part: parts[part] for part in PARTS[1:] if part in parts}
    missing = Split(
        validation=0.0 if "val" in named else ratios.validation,
        test=0.0 if "test" in named else ratios.test,
    )
    return {**split(parts["train"], missing), **named}


def tokenizer(preset: Preset, train: DocumentSpans, meter: Meter) -> Tokenizer:
    """The tokenizer of the preset, trained on the training split if it is trainable.

    Raises:
        CorpusError: GPT-2's vocabulary is not available.
    """
    return TOKENIZERS[type(preset.tokenizer)](preset.tokenizer, train, meter)


def _bytes(config: BytesSettings, train: DocumentSpans, meter: Meter) -> Tokenizer:
    return byte_tokenizer()


def _chars(config: CharsSettings, train: DocumentSpans, meter: Meter) -> Tokenizer:
    texts = limited(train, config.limit)
    return chars_tokenizer(_counted(texts, "collecting characters", train.bytes, meter))


def _bpe(config: BpeSettings, train: DocumentSpans, meter: Meter) -> Tokenizer:
    return train_bpe(
        _counted(limited(train, config.limit), "counting words", train.bytes, meter),
        config.vocab_size,
        merging=lambda: meter("merging pairs", 0, None, "share"),
    )


def _gpt2(config: Gpt2Settings, train: DocumentSpans, meter: Meter) -> Tokenizer:
    meter("loading the tokenizer", 0, None, "share")
    return load_gpt2(config.vocab_size)


# Builds each tokenizer from its settings and the training split: register new ones here.
TOKENIZERS: dict[type[TokenizerSettings], Callable[[Any, DocumentSpans, Meter], Tokenizer]] = {
    BytesSettings: _bytes,
    CharsSettings: _chars,
    BpeSettings: _bpe,
    Gpt2Settings: _gpt2,
}


def _counted(texts: Iterable[str], stage: str, total: int, meter: Meter) -> Iterator[str]:
    done = 0
    for text in texts:
        meter(stage, done, total)
        yield text
        done += len(text)


def write(
    preset: Preset, parts: SplitDocuments, tokenizer: Tokenizer, directory: Path, meter: Meter
) -> dict[str, Any]:
    """Write the tokens of each split and the tokenizer; return their counts and checksums.

    Raises:
        OSError: the disk is full.
    """
    dtype = "uint16" if tokenizer.n_vocab <= 65_536 else "uint32"
    total, done = sum(parts.documents[part].bytes for part in PARTS), 0
    counts: dict[str, Any] = {}
    for part in PARTS:
        most, documents = most_tokens(preset, part, parts.own), parts.documents[part]
        written = _Writing(directory / f"{part}.bin", dtype, tokenizer, most)
        counts[part] = written.all_of(documents, lambda size: meter(_CUTTING, size, total), done)
        done += documents.bytes
    (directory / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
    names = [f"{part}.bin" for part in PARTS] + ["tokenizer.json"]
    return {
        "dtype": dtype,
        "n_vocab": tokenizer.n_vocab,
        "parts": counts,
        "duplicates_removed": parts.duplicates,
        "own_splits": sorted(parts.own),
        "sha256": {name: manifests.digest(directory / name) for name in names},
    }


def leakage(parts: SplitDocuments, counts: dict[str, Any], meter: Meter) -> dict[str, Any]:
    """The overlap of each held-out split with training, as plain values.

    Documents beyond a token limit, according to the `counts` written, do not count.
    """
    written = {
        part: documents.chosen(slice(0, counts[part]["documents"]))
        for part, documents in parts.documents.items()
    }
    overlaps = overlap.measure(
        written["train"],
        {part: written[part] for part in PARTS[1:] if len(written[part])},
        cores(),
        lambda done, total: meter("looking for leaks", done, total),
    )
    return {part: one.to_dict() for part, one in overlaps.items()}


def most_tokens(preset: Preset, part: str, own: Collection[str] = ()) -> int | None:
    """Divide a token limit among the splits by their ratios; stories, and the splits `own` that
    the source provides, are limited per split."""
    most, ratios = preset.data.limit.tokens, preset.data.split
    if most is None:
        return None
    if preset.data.is_endless:
        return most if part == "train" else None
    if part in own:
        return most
    shares = {"val": ratios.validation, "test": ratios.test}
    shares["train"] = 1 - sum(share for name, share in shares.items() if name not in own)
    return round(most * shares[part])


class _Writing:
    """Writes `end-of-text, document, end-of-text, document, …, end-of-text`, at most `most`."""

    def __init__(self, path: Path, dtype: str, tokenizer: Tokenizer, most: int | None) -> None:
        self._path, self._dtype, self._tokenizer = path, dtype, tokenizer
        self._most = most
        self._tokens = self._size = self._ends = 0
        self._inside = False

    def all_of(
        self, documents: DocumentSpans, step: Callable[[int], None], done: int
    ) -> dict[str, Any]:
        """Write `documents`; `step` is called with the bytes of text done, starting at `done`."""
        end = np.array([self._tokenizer.end_of_text], self._dtype)
        with self._path.open("wb") as file:
            if len(documents):
                self._put(file, end)
            for chunk, ids in in_order(self._encoded, documents.chunks(), cores()):
                step(done)
                done += chunk
                if not self._put(file, ids):
                    break
            step(done)
            file.flush()
            os.fsync(file.fileno())
        count = max(0, self._ends - 1 + int(self._inside))
        return {
            "documents": count,
            "tokens": self._tokens,
            "bytes": self._size,
            **_information(documents, count),
        }

    def _encoded(self, chunk: Chunk) -> tuple[int, Ids]:
        ids = self._tokenizer.encode_documents(chunk.texts)
        return chunk.bytes, (ids if chunk.ends else ids[:-1])

    def _put(self, file: IO[bytes], ids: Ids) -> bool:
        """Write as many of `ids` as the limit allows; False once it is reached."""
        if self._most is not None:
            ids = ids[: self._most - self._tokens]
        if len(ids):
            file.write(ids.astype(self._dtype).tobytes())
            self._tokens += len(ids)
            self._size += int(self._tokenizer.byte_lengths()[ids].sum())
            self._ends += int(np.count_nonzero(ids == self._tokenizer.end_of_text))
            self._inside = int(ids[-1]) != self._tokenizer.end_of_text
        return self._most is None or self._tokens < self._most


def _information(documents: DocumentSpans, count: int) -> dict[str, float]:
    """Exact information of the first `count` documents, if the source knows it."""
    if documents.bits is None or not count:
        return {}
    bits = math.fsum(documents.bits[:count].tolist())
    return {"bits": bits, "bits_per_byte": bits / documents.chosen(slice(0, count)).bytes}
