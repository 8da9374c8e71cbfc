"""Byte-pair encoding: trained with `tokenizers`, run through tiktoken.

Merges never cross the words of GPT-2's split pattern, every byte is in the vocabulary, and
end-of-text is the last id.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import tiktoken

from slm_tui.corpus.tokenizers.alphabet import byte_symbols, to_bytes, to_symbols
from slm_tui.corpus.tokenizers.contract import Ids, Tokenizer, sound

END_OF_TEXT = "<|endoftext|>"
# How GPT-2 splits text before merging: contractions, words, numbers, punctuation, space.
# Source: Radford et al. 2019.
SPLIT = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
# tiktoken needs time that grows with the square of an unbroken piece, and its pattern engine
# a deep stack: longer runs of one kind are cut here, which changes ids only for such runs.
_LONGEST_RUN = 400
_LONG_RUN = re.compile(rf"\S{{{_LONGEST_RUN},}}|\s{{{_LONGEST_RUN},}}")


class BpeTokenizer(Tokenizer):
    """Runs a list of token bytes in rank order; `end_of_text` is the id after the last."""

    def __init__(self, kind: str, ranks: dict[bytes, int], merges: list[tuple[bytes, bytes]]):
        self.kind = kind
        self._merges = merges
        self._tokens = sorted(ranks, key=ranks.__getitem__)
        self.end_of_text = len(self._tokens)
        self.n_vocab = self.end_of_text + 1
        self.fingerprint = hashlib.sha256(b"\0".join([b"bpe 1", *self._tokens])).hexdigest()
        self._encoding = tiktoken.Encoding(
            name=f"slm-tui-{self.fingerprint[:12]}",
            pat_str=SPLIT,
            mergeable_ranks=ranks,
            special_tokens={END_OF_TEXT: self.end_of_text},
        )

    def encode(self, text: str) -> list[int]:
        text = sound(text)
        if _LONG_RUN.search(text) is None:
            return self._encoding.encode_ordinary(text)
        return [id for piece in _pieces(text) for id in self._encoding.encode_ordinary(piece)]

    def encode_batch(self, texts: Sequence[str], threads: int = 1) -> list[Ids]:
        dtype = np.uint16 if self.n_vocab <= 65_536 else np.uint32
        if threads > 1 and not any(_LONG_RUN.search(text) for text in texts):
            batch = self._encoding.encode_ordinary_batch(
                [sound(text) for text in texts], num_threads=threads
            )
        else:
            batch = [self.encode(text) for text in texts]
        return [np.array(ids, dtype=dtype) for ids in batch]

    def token_bytes(self, id: int) -> bytes:
        return self._tokens[id] if 0 <= id < self.end_of_text else b""

    def to_json(self) -> str:
        return self._json

    @cached_property
    def _json(self) -> str:
        vocabulary = {to_symbols(token): id for id, token in enumerate(self._tokens)}
        vocabulary[END_OF_TEXT] = self.end_of_text
        level: dict[str, Any] = {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": False,
        }
        return json.dumps(
            {
                "version": "1.0",
                "added_tokens": [
                    {
                        "id": self.end_of_text,
                        "content": END_OF_TEXT,
                        "single_word": False,
                        "lstrip": False,
                        "rstrip": False,
                        "normalized": False,
                        "special": True,
                    }
                ],
                "pre_tokenizer": {**level, "use_regex": True},
                "decoder": {**level, "use_regex": True},
                "model": {
                    "type": "BPE",
                    "dropout": None,
                    "unk_token": None,
                    "fuse_unk": False,
                    "vocab": vocabulary,
                    "merges": [[to_symbols(a), to_symbols(b)] for a, b in self._merges],
                },
            },
            ensure_ascii=False,
        )


def _pieces(text: str) -> Iterable[str]:
    """Cut runs without a break between words into parts of bounded length."""
    at = 0
    for run in _LONG_RUN.finditer(text):
        yield text[at : run.start()]
        for start in range(run.start(), run.end(), _LONGEST_RUN):
            yield text[start : min(start + _LONGEST_RUN, run.end())]
        at = run.end()
    yield text[at:]


def train_bpe(
    texts: Iterable[str],
    vocab_size: int,
    *,
    progress: Callable[[float], None] | None = None,
) -> BpeTokenizer:
    """Learn merges from `texts`; the same texts give the same merges.

    Short texts may not give as many merges as asked for: look at `n_vocab`.
    """
    from tokenizers import Tokenizer as Trained
    from tokenizers import models, pre_tokenizers, trainers

    trained = Trained(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        min_frequency=2,
        initial_alphabet=list(byte_symbols()),
        show_progress=False,
        max_token_length=32,
    )

    def told() -> Iterable[str]:
        for number, text in enumerate(texts):
            if progress is not None and number % 512 == 0:
                progress(0.0)
            yield sound(text)

    trained.train_from_iterator(told(), trainer)
    model = json.loads(trained.to_str())["model"]
    merges = [(to_bytes(a), to_bytes(b)) for a, b in map(_pair, model["merges"])]
    if progress is not None:
        progress(1.0)
    return from_merges("bpe", merges)


def _pair(merge: Any) -> tuple[str, str]:
    first, second = merge.split(" ") if isinstance(merge, str) else merge
    return first, second


def from_merges(kind: str, merges: list[tuple[bytes, bytes]]) -> BpeTokenizer:
    """The tokenizer whose first 256 ids are the bytes in GPT-2's order, then the merges."""
    symbols = sorted(range(256), key=lambda byte: byte_symbols()[byte])
    ranks = {bytes((byte,)): id for id, byte in enumerate(symbols)}
    kept = []
    for first, second in merges:
        if first + second not in ranks:
            ranks[first + second] = len(ranks)
            kept.append((first, second))
    return BpeTokenizer(kind, ranks, kept)
