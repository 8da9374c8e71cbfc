"""Every character of the training text is a token; others are encoded as bytes."""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from slm_tui.corpus.tokenizers import tokenizer_file
from slm_tui.corpus.tokenizers.contract import Ids, Tokenizer, fingerprint_of, sound
from slm_tui.errors import CorpusError

_NOT_UTF8 = re.compile("([\udc80-\udcff])")
_CODE_POINTS = 0x110000
_UNKNOWN = -1


class CharsTokenizer(Tokenizer):
    """256 bytes, then multi-byte characters in Unicode order, end-of-text last.

    An ASCII character is its byte. The bytes make every text encodable, and count as rare tokens
    if they do not occur in training.
    """

    kind = "chars"

    def __init__(self, characters: Iterable[str]) -> None:
        """Take the characters beyond ASCII, each once.

        Raises:
            CorpusError: one is not a single non-ASCII character, or they are out of order.
        """
        self._characters = list(characters)
        ordered = sorted(set(self._characters)) == self._characters
        if not ordered or any(len(one) != 1 or one < "\x80" for one in self._characters):
            raise CorpusError("the tokenizer cannot be built", "its characters are out of order")
        tokens = [*tokenizer_file.byte_tokens(), *(one.encode() for one in self._characters)]
        self._tokens = tuple(tokens)
        self.end_of_text = len(tokens)
        self.n_vocab = self.end_of_text + 1
        self.fingerprint = fingerprint_of("chars", tokens)

    @cached_property
    def _id_of_byte(self) -> NDArray[np.int32]:
        ids = np.empty(256, np.int32)
        for id, token in enumerate(self._tokens[:256]):
            ids[token[0]] = id
        return ids

    @cached_property
    def _id_of_character(self) -> NDArray[np.int32]:
        """The id of each code point; -1 for one that is not in the vocabulary."""
        ids = np.full(_CODE_POINTS, _UNKNOWN, np.int32)
        ids[:0x80] = self._id_of_byte[:0x80]
        for offset, character in enumerate(self._characters):
            ids[ord(character)] = 256 + offset
        return ids

    def encode_array(self, text: str) -> Ids:
        text = sound(text)
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        ids = self._id_of_character[points]
        unknown = np.flatnonzero(ids == _UNKNOWN)
        if not len(unknown):
            return ids.astype(self.dtype)
        parts, begin = [], 0
        for at in unknown.tolist():
            spelled = np.frombuffer(text[at].encode(), np.uint8)
            parts += [ids[begin:at], self._id_of_byte[spelled]]
            begin = at + 1
        return np.concatenate([*parts, ids[begin:]]).astype(self.dtype)

    def encode_bytes(self, data: bytes) -> list[int]:
        """Ids of any bytes: each byte that is not valid UTF-8 is a separate token."""
        ids: list[int] = []
        for part in _NOT_UTF8.split(data.decode("utf-8", "surrogateescape")):
            if _NOT_UTF8.match(part):
                ids.append(int(self._id_of_byte[part.encode("utf-8", "surrogateescape")[0]]))
            else:
                ids += self.encode(part)
        return ids

    def token_bytes(self, id: int) -> bytes:
        return self._tokens[id] if 0 <= id < self.end_of_text else b""

    def to_json(self) -> str:
        special = {tokenizer_file.END_OF_TEXT: self.end_of_text}
        return tokenizer_file.write("chars", dict(enumerate(self._tokens)), special, split=False)


def chars_tokenizer(texts: Iterable[str]) -> CharsTokenizer:
    """The tokenizer of the characters that occur in `texts`."""
    seen: set[str] = set()
    for text in texts:
        if not text.isascii():
            seen.update(sound(text))
    return CharsTokenizer(sorted(one for one in seen if one >= "\x80"))


def from_tokens(tokens: Sequence[bytes]) -> CharsTokenizer:
    """The tokenizer with these tokens, bytes first, without end-of-text.

    Raises:
        CorpusError: they are not such a list.
    """
    try:
        characters = [token.decode("utf-8") for token in tokens[256:]]
    except UnicodeDecodeError:
        raise CorpusError("the tokenizer cannot be built", "a token is not a character") from None
    if list(tokens[:256]) != tokenizer_file.byte_tokens():
        raise CorpusError("the tokenizer cannot be built", "its vocabulary lacks bytes")
    return CharsTokenizer(characters)
