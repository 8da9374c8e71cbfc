"""Our tokenizers in the terms of llama.cpp.

Byte-level BPE, and bytes as BPE without merges, are its model `gpt2`. Characters are its model
`llama` with a token per character and per byte: its BPE drops the bytes of a character that it
merged only in part.
"""

from typing import TYPE_CHECKING

from slm_tui.corpus.tokenizers import Tokenizer
from slm_tui.corpus.tokenizers.alphabet import to_symbols
from slm_tui.corpus.tokenizers.byte_level import BEGIN_OF_TEXT as BEGIN_ID
from slm_tui.corpus.tokenizers.tokenizer_file import BEGIN_OF_TEXT, END_OF_TEXT, merges

if TYPE_CHECKING:
    from gguf import GGUFWriter, TokenType

# llama.cpp replaces spaces by this character in models of the kind `llama`.
_SPACE = "\u2581"
# A list of merges must not be empty. These two bytes never occur in UTF-8.
_NEVER = (to_symbols(b"\xc0"), to_symbols(b"\xc1"))


def add(writer: "GGUFWriter", tokenizer: Tokenizer, *, begin: bool) -> None:
    """Add `tokenizer` to a file; with `begin`, a text begins with end-of-text."""
    from gguf import TokenType

    tokens, types = list[str](), list[TokenType]()
    for id in range(tokenizer.n_vocab):
        data = tokenizer.token_bytes(id)
        if not data:
            is_begin = tokenizer.kind == "bytes" and id == BEGIN_ID
            tokens.append(BEGIN_OF_TEXT if is_begin else END_OF_TEXT)
            types.append(TokenType.CONTROL)
        elif tokenizer.kind == "chars":
            text, kind = _character(data)
            tokens.append(text)
            types.append(kind)
        else:
            tokens.append(to_symbols(data))
            types.append(TokenType.NORMAL)
    if tokenizer.kind == "chars":
        writer.add_tokenizer_model("llama")
        writer.add_token_list(tokens)
        writer.add_token_scores([0.0] * len(tokens))
        writer.add_add_space_prefix(False)
        writer.add_unk_token_id(tokenizer.end_of_text)
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(tokens)
        names = [name for name, kind in zip(tokens, types, strict=True) if kind == TokenType.NORMAL]
        pairs = [_NEVER] if tokenizer.kind == "bytes" else merges(names)
        writer.add_token_merges([" ".join(pair) for pair in pairs])
    writer.add_token_types(types)
    writer.add_bos_token_id(tokenizer.end_of_text)
    writer.add_eos_token_id(tokenizer.end_of_text)
    writer.add_pad_token_id(tokenizer.end_of_text)
    writer.add_add_bos_token(begin)
    writer.add_add_eos_token(False)


def _character(data: bytes) -> "tuple[str, TokenType]":
    from gguf import TokenType

    if data == b" ":
        return _SPACE, TokenType.NORMAL
    if len(data) == 1:
        return f"<0x{data[0]:02X}>", TokenType.BYTE
    text = data.decode("utf-8")
    # A token of that name exists: the space.
    return (f"<{_SPACE}>", TokenType.UNUSED) if text == _SPACE else (text, TokenType.NORMAL)
