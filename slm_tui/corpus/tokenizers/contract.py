"""What every tokenizer can do, and the decoder that never splits a character."""

import codecs
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.unsignedinteger]


class Tokenizer(ABC):
    """Text to ids and back. Special tokens in a text are ordinary text."""

    kind: str
    n_vocab: int
    end_of_text: int
    fingerprint: str

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Ids of `text`; a lone surrogate counts as U+FFFD."""

    @abstractmethod
    def encode_batch(self, texts: Sequence[str], threads: int = 1) -> list[Ids]:
        """Ids of each text, `(length,)`."""

    @abstractmethod
    def token_bytes(self, id: int) -> bytes:
        """The bytes of one token; empty for special tokens."""

    @abstractmethod
    def to_json(self) -> str:
        """The whole tokenizer as a `tokenizer.json` that the library `tokenizers` opens."""

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        """The bytes that `ids` stand for."""
        return b"".join(self.token_bytes(int(id)) for id in ids)

    @cached_property
    def _byte_lengths(self) -> NDArray[np.int32]:
        lengths = [len(self.token_bytes(id)) for id in range(self.n_vocab)]
        return np.array(lengths, dtype=np.int32)

    def byte_lengths(self) -> NDArray[np.int32]:
        """Bytes of every token, `(n_vocab,)`; 0 for special tokens."""
        return self._byte_lengths


def sound(text: str) -> str:
    """`text` with lone surrogates, which have no UTF-8, replaced by U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


class StreamDecoder:
    """Turns ids into text one by one: a character comes when its last byte has come.

    Bytes that are not UTF-8 become U+FFFD, as `bytes.decode("utf-8", "replace")` does.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, id: int) -> str:
        """The text that became complete with this token."""
        return self._decoder.decode(self._tokenizer.token_bytes(id))

    def finish(self) -> str:
        """What an unfinished character at the end becomes."""
        return self._decoder.decode(b"", final=True)
