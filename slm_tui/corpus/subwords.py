"""How subwords would split a text, to compare with what a byte-level model does."""

from dataclasses import dataclass
from itertools import accumulate

from slm_tui.corpus.prepare import reopen
from slm_tui.corpus.tokenizers import Tokenizer, train_bpe
from slm_tui.errors import SlmTuiError

VOCABULARY = 1024
# Enough text for the merges of such a small vocabulary; takes about a second.
_MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class SubwordCut:
    """How a byte-pair encoding splits a text: `starts` of its tokens in bytes."""

    vocabulary: int
    starts: tuple[int, ...]


class SubwordSplitter:
    """A byte-pair encoding learned from the training text of a corpus; the last one is kept."""

    def __init__(self) -> None:
        self._corpus = ""
        self._tokenizer: Tokenizer | None = None

    def split(self, corpus: str, text: bytes) -> SubwordCut | None:
        """Split `text`; `None` if the corpus with this fingerprint no longer exists."""
        if corpus != self._corpus:
            self._corpus, self._tokenizer = corpus, _learned(corpus)
        if self._tokenizer is None:
            return None
        ids = self._tokenizer.encode(text.decode("utf-8", "replace"))
        sizes = (len(self._tokenizer.token_bytes(id)) for id in ids)
        starts = tuple(accumulate(sizes, initial=0))[:-1]
        return SubwordCut(self._tokenizer.n_vocab, starts)


def _learned(fingerprint: str) -> Tokenizer | None:
    try:
        corpus = reopen(fingerprint)
        if corpus is None:
            return None
        text = corpus.tokenizer.decode_bytes(corpus.train[:_MOST_BYTES].tolist())
        return train_bpe([text.decode("utf-8", "replace")], VOCABULARY)
    except SlmTuiError:
        return None
