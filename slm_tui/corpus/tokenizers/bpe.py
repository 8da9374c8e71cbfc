"""Byte-pair encoding: trained with `tokenizers`, run through tiktoken.

Merges never cross the words of GPT-2's split pattern, every byte is in the vocabulary, and
end-of-text is the last id.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence, Sized
from functools import cached_property

import numpy as np

from slm_tui.corpus.tokenizers import long_runs, tokenizer_file
from slm_tui.corpus.tokenizers.alphabet import byte_symbols, to_bytes
from slm_tui.corpus.tokenizers.contract import Ids, Tokenizer, fingerprint_of, sound
from slm_tui.errors import CorpusError

SMALLEST = 257
# How GPT-2 splits text before merging: contractions, words, numbers, punctuation, space.
# Source: Radford et al. 2019, in the form that never goes back over what it has matched.
SPLIT = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
_NOT_UTF8 = re.compile("([\udc80-\udcff])")
# Longer tokens are rows of one character, which say nothing about the text.
_LONGEST_TOKEN = 32
# Counting the words takes most of the time of training, merging them the rest.
_COUNTING = 0.8


class BpeTokenizer(Tokenizer):
    """Runs a list of tokens, whose places are their ranks; `end_of_text` follows the last."""

    def __init__(self, kind: str, tokens: Sequence[bytes]) -> None:
        """Take the tokens in the order of their ids, one-byte tokens first.

        Raises:
            CorpusError: a byte is missing, out of GPT-2's order, or a token is there twice.
        """
        import tiktoken

        ranks = {token: id for id, token in enumerate(tokens)}
        odd = len(ranks) != len(tokens) or b"" in ranks
        if odd or list(tokens[:256]) != tokenizer_file.byte_tokens():
            raise CorpusError(
                "the tokenizer cannot be made", "its vocabulary lacks bytes, or has a token twice"
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

    def encode_bytes(self, data: bytes) -> list[int]:
        """Ids of any bytes: one that is not part of UTF-8 is a token of its own."""
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
    progress: Callable[[float], None] | None = None,
) -> BpeTokenizer:
    """Learn merges from `texts`; the same texts give the same merges.

    A pair that occurs once is not merged, so that short texts may give fewer tokens than asked
    for: look at `n_vocab`. `progress` is told the part done, 0 to 1; only of texts whose number
    is known before the end.

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
    trained.train_from_iterator(_told(texts, progress), trainer)
    vocabulary = json.loads(trained.to_str())["model"]["vocab"]
    if progress is not None:
        progress(1.0)
    return BpeTokenizer("bpe", [to_bytes(name) for name in sorted(vocabulary, key=vocabulary.get)])


def _told(texts: Iterable[str], progress: Callable[[float], None] | None) -> Iterable[str]:
    count = len(texts) if isinstance(texts, Sized) else 0
    for number, text in enumerate(texts):
        if progress is not None and count and number % 256 == 0:
            progress(_COUNTING * number / count)
        yield from long_runs.cut(sound(text))


def too_small(vocab_size: int) -> CorpusError:
    """The error for a vocabulary without room for the bytes."""
    return CorpusError(
        f"a vocabulary of {vocab_size} tokens cannot be made",
        "256 bytes and end-of-text need a token each",
        f"set tokenizer.vocab_size to {SMALLEST} or more",
    )
