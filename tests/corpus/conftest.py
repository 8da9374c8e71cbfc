"""Tokenizers of every kind, created once."""

from pathlib import Path

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
def every_tokenizer() -> dict[str, Tokenizer]:
    return {
        "bytes": byte_tokenizer(),
        "chars": chars_tokenizer(TEXTS),
        "bpe": train_bpe(TEXTS, 400),
        "gpt2-257": load_gpt2(257),
        "gpt2-512": load_gpt2(512),
        "gpt2-5000": load_gpt2(5000),
        "gpt2-50257": load_gpt2(),
    }


@pytest.fixture
def hf_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Separate cache directories for `datasets`, and no answer from the hub."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_CACHE", "HF_DATASETS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")
    # Nothing listens on this port.
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    return home / "hf"
