"""Every byte is a token: ids 0 to 253 are bytes, 254 begins and 255 ends a text.

0xFE and 0xFF never occur in UTF-8, so their ids are free for that. Arbitrary bytes may contain
them: they are encoded as 254 followed by one of two other bytes that never occur in UTF-8.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np

from slm_tui.corpus.tokenizers import tokenizer_file
from slm_tui.corpus.tokenizers.contract import Ids, Tokenizer, fingerprint_of, sound

# Padding shares its id with the byte 0x00, which a text may hold: it is masked, never decoded.
BEGIN_OF_TEXT, END_OF_TEXT, PAD = 254, 255, 0
_TOKENS = {id: bytes((id,)) for id in range(BEGIN_OF_TEXT)}
_ESCAPED = {0xC0: b"\xfe", 0xC1: b"\xff"}
_SPELLED = {0xFE: bytes((BEGIN_OF_TEXT, 0xC0)), 0xFF: bytes((BEGIN_OF_TEXT, 0xC1))}


class ByteTokenizer(Tokenizer):
    """UTF-8 bytes as ids."""

    kind = "bytes"
    n_vocab = 256
    end_of_text = END_OF_TEXT
    begin_of_text = BEGIN_OF_TEXT
    fingerprint = fingerprint_of("bytes", _TOKENS.values())

    def encode_array(self, text: str) -> Ids:
        return np.frombuffer(sound(text).encode("utf-8"), dtype=np.uint8).astype(self.dtype)

    def encode_bytes(self, data: bytes) -> list[int]:
        """Ids of any bytes; 0xFE and 0xFF, which have no id, take two."""
        marked = data.replace(b"\xfe", _SPELLED[0xFE])
        # The result has no 0xFF, and each 0xFE begins a pair.
        return list(marked.replace(b"\xff", _SPELLED[0xFF]))

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        before: int | None = None
        parts = []
        for id in ids:
            parts.append(self.next_bytes(int(id), before))
            before = int(id)
        return b"".join(parts)

    def next_bytes(self, id: int, before: int | None) -> bytes:
        if before == BEGIN_OF_TEXT and id in _ESCAPED:
            return _ESCAPED[id]
        return self.token_bytes(id)

    def token_bytes(self, id: int) -> bytes:
        return _TOKENS.get(id, b"")

    def to_json(self) -> str:
        return _json()


@cache
def _json() -> str:
    special = {
        tokenizer_file.BEGIN_OF_TEXT: BEGIN_OF_TEXT,
        tokenizer_file.END_OF_TEXT: END_OF_TEXT,
    }
    return tokenizer_file.write("bytes", _TOKENS, special, split=False)
