"""Byte-pair encoding: trained with `tokenizers`, run through tiktoken.

Merges never cross the words of GPT-2's split pattern, every byte is in the vocabulary, and
end-of-text is the last id.
"""

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from slm_tui.corpus.tokenizers import long_runs, tokenizer_file
from slm_tui.corpus.tokenizers.alphabet import byte_symbols, to_bytes
from slm_tui.corpus.tokenizers.contract import Ids, Tokenizer, fingerprint_of, sound
from slm_tui.errors import CorpusError

SMALLEST = 257
# How GPT-2 splits text before merging: contractions, words, numbers, punctuation, space.
# Source: Radford et al. 2019, in a form without backtracking.
SPLIT = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
_NOT_UTF8 = re.compile("([\udc80-\udcff])")
# Longer tokens are runs of one character, which say nothing about the text.
_LONGEST_TOKEN = 32
_MERGING_SECONDS = 0.1
_LARGEST_PIECE = 1 << 15


class BpeTokenizer(Tokenizer):
    """A BPE from a list of tokens in rank order; `end_of_text` follows the last."""

    def __init__(self, kind: str, tokens: Sequence[bytes]) -> None:
        """Take the tokens in the order of their ids, single bytes first.

        Raises:
            CorpusError: a byte is missing or not in GPT-2's order, or a token is duplicated.
        """
        import tiktoken

        ranks = {token: id for id, token in enumerate(tokens)}
        odd = len(ranks) != len(tokens) or b"" in ranks
        if odd or list(tokens[:256]) != tokenizer_file.byte_tokens():
            raise CorpusError(
                "the tokenizer cannot be built", "its vocabulary lacks bytes or has duplicates"
            )
        self.kind = kind
        self._tokens = tuple(tokens)
        self.end_of_text = len(tokens)
        self.n_vocab = self.end_of_text + 1
        self.fingerprint = fingerprint_of("bpe", tokens)
        self._encoding = tiktoken.Encoding(
            name=f"slm-tui-{self.fingerprint[:12]}",
            pat_str=SPLIT,
            mergeable_ranks=ranks,
            special_tokens={tokenizer_file.END_OF_TEXT: self.end_of_text},
        )

    def encode_array(self, text: str) -> Ids:
        parts = [
            self._encoding.encode_to_numpy(part, disallowed_special=())
            for part in long_runs.cut(sound(text))
        ]
        return (parts[0] if len(parts) == 1 else np.concatenate(parts)).astype(self.dtype)

    def encode_documents(self, texts: Sequence[str]) -> Ids:
        """In one call if that gives the same ids: marks between texts are special tokens."""
        joined = tokenizer_file.END_OF_TEXT.join([*map(sound, texts), ""])
        marks = joined.count(tokenizer_file.END_OF_TEXT)
        if marks != len(texts) or len(long_runs.cut(joined)) > 1:
            return super().encode_documents(texts)
        special = {tokenizer_file.END_OF_TEXT}
        return self._encoding.encode_to_numpy(joined, allowed_special=special).astype(self.dtype)

    def encode_bytes(self, data: bytes) -> list[int]:
        """Ids of any bytes: each byte that is not valid UTF-8 is a separate token."""
        ids: list[int] = []
        for part in _NOT_UTF8.split(data.decode("utf-8", "surrogateescape")):
            if _NOT_UTF8.match(part):
                byte = part.encode("utf-8", "surrogateescape")
                ids.append(self._encoding.encode_single_token(byte))
            else:
                ids += self.encode(part)
        return ids

    def token_bytes(self, id: int) -> bytes:
        return self._tokens[id] if 0 <= id < self.end_of_text else b""

    def to_json(self) -> str:
        return self._json

    @cached_property
    def _json(self) -> str:
        special = {tokenizer_file.END_OF_TEXT: self.end_of_text}
        return tokenizer_file.write(self.kind, dict(enumerate(self._tokens)), special, split=True)


def train_bpe(
    texts: Iterable[str],
    vocab_size: int,
    *,
    merging: Callable[[], None] | None = None,
) -> BpeTokenizer:
    """Learn merges from `texts`; the same texts give the same merges.

    A pair that occurs only once is not merged, so short texts may give fewer tokens than
    requested: see `n_vocab`. Once the texts are read, which takes most of the time, `merging` is
    called a few times a second; it may raise to stop.

    Raises:
        CorpusError: `vocab_size` has no room for all bytes and end-of-text.
    """
    if vocab_size < SMALLEST:
        raise too_small(vocab_size)
    from tokenizers import Tokenizer as Trained
    from tokenizers import models, pre_tokenizers, trainers

    trained = Trained(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1,
        min_frequency=2,
        initial_alphabet=list(byte_symbols()),
        show_progress=False,
        max_token_length=_LONGEST_TOKEN,
    )
    _train(trained, trainer, texts, merging)
    vocabulary = json.loads(trained.to_str())["model"]["vocab"]
    return BpeTokenizer("bpe", [to_bytes(name) for name in sorted(vocabulary, key=vocabulary.get)])


def _train(
    trained: Any, trainer: Any, texts: Iterable[str], merging: Callable[[], None] | None
) -> None:
    """Train in a thread: `tokenizers` reports nothing until it is done."""
    read, failed = threading.Event(), list[BaseException]()

    def pieces() -> Iterator[str]:
        for text in texts:
            for run in long_runs.cut(sound(text)):
                yield from _small(run)
        read.set()

    def work() -> None:
        try:
            trained.train_from_iterator(pieces(), trainer)
        except BaseException as error:  # noqa: BLE001 - passed to the waiting thread
            failed.append(error)

    thread = threading.Thread(target=work, name="bpe-training", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_MERGING_SECONDS)
        if read.is_set() and merging is not None:
            # Raising abandons the thread: it ends by itself, and its result is not used.
            merging()
    if failed:
        raise failed[0]


def _small(text: str) -> Iterator[str]:
    """`text` in pieces split outside of words: `tokenizers` holds hundreds of them at once."""
    start = 0
    while len(text) - start > _LARGEST_PIECE:
        at = long_runs.safe_cut(text, start, start + _LARGEST_PIECE)
        if at == start:
            break
        yield text[start:at]
        start = at
    yield text[start:]


def too_small(vocab_size: int) -> CorpusError:
    """The error for a vocabulary without room for the bytes."""
    return CorpusError(
        f"a vocabulary of {vocab_size} tokens is too small",
        "256 bytes and end-of-text need a token each",
        f"set tokenizer.vocab_size to {SMALLEST} or more",
    )
