"""Every byte is a token: ids 0 to 253 are bytes, 254 begins and 255 ends a text.

0xFE and 0xFF never occur in UTF-8, so their ids are free for that.
"""

from functools import cache

import numpy as np

from slm_tui.corpus.tokenizers import tokenizer_file
from slm_tui.corpus.tokenizers.contract import Ids, Tokenizer, fingerprint_of, sound

# Padding shares its id with the byte 0x00, which a text may hold: it is masked, never decoded.
BEGIN_OF_TEXT, END_OF_TEXT, PAD = 254, 255, 0
_TOKENS = {id: bytes((id,)) for id in range(BEGIN_OF_TEXT)}
_REPLACEMENT = "\ufffd".encode()


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
        """Ids of any bytes.

        0xFE and 0xFF cannot be told from the special tokens that have their ids: each becomes
        the three bytes of U+FFFD, which is what a decoder shows for it. All others come back.
        """
        return list(data.replace(b"\xfe", _REPLACEMENT).replace(b"\xff", _REPLACEMENT))

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
