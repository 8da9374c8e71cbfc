"""Tokenizers: bytes, byte-pair encoding of one's own, GPT-2's. One contract for all."""

import json

from slm_tui.corpus.tokenizers.alphabet import to_bytes
from slm_tui.corpus.tokenizers.bpe import from_merges, train_bpe
from slm_tui.corpus.tokenizers.byte_level import ByteTokenizer
from slm_tui.corpus.tokenizers.contract import StreamDecoder, Tokenizer
from slm_tui.corpus.tokenizers.gpt2 import load_gpt2
from slm_tui.errors import CorpusError

__all__ = [
    "StreamDecoder",
    "Tokenizer",
    "byte_tokenizer",
    "from_json",
    "load_gpt2",
    "train_bpe",
]


def byte_tokenizer() -> Tokenizer:
    """The tokenizer whose tokens are bytes."""
    return ByteTokenizer()


def from_json(text: str) -> Tokenizer:
    """Open what `to_json` gave.

    Raises:
        CorpusError: it is not such a file.
    """
    try:
        values = json.loads(text)
        if values["added_tokens"][0]["content"] == "<|begin_of_text|>":
            return ByteTokenizer()
        merges = [(to_bytes(a), to_bytes(b)) for a, b in values["model"]["merges"]]
        tokenizer = from_merges("bpe", merges)
        if len(values["model"]["vocab"]) != tokenizer.n_vocab:
            raise CorpusError("the tokenizer cannot be opened", "its vocabulary has other tokens")
        return tokenizer
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CorpusError("the tokenizer cannot be opened", f"{error!r}") from None
