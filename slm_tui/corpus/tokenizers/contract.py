"""The interface of every tokenizer, and a decoder that never splits a character."""

import codecs
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.unsignedinteger]

_SURROGATES = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile("[\udc80-\udcff]")


class Tokenizer(ABC):
    """Text to ids and back. Special tokens spelled out in a text are ordinary text.

    Ids are 0 to `n_vocab` - 1, including `end_of_text`. `fingerprint` is the SHA-256, in
    hexadecimal, of everything that determines the ids of a text.
    """

    kind: str
    n_vocab: int
    end_of_text: int
    fingerprint: str

    @abstractmethod
    def encode_array(self, text: str) -> Ids:
        """Ids of `text`, `(length,)`, of type `dtype`; a lone surrogate counts as U+FFFD."""

    @abstractmethod
    def encode_bytes(self, data: bytes) -> list[int]:
        """Ids of `data`, which need not be UTF-8; the same as from `encode` if it is."""

    @abstractmethod
    def token_bytes(self, id: int) -> bytes:
        """The bytes of one token; empty for special tokens and ids outside the vocabulary."""

    @abstractmethod
    def to_json(self) -> str:
        """The whole tokenizer as a `tokenizer.json` that the library `tokenizers` opens."""

    @cached_property
    def document_start(self) -> int:
        """The id in front of a document: end-of-text, unless the tokenizer has another."""
        return self.end_of_text

    @property
    def dtype(self) -> type[np.unsignedinteger]:
        """The narrowest type for storing these ids: 16 or 32 bits."""
        return np.uint16 if self.n_vocab <= 65_536 else np.uint32

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; a lone surrogate counts as U+FFFD."""
        ids: list[int] = self.encode_array(text).tolist()
        return ids

    def encode_batch(self, texts: Sequence[str], threads: int = 1) -> list[Ids]:
        """Ids of each text, `(length,)` each, in the order of `texts`."""
        if threads <= 1 or len(texts) <= 1:
            return [self.encode_array(text) for text in texts]
        from concurrent.futures import ThreadPoolExecutor

        size = -(-len(texts) // (threads * 4))
        groups = [texts[at : at + size] for at in range(0, len(texts), size)]
        with ThreadPoolExecutor(threads) as pool:
            return [ids for group in pool.map(self.encode_batch, groups) for ids in group]

    def encode_documents(self, texts: Sequence[str]) -> Ids:
        """Ids of all texts, `(length,)`, with end-of-text after each."""
        end = np.array([self.end_of_text], self.dtype)
        if not texts:
            return end[:0]
        return np.concatenate([part for text in texts for part in (self.encode_array(text), end)])

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The bytes of `ids`; special tokens add none."""
        return b"".join(self.token_bytes(int(id)) for id in ids)

    def next_bytes(self, id: int, before: int | None) -> bytes:
        """The bytes that `id` adds after the id `before`: nearly always those of the token."""
        return self.token_bytes(id)

    @cached_property
    def _byte_lengths(self) -> NDArray[np.int32]:
        lengths = [len(self.token_bytes(id)) for id in range(self.n_vocab)]
        table = np.array(lengths, dtype=np.int32)
        table.flags.writeable = False
        return table

    def byte_lengths(self) -> NDArray[np.int32]:
        """Bytes of every token, `(n_vocab,)`, read-only; 0 for special tokens."""
        return self._byte_lengths


def sound(text: str) -> str:
    """`text` with every surrogate, which UTF-8 cannot encode, replaced by U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", text)
    return text


def fingerprint_of(kind: str, tokens: Iterable[bytes]) -> str:
    """SHA-256 of the kind and the tokens in the order of their ids, each with its length."""
    digest = hashlib.sha256(f"slm-tui {kind} 1\n".encode())
    for token in tokens:
        digest.update(len(token).to_bytes(4, "big") + token)
    return digest.hexdigest()


class StreamDecoder:
    """Decodes ids one by one: a character is returned once its last byte has arrived.

    The whole output is `bytes.decode("utf-8", "replace")` of all bytes: those that are not
    UTF-8 become U+FFFD. `valid_bytes` and `invalid_bytes` count both kinds; up to three bytes
    of an incomplete character are in neither until it is complete.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._shown = codecs.getincrementaldecoder("utf-8")(errors="replace")
        # The text itself may contain U+FFFD: only escapes show which bytes were not UTF-8.
        self._counted = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
        self._before: int | None = None
        self.valid_bytes = 0
        self.invalid_bytes = 0

    def feed(self, id: int) -> str:
        """The text that became complete with this token."""
        data = self._tokenizer.next_bytes(id, self._before)
        self._before = id
        return self._decode(data, final=False)

    def finish(self) -> str:
        """The text for an incomplete character at the end; the decoder can then be reused."""
        self._before = None
        return self._decode(b"", final=True)

    def _decode(self, data: bytes, *, final: bool) -> str:
        escaped = self._counted.decode(data, final)
        if escaped:
            invalid = len(_ESCAPED.findall(escaped))
            self.invalid_bytes += invalid
            self.valid_bytes += len(escaped.encode("utf-8", "surrogateescape")) - invalid
        return self._shown.decode(data, final)
