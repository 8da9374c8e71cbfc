"""Characters as tokens: those of the training text, and bytes for all others."""

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from slm_tui.corpus.tokenizers import Tokenizer, chars_tokenizer, from_json
from slm_tui.errors import CorpusError
from tests.corpus.strategies import quick

some = st.text(st.sampled_from("ab \n漢字é🙂\u0301\x00\x7f\x80<|>"), max_size=30)


@quick
@given(some, some)
def test_a_known_character_is_one_token_and_others_are_bytes(train: str, text: str) -> None:
    tokenizer = chars_tokenizer([train])
    vocabulary = {char for char in train if char >= "\x80"} | {chr(code) for code in range(0x80)}
    expected = [
        part
        for char in text
        for part in (
            [char.encode()] if char in vocabulary else [bytes((b,)) for b in char.encode()]
        )
    ]
    assert [tokenizer.token_bytes(id) for id in tokenizer.encode(text)] == expected
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == text.encode()


def test_the_vocabulary_is_bytes_then_characters_in_order_then_end_of_text() -> None:
    tokenizer = chars_tokenizer(["été 漢", "z🙂é"])
    assert tokenizer.n_vocab == 256 + 3 + 1
    tokens = [tokenizer.token_bytes(id) for id in range(256, tokenizer.n_vocab)]
    assert tokens == ["é".encode(), "漢".encode(), "🙂".encode(), b""]
    assert tokenizer.end_of_text == tokenizer.n_vocab - 1
    assert sorted(tokenizer.token_bytes(id) for id in range(256)) == [
        bytes((byte,)) for byte in range(256)
    ]


@quick
@given(st.lists(some, max_size=6), st.randoms(use_true_random=False))
def test_the_order_and_splitting_of_the_texts_do_not_matter(
    texts: list[str], chance: object
) -> None:
    joined = "".join(texts)
    other = [joined[at : at + 3] for at in range(0, len(joined), 3)]
    chance.shuffle(other)  # type: ignore[attr-defined]
    assert chars_tokenizer(texts).to_json() == chars_tokenizer(iter(other)).to_json()


def test_a_vocabulary_from_ascii_text_encodes_everything() -> None:
    for tokenizer in (chars_tokenizer([]), chars_tokenizer(["plain"])):
        assert tokenizer.n_vocab == 257
        assert tokenizer.decode_bytes(tokenizer.encode("漢 é")) == "漢 é".encode()


def test_a_lone_surrogate_in_the_training_text_is_the_replacement_character() -> None:
    tokenizer = chars_tokenizer(["a\ud800"])
    assert tokenizer.encode("\ud800") == tokenizer.encode("\ufffd") == [256]


def many_characters(count: int) -> str:
    """Code points, assigned or not, but no surrogates."""
    return "".join(chr(code) for code in range(0x10000, 0x10000 + count))


def test_a_vocabulary_beyond_16_bits_is_stored_in_32() -> None:
    text = many_characters(66_000)
    tokenizer = chars_tokenizer([text])
    assert tokenizer.n_vocab == 66_257
    assert tokenizer.dtype == np.uint32
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == text.encode()
    assert tokenizer.encode_documents([text[-1]]).tolist() == [66_255, 66_256]


@quick
@given(some, some)
def test_the_file_reopens_unchanged_and_in_the_library_tokenizers(train: str, text: str) -> None:
    tokenizer: Tokenizer = chars_tokenizer([train])
    opened = from_json(tokenizer.to_json())
    assert opened.kind == "chars"
    assert opened.fingerprint == tokenizer.fingerprint
    assert opened.encode(text) == tokenizer.encode(text)
    theirs = tokenizers.Tokenizer.from_str(tokenizer.to_json())
    assert theirs.encode(text).ids == tokenizer.encode(text)
    assert theirs.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("characters", [["é", "a"], ["é", "é"], ["漢", "é"], ["ab"], ["é", ""]])
def test_invalid_or_unsorted_characters_are_rejected(characters: list[str]) -> None:
    from slm_tui.corpus.tokenizers.chars import CharsTokenizer

    with pytest.raises(CorpusError, match="out of order"):
        CharsTokenizer(characters)
