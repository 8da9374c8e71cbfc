"""The tokenizers of every kind, made once."""

import pytest

from slm_tui.corpus.tokenizers import (
    Tokenizer,
    byte_tokenizer,
    chars_tokenizer,
    load_gpt2,
    train_bpe,
)
from tests.corpus.helpers import TEXTS


@pytest.fixture(scope="session")
def made() -> dict[str, Tokenizer]:
    return {
        "bytes": byte_tokenizer(),
        "chars": chars_tokenizer(TEXTS),
        "bpe": train_bpe(TEXTS, 400),
        "gpt2-257": load_gpt2(257),
        "gpt2-512": load_gpt2(512),
        "gpt2-5000": load_gpt2(5000),
        "gpt2-50257": load_gpt2(),
    }
