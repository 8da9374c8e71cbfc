"""The text that models are scored on: documents as bytes, independent of any tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from slm_tui.corpus.documents import Documents
from slm_tui.corpus.prepare import Corpus, Tokens
from slm_tui.corpus.tokenizers import Tokenizer
from slm_tui.evaluation.metrics import EncodedDocuments
from slm_tui.evaluation.windows import Ids

# Up to this size the text is decoded once and kept; a larger one is decoded when needed.
_HELD_TOKENS = 1 << 22


class StreamDocuments:
    """Documents of a token stream as ids, each with end-of-text before and after it."""

    def __init__(self, tokens: Tokens, end_of_text: int, limit: int | None = None) -> None:
        self._tokens = tokens
        self._documents = Documents(tokens, end_of_text)
        count = len(self._documents)
        self._count = count if limit is None else min(limit, count)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Ids:
        begin, end = self._documents.span(number)
        return self._tokens[begin - 1 : end + 1]


class _Decoded(Sequence[bytes]):
    """The bytes of the documents of a stream."""

    def __init__(self, documents: EncodedDocuments, tokenizer: Tokenizer) -> None:
        self._documents, self._tokenizer = documents, tokenizer

    def __len__(self) -> int:
        return len(self._documents)

    def __getitem__(self, number):  # type: ignore[no-untyped-def]
        if isinstance(number, slice):
            return [self[at] for at in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self._tokenizer.decode_bytes(self._documents[number].tolist())


def decoded(tokens: Tokens, tokenizer: Tokenizer, limit: int | None = None) -> Sequence[bytes]:
    """The bytes of the first `limit` documents of a token stream."""
    documents = _Decoded(StreamDocuments(tokens, tokenizer.end_of_text, limit), tokenizer)
    return list(documents) if len(tokens) <= _HELD_TOKENS else documents


@dataclass(frozen=True)
class ScoredText:
    """Documents to be scored.

    `part` is their split of `corpus`; `is_open` says that the last one was truncated, so no
    end-of-text follows it; `whole` is the total number of documents.
    """

    name: str
    documents: Sequence[bytes]
    whole: int
    corpus: Corpus | None = None
    part: str = ""
    is_open: bool = False

    @classmethod
    def of_corpus(cls, corpus: Corpus, part: str, limit: int | None = None) -> "ScoredText":
        """The split `train`, `val` or `test` of a corpus."""
        tokens: Tokens = getattr(corpus, part)
        end = corpus.tokenizer.end_of_text
        whole = len(Documents(tokens, end))
        documents = decoded(tokens, corpus.tokenizer, limit)
        is_open = bool(len(tokens)) and int(tokens[-1]) != end and len(documents) == whole
        name = str(corpus.manifest.get("text", "")) or "the text of the run"
        return cls(name, documents, whole, corpus, part, is_open)

    def encoded(self, tokenizer: Tokenizer) -> EncodedDocuments:
        """The documents as ids of `tokenizer`, with end-of-text before and after each."""
        corpus = self.corpus
        if corpus is not None and corpus.tokenizer.fingerprint == tokenizer.fingerprint:
            tokens: Tokens = getattr(corpus, self.part)
            return StreamDocuments(tokens, tokenizer.end_of_text, len(self.documents))
        return _Encoded(self, tokenizer)

    def spread(self, count: int, most_bytes: int) -> "ScoredText":
        """At most `count` documents, spread evenly, of at most `most_bytes` in total."""
        chosen = np.linspace(0, len(self.documents) - 1, min(count, len(self.documents)))
        documents: list[bytes] = []
        left = most_bytes
        for number in chosen.round().astype(int):
            if left <= 0:
                break
            documents.append(self.documents[int(number)][:left])
            left -= len(documents[-1])
        return replace(self, documents=documents, corpus=None, part="", is_open=left <= 0)


class _Encoded:
    """Documents, encoded on access."""

    def __init__(self, text: ScoredText, tokenizer: Tokenizer) -> None:
        self._text, self._tokenizer = text, tokenizer

    def __len__(self) -> int:
        return len(self._text.documents)

    def __getitem__(self, number: int) -> Ids:
        if not 0 <= number < len(self):
            raise IndexError(number)
        ids = encoded_bytes(self._tokenizer, self._text.documents[number])
        end = np.array([self._tokenizer.end_of_text], ids.dtype)
        closes = number + 1 < len(self) or not self._text.is_open
        return np.concatenate([end, ids, end] if closes else [end, ids])


def encoded_bytes(tokenizer: Tokenizer, data: bytes) -> Ids:
    """Ids of `data`, which need not be UTF-8, `(length,)`."""
    try:
        return tokenizer.encode_array(data.decode("utf-8"))
    except UnicodeDecodeError:
        return np.array(tokenizer.encode_bytes(data), tokenizer.dtype)
