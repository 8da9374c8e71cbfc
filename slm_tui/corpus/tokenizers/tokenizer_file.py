"""The layout of `tokenizer.json`: readable by the library `tokenizers`, plus our kind."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from slm_tui.corpus.tokenizers.alphabet import byte_symbols, to_bytes, to_symbols
from slm_tui.errors import CorpusError, in_words

END_OF_TEXT = "<|endoftext|>"
BEGIN_OF_TEXT = "<|begin_of_text|>"


def byte_tokens() -> list[bytes]:
    """The 256 single-byte tokens in GPT-2's order, the order of their symbols."""
    return [to_bytes(symbol) for symbol in sorted(byte_symbols())]


def write(
    kind: str, tokens: Mapping[int, bytes], special: Mapping[str, int], *, split: bool
) -> str:
    """The file of a tokenizer.

    Args:
        kind: `bytes`, `chars`, `bpe` or `gpt2`.
        tokens: the bytes of every id that is not special.
        special: the ids of the special tokens by name.
        split: whether GPT-2's pattern splits text into words before merging.
    """
    level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": split,
    }
    by_itself = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated"}
    characters = {
        "type": "Sequence",
        "pretokenizers": [{**by_itself, "invert": False}, level],
    }
    names = {to_symbols(tokens[id]): id for id in sorted(tokens)}
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [
                _added(name, id) for name, id in sorted(special.items(), key=lambda item: item[1])
            ],
            "normalizer": None,
            "pre_tokenizer": characters if kind == "chars" else level,
            "post_processor": None,
            "decoder": level,
            "model": {
                # `tokenizers` ignores an unknown key here, but not at the top level.
                "slm_tui": {"kind": kind},
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": True,
                "vocab": names | dict(special),
                # A character is looked up whole (`ignore_merges`) or split into its bytes.
                "merges": [] if kind == "chars" else merges(list(names)),
            },
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )


def _added(name: str, id: int) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": id, "content": name, **plain, "special": True}


def merges(names: Sequence[str]) -> list[tuple[str, str]]:
    """Every pair of tokens that joins to a token, in the order of the result.

    tiktoken merges any two neighbours that join to a token, lowest rank first; with one pair per
    token `tokenizers` would merge fewer.
    """
    rank = {name: id for id, name in enumerate(names)}
    merges: list[tuple[str, str]] = []
    for name in names:
        halves = [(name[:at], name[at:]) for at in range(1, len(name))]
        pairs = [half for half in halves if half[0] in rank and half[1] in rank]
        pairs.sort(key=lambda pair: (rank[pair[0]], rank[pair[1]]))
        merges += pairs
    return merges


def read(text: str) -> tuple[str, list[bytes]]:
    """The kind and the tokens of a file, in the order of their ids; special tokens are `b""`.

    Raises:
        CorpusError: the file was not written by `write`.
    """
    try:
        values = json.loads(text)
        model = values["model"]
        kind, vocabulary = model["slm_tui"]["kind"], model["vocab"]
        special = {token["content"]: token["id"] for token in values["added_tokens"]}
        tokens = [
            b"" if special.get(name) == id else to_bytes(name)
            for name, id in sorted(vocabulary.items(), key=lambda item: item[1])
        ]
        ids = sorted(vocabulary.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unknown(in_words(error)) from None
    if not isinstance(kind, str) or ids != list(range(len(ids))):
        raise _unknown("its ids do not count up from 0")
    if tokens and tokens[-1]:
        raise _unknown("its last token is not end-of-text")
    return kind, tokens


def _unknown(why: str) -> CorpusError:
    return CorpusError(
        "the tokenizer file cannot be opened",
        f"it was not written by slm-tui ({why})",
        "prepare the corpus again",
    )
