"""Guarantees of the tokenizers: every text round-trips, ids are stable, files can be reopened."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from slm_tui.corpus.tokenizers import (
    StreamDecoder,
    Tokenizer,
    byte_tokenizer,
    from_json,
    train_bpe,
)
from slm_tui.corpus.tokenizers.tokenizer_file import END_OF_TEXT
from slm_tui.errors import CorpusError
from tests.corpus.helpers import STORY, TEXTS
from tests.corpus.strategies import NAMES, any_text, assigned, knotty, quick


@pytest.mark.parametrize("name", NAMES)
@quick
@given(text=any_text)
def test_every_text_round_trips(
    every_tokenizer: dict[str, Tokenizer], name: str, text: str
) -> None:
    tokenizer = every_tokenizer[name]
    ids = tokenizer.encode(text)
    assert tokenizer.decode_bytes(ids) == text.encode()
    assert all(0 <= id < tokenizer.n_vocab for id in ids)
    assert tokenizer.encode_array(text).tolist() == ids
    assert tokenizer.encode_bytes(text.encode()) == ids
    assert tokenizer.end_of_text not in ids


@pytest.mark.parametrize("name", NAMES)
@quick
@given(data=st.binary(max_size=60))
def test_bytes_that_are_not_text_round_trip(
    every_tokenizer: dict[str, Tokenizer], name: str, data: bytes
) -> None:
    ids = every_tokenizer[name].encode_bytes(data)
    assert every_tokenizer[name].decode_bytes(ids) == data


def test_the_two_bytes_without_ids_round_trip_too() -> None:
    ids = byte_tokenizer().encode_bytes(b"a\xfeb\xff")
    assert byte_tokenizer().decode_bytes(ids) == b"a\xfeb\xff"
    assert byte_tokenizer().end_of_text not in ids
    # Each is two ids, neither of which is a byte of UTF-8.
    assert len(ids) == 6
    assert not set(ids[1:3] + ids[4:]) & set(range(0xC0))


def test_ids_of_bytes_are_the_bytes() -> None:
    assert byte_tokenizer().encode("é\0") == [0xC3, 0xA9, 0]
    assert byte_tokenizer().end_of_text == 255
    assert byte_tokenizer().token_bytes(254) == byte_tokenizer().token_bytes(255) == b""


@pytest.mark.parametrize("name", NAMES)
def test_a_lone_surrogate_becomes_the_replacement_character(
    every_tokenizer: dict[str, Tokenizer], name: str
) -> None:
    ids = every_tokenizer[name].encode("a\ud800b\udfff")
    assert every_tokenizer[name].decode_bytes(ids).decode() == "a\ufffdb\ufffd"


@pytest.mark.parametrize("name", NAMES)
def test_end_of_text_in_a_text_is_ordinary_text(
    every_tokenizer: dict[str, Tokenizer], name: str
) -> None:
    tokenizer, text = every_tokenizer[name], f"a{END_OF_TEXT}<|begin_of_text|>b{END_OF_TEXT}"
    ids = tokenizer.encode(text)
    assert tokenizer.end_of_text not in ids
    assert tokenizer.decode_bytes(ids) == text.encode()
    assert tokenizer.decode_bytes([*ids, tokenizer.end_of_text]) == text.encode()


@pytest.mark.parametrize("name", NAMES)
def test_byte_lengths_match_the_tokens(every_tokenizer: dict[str, Tokenizer], name: str) -> None:
    tokenizer = every_tokenizer[name]
    lengths = tokenizer.byte_lengths()
    assert lengths.shape == (tokenizer.n_vocab,)
    assert lengths.dtype == np.int32
    assert lengths[tokenizer.end_of_text] == 0
    assert lengths[tokenizer.encode_array(STORY)].sum() == len(STORY.encode())
    assert lengths.tolist() == [len(tokenizer.token_bytes(id)) for id in range(tokenizer.n_vocab)]


@pytest.mark.parametrize("name", NAMES)
def test_ids_outside_the_vocabulary_have_no_bytes(
    every_tokenizer: dict[str, Tokenizer], name: str
) -> None:
    assert every_tokenizer[name].token_bytes(-1) == b""
    assert every_tokenizer[name].token_bytes(every_tokenizer[name].n_vocab) == b""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_batch_has_the_ids_of_its_texts(
    every_tokenizer: dict[str, Tokenizer], name: str, threads: int
) -> None:
    batch = every_tokenizer[name].encode_batch([*TEXTS, ""], threads)
    assert [ids.tolist() for ids in batch] == [
        every_tokenizer[name].encode(text) for text in [*TEXTS, ""]
    ]
    assert {ids.dtype for ids in batch} == {np.dtype(np.uint16)}


@pytest.mark.parametrize("name", NAMES)
@quick
@given(batch=st.lists(any_text, min_size=1, max_size=6))
def test_documents_have_the_ids_of_their_texts_and_end_of_text_after_each(
    every_tokenizer: dict[str, Tokenizer], name: str, batch: list[str]
) -> None:
    tokenizer = every_tokenizer[name]
    result = tokenizer.encode_documents(batch)
    assert result.tolist() == one_by_one(tokenizer, batch)
    assert result.dtype == tokenizer.dtype


def one_by_one(tokenizer: Tokenizer, texts: list[str]) -> list[int]:
    return [id for text in texts for id in [*tokenizer.encode(text), tokenizer.end_of_text]]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "batch",
    [
        [f"a{END_OF_TEXT}b", "c"],
        [END_OF_TEXT],
        ["<|endoftext|", ">"],
        ["<|", "endoftext|>"],
        [f"{END_OF_TEXT}{END_OF_TEXT}", "", END_OF_TEXT],
        ["spaces at the end   ", "   at the beginning", "\n\n"],
        ["x" * 20_000, "y"],
        ["a", " " * 20_000, "b"],
        ["", ""],
        ["a\ud800", "\udfffb"],
    ],
)
def test_texts_that_look_like_marks_are_encoded_as_text(
    every_tokenizer: dict[str, Tokenizer], name: str, batch: list[str]
) -> None:
    assert every_tokenizer[name].encode_documents(batch).tolist() == one_by_one(
        every_tokenizer[name], batch
    )


@pytest.mark.parametrize("name", NAMES)
@quick
@given(text=any_text)
def test_a_text_round_trips_through_the_stream_decoder(
    every_tokenizer: dict[str, Tokenizer], name: str, text: str
) -> None:
    decoder = StreamDecoder(every_tokenizer[name])
    streamed = [decoder.feed(id) for id in every_tokenizer[name].encode(text)]
    assert "".join([*streamed, decoder.finish()]) == text
    assert (decoder.valid_bytes, decoder.invalid_bytes) == (len(text.encode()), 0)


@pytest.mark.parametrize("name", NAMES)
@quick
@given(data=st.binary(max_size=60))
def test_the_stream_decoder_equals_decoding_all_bytes_at_once(
    every_tokenizer: dict[str, Tokenizer], name: str, data: bytes
) -> None:
    decoder = StreamDecoder(every_tokenizer[name])
    streamed = [decoder.feed(id) for id in every_tokenizer[name].encode_bytes(data)]
    assert "".join([*streamed, decoder.finish()]) == data.decode("utf-8", "replace")


# Files


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_tokenizer_reopens_unchanged(
    every_tokenizer: dict[str, Tokenizer], name: str
) -> None:
    saved = every_tokenizer[name]
    opened = from_json(saved.to_json())
    assert (opened.kind, opened.n_vocab, opened.end_of_text, opened.fingerprint) == (
        saved.kind,
        saved.n_vocab,
        saved.end_of_text,
        saved.fingerprint,
    )
    assert opened.to_json() == saved.to_json()
    assert opened.encode(STORY) == saved.encode(STORY)


def test_different_tokenizers_have_different_fingerprints(
    every_tokenizer: dict[str, Tokenizer],
) -> None:
    assert len({tokenizer.fingerprint for tokenizer in every_tokenizer.values()}) == len(
        every_tokenizer
    )


@pytest.fixture(scope="module")
def opened(every_tokenizer: dict[str, Tokenizer]) -> dict[str, tokenizers.Tokenizer]:
    result = {
        name: tokenizers.Tokenizer.from_str(one.to_json()) for name, one in every_tokenizer.items()
    }
    for one in result.values():
        one.encode_special_tokens = True
    return result


@pytest.mark.parametrize("name", NAMES)
@quick
@given(text=st.one_of(st.text(assigned, max_size=60), knotty, st.sampled_from(TEXTS)))
def test_the_library_tokenizers_gives_the_same_ids(
    every_tokenizer: dict[str, Tokenizer],
    opened: dict[str, tokenizers.Tokenizer],
    name: str,
    text: str,
) -> None:
    ids = every_tokenizer[name].encode(text)
    assert opened[name].encode(text).ids == ids
    assert opened[name].decode(ids) == text
    assert opened[name].token_to_id(END_OF_TEXT) == every_tokenizer[name].end_of_text
    assert opened[name].get_vocab_size() == every_tokenizer[name].n_vocab


def _damaged() -> Iterator[str]:
    whole = json.loads(train_bpe(TEXTS, 300).to_json())
    yield from ("", "{", "[]", "{}", "null", '{"model": 1}', "[" * 100_000)
    for change in (
        lambda model: model.pop("slm_tui"),
        lambda model: model.update(slm_tui={"kind": "chars"}),
        lambda model: model.update(slm_tui={"kind": "bytes"}),
        lambda model: model.update(vocab={}),
        lambda model: model["vocab"].pop("a"),
        lambda model: model["vocab"].update(z=7),
        lambda model: model["vocab"].update({"漢": len(model["vocab"])}),
        lambda model: model["vocab"].update(a="1"),
        lambda model: model["vocab"].update(a=model["vocab"]["b"], b=model["vocab"]["a"]),
    ):
        copy = json.loads(json.dumps(whole))
        change(copy["model"])
        yield json.dumps(copy)


@pytest.mark.parametrize("text", _damaged())
def test_a_foreign_tokenizer_file_is_rejected(text: str) -> None:
    with pytest.raises(CorpusError):
        from_json(text)
