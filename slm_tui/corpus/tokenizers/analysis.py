"""How a byte-pair encoding tokenizes: first merges, effect of its size, example words."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from slm_tui.corpus.tokenizers.bpe import SMALLEST, BpeTokenizer
from slm_tui.corpus.tokenizers.contract import Tokenizer

_FIRST_MERGES = 30
_SIZES = (512, 1024, 2048, 4096, 8192, 16_384, 32_768)
_EXAMPLES = 8
_WORD = re.compile(r"[^\W\d_]{4,}")


@dataclass(frozen=True)
class Merge:
    """The token `id` joins the bytes `left` and `right`."""

    id: int
    left: bytes
    right: bytes


@dataclass(frozen=True)
class Analysis:
    """`merges` are the first ones; `sizes` pairs a vocabulary size with the bytes per token of
    a text that the tokenizer was not trained on; `examples` pairs words with their tokens."""

    merges: tuple[Merge, ...]
    sizes: tuple[tuple[int, float], ...]
    examples: tuple[tuple[str, tuple[bytes, ...]], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values; bytes are shown as text if possible, else in hexadecimal."""
        return {
            "first_merges": [[_plain(one.left), _plain(one.right)] for one in self.merges],
            "bytes_per_token": {str(size): value for size, value in self.sizes},
            "examples": {word: [_plain(one) for one in cut] for word, cut in self.examples},
        }


def analyse(tokenizer: Tokenizer, text: str) -> Analysis | None:
    """Analyse a BPE with a text sample of up to a megabyte; other kinds have no merges."""
    if not isinstance(tokenizer, BpeTokenizer):
        return None
    tokens = [tokenizer.token_bytes(id) for id in range(tokenizer.end_of_text)]
    return Analysis(
        merges=tuple(_merges(tokens[: 256 + _FIRST_MERGES])),
        sizes=tuple(_sizes(tokenizer, tokens, text)),
        examples=tuple(_examples(tokenizer, text)),
    )


def _merges(tokens: Sequence[bytes]) -> list[Merge]:
    """The merge that produced each token beyond the bytes, using only lower ranks."""
    rank = {token: id for id, token in enumerate(tokens)}
    merges = []
    for id, token in enumerate(tokens[256:], 256):
        parts = [token[at : at + 1] for at in range(len(token))]
        while len(parts) > 2:
            joined = [parts[at] + parts[at + 1] for at in range(len(parts) - 1)]
            ranks = [rank.get(one, id) for one in joined]
            at = min(range(len(ranks)), key=ranks.__getitem__)
            if ranks[at] >= id:
                break
            parts[at : at + 2] = [joined[at]]
        merges.append(Merge(id, parts[0], b"".join(parts[1:])))
    return merges


def _sizes(tokenizer: BpeTokenizer, tokens: Sequence[bytes], text: str) -> list[tuple[int, float]]:
    sizes = [SMALLEST, *(size for size in _SIZES if size < tokenizer.n_vocab), tokenizer.n_vocab]
    length = len(text.encode("utf-8", "replace"))
    result = []
    for size in sizes:
        cut = BpeTokenizer(tokenizer.kind, tokens[: size - 1])
        result.append((size, length / max(1, len(cut.encode_array(text)))))
    return result


def _examples(tokenizer: BpeTokenizer, text: str) -> list[tuple[str, tuple[bytes, ...]]]:
    """Words from frequent to rare: the rarer a word, the more tokens it needs."""
    words = [word for word, _ in Counter(_WORD.findall(text)).most_common()]
    if not words:
        return []
    last = len(words) - 1
    places = sorted({round(last * (at / (_EXAMPLES - 1)) ** 2) for at in range(_EXAMPLES)})
    return [(words[at], _cut(tokenizer, f" {words[at]}")) for at in places]


def _cut(tokenizer: Tokenizer, text: str) -> tuple[bytes, ...]:
    return tuple(tokenizer.token_bytes(id) for id in tokenizer.encode(text))


def _plain(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.hex()
