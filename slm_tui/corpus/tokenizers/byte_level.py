"""Every byte is a token: ids 0 to 253 are bytes, 254 begins and 255 ends a text.

0xFE and 0xFF never occur in UTF-8, so their ids are free for that.
"""

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from slm_tui.corpus.tokenizers.alphabet import byte_symbols
from slm_tui.corpus.tokenizers.contract import Ids, Tokenizer

BEGIN_OF_TEXT, END_OF_TEXT, PAD = 254, 255, 0
_SPECIAL = {"<|begin_of_text|>": BEGIN_OF_TEXT, "<|endoftext|>": END_OF_TEXT}


class ByteTokenizer(Tokenizer):
    """UTF-8 bytes as ids."""

    kind = "bytes"
    n_vocab = 256
    end_of_text = END_OF_TEXT
    fingerprint = hashlib.sha256(b"slm-tui bytes 1").hexdigest()

    def encode(self, text: str) -> list[int]:
        return list(self._bytes(text))

    def encode_bytes(self, data: bytes) -> list[int]:
        """Ids of any bytes; 0xFE and 0xFF, whose ids are taken, become those of U+FFFD."""
        return list(data.replace(b"\xfe", b"\xef\xbf\xbd").replace(b"\xff", b"\xef\xbf\xbd"))

    def encode_batch(self, texts: Sequence[str], threads: int = 1) -> list[Ids]:
        return [np.frombuffer(self._bytes(text), dtype=np.uint8) for text in texts]

    @staticmethod
    def _bytes(text: str) -> bytes:
        from slm_tui.corpus.tokenizers.contract import sound

        return sound(text).encode("utf-8")

    def token_bytes(self, id: int) -> bytes:
        return bytes((id,)) if 0 <= id < BEGIN_OF_TEXT else b""

    def to_json(self) -> str:
        names = dict(enumerate(byte_symbols()))
        names |= {id: name for name, id in _SPECIAL.items()}
        return json.dumps(
            {
                "version": "1.0",
                "added_tokens": [
                    {
                        "id": id,
                        "content": name,
                        "single_word": False,
                        "lstrip": False,
                        "rstrip": False,
                        "normalized": False,
                        "special": True,
                    }
                    for name, id in sorted(_SPECIAL.items(), key=lambda item: item[1])
                ],
                "pre_tokenizer": {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": False,
                    "use_regex": False,
                },
                "decoder": {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": False,
                    "use_regex": False,
                },
                "model": {
                    "type": "BPE",
                    "dropout": None,
                    "unk_token": None,
                    "fuse_unk": False,
                    "vocab": {name: id for id, name in sorted(names.items())},
                    "merges": [],
                },
            },
            ensure_ascii=False,
        )
