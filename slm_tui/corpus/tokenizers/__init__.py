"""Tokenizers with one contract: bytes, characters, trained byte-pair encoding, GPT-2."""

from slm_tui.corpus.tokenizers import foreign, tokenizer_file
from slm_tui.corpus.tokenizers.bpe import BpeTokenizer, train_bpe
from slm_tui.corpus.tokenizers.byte_level import ByteTokenizer
from slm_tui.corpus.tokenizers.chars import chars_tokenizer, from_tokens
from slm_tui.corpus.tokenizers.contract import StreamDecoder, Tokenizer
from slm_tui.corpus.tokenizers.foreign import ForeignTokenizer
from slm_tui.corpus.tokenizers.gpt2 import load_gpt2
from slm_tui.errors import CorpusError

__all__ = [
    "ForeignTokenizer",
    "StreamDecoder",
    "Tokenizer",
    "byte_tokenizer",
    "chars_tokenizer",
    "from_json",
    "load_gpt2",
    "train_bpe",
]


def byte_tokenizer() -> Tokenizer:
    """The tokenizer whose tokens are bytes."""
    return ByteTokenizer()


def from_json(text: str) -> Tokenizer:
    """Open the output of `to_json`; nothing else is needed, not even for GPT-2.

    Raises:
        CorpusError: it is not such a file.
    """
    if foreign.is_one(text):
        return foreign.from_json(text)
    kind, tokens = tokenizer_file.read(text)
    if kind == "bytes" and tokens == [ByteTokenizer().token_bytes(id) for id in range(256)]:
        return ByteTokenizer()
    if kind == "chars":
        return from_tokens(tokens[:-1])
    if kind in {"bpe", "gpt2"}:
        return BpeTokenizer(kind, tokens[:-1])
    raise CorpusError("the tokenizer file cannot be opened", f"unknown kind {kind!r}")
