"""How text is tokenized; register a new tokenizer in the union at the end."""

import itertools
import math
from abc import abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from slm_tui.config.fields import Variant, setting
from slm_tui.config.limits import Limit

# Bytes per token of BPE vocabularies on English text, measured on the built-in stories
# and on plays; between the points, interpolated over log2 of the size.
_BYTES_PER_TOKEN = ((257, 1.0), (512, 2.3), (1024, 2.9), (4096, 3.6), (16_384, 4.0), (65_536, 4.2))


class TokenizerSettings(Variant):
    """Base of the tokenizers."""

    is_trained: ClassVar[bool] = False
    """Whether its vocabulary is learned from the training split."""

    @property
    @abstractmethod
    def expected_vocabulary(self) -> int:
        """The requested number of distinct tokens; a trained tokenizer may end up with fewer."""

    @property
    def bytes_per_token(self) -> float:
        """Expected bytes per token of English text."""
        return 1.0


class BytesSettings(TokenizerSettings):
    """Every byte is a token."""

    kind: Literal["bytes"] = setting("bytes", help="How text is tokenized")

    @property
    def expected_vocabulary(self) -> int:
        """See `TokenizerSettings.expected_vocabulary`."""
        return 256


class CharsSettings(TokenizerSettings):
    """Every character of the training text is a token."""

    is_trained: ClassVar[bool] = True

    kind: Literal["chars"] = setting("chars", help="How text is tokenized")
    limit: Limit = setting(Limit(), help="How much text the vocabulary is built from")

    @property
    def expected_vocabulary(self) -> int:
        """See `TokenizerSettings.expected_vocabulary`."""
        return 257  # bytes and end-of-text; other characters are known once the text is read


class BpeSettings(TokenizerSettings):
    """Byte-pair encoding trained on the training split."""

    is_trained: ClassVar[bool] = True

    kind: Literal["bpe"] = setting("bpe", help="How text is tokenized")
    vocab_size: int = setting(
        1024, ge=257, le=65_536, help="Vocabulary size, end-of-text included", nudge="x2"
    )
    limit: Limit = setting(Limit(), help="How much text the merges are learned from")

    @property
    def expected_vocabulary(self) -> int:
        """See `TokenizerSettings.expected_vocabulary`."""
        return self.vocab_size

    @property
    def bytes_per_token(self) -> float:
        """See `TokenizerSettings.bytes_per_token`."""
        return _bytes_per_pair(self.vocab_size)


class Gpt2Settings(TokenizerSettings):
    """GPT-2's byte-pair encoding, complete or truncated at a rank."""

    kind: Literal["gpt2"] = setting("gpt2", help="How text is tokenized")
    vocab_size: int = setting(
        50_257,
        ge=257,
        le=50_257,
        help="Distinct tokens; below 50,257 keeps only the first merges",
        nudge="x2",
    )

    @property
    def expected_vocabulary(self) -> int:
        """See `TokenizerSettings.expected_vocabulary`."""
        return self.vocab_size

    @property
    def bytes_per_token(self) -> float:
        """See `TokenizerSettings.bytes_per_token`."""
        return _bytes_per_pair(self.vocab_size)


def _bytes_per_pair(vocabulary: int) -> float:
    """Bytes per token of a byte-pair encoding with `vocabulary` tokens."""
    for (low, below), (high, above) in itertools.pairwise(_BYTES_PER_TOKEN):
        if vocabulary <= high:
            part = math.log2(max(vocabulary, low) / low) / math.log2(high / low)
            return below + part * (above - below)
    return _BYTES_PER_TOKEN[-1][1]


TokenizerConfig = Annotated[
    BytesSettings | CharsSettings | BpeSettings | Gpt2Settings, Field(discriminator="kind")
]
