"""The stream decoder: a character is returned once its last byte has arrived."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.corpus.tokenizers import StreamDecoder, byte_tokenizer
from slm_tui.corpus.tokenizers.contract import sound


def _stream(data: bytes, sizes: random.Random) -> tuple[list[str], StreamDecoder]:
    """`data` through a tokenizer whose tokens are pieces of it, of 1 to 4 bytes."""

    class Parts:
        def next_bytes(self, id: int, before: int | None) -> bytes:
            return parts[id]

    parts, at = [], 0
    while at < len(data):
        size = sizes.randint(1, 4)
        parts.append(data[at : at + size])
        at += size
    decoder = StreamDecoder(Parts())  # type: ignore[arg-type]
    return [*(decoder.feed(id) for id in range(len(parts))), decoder.finish()], decoder


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.binary(max_size=40), st.text(max_size=20).map(lambda text: sound(text).encode())),
    st.randoms(use_true_random=False),
)
def test_streamed_text_equals_the_decoded_bytes(data: bytes, sizes: random.Random) -> None:
    streamed, decoder = _stream(data, sizes)
    assert "".join(streamed) == data.decode("utf-8", "replace")
    invalid = sum(0xDC80 <= ord(char) <= 0xDCFF for char in data.decode("utf-8", "surrogateescape"))
    assert decoder.invalid_bytes == invalid
    assert decoder.valid_bytes + decoder.invalid_bytes == len(data)


def test_a_stream_never_yields_part_of_a_character() -> None:
    tokenizer = byte_tokenizer()
    decoder = StreamDecoder(tokenizer)
    streamed = [decoder.feed(id) for id in tokenizer.encode("a€🙂")]
    assert streamed == ["a", "", "", "€", "", "", "", "🙂"]
    assert decoder.finish() == ""
    assert decoder.feed(0xE2) == ""
    assert decoder.feed(tokenizer.end_of_text) == ""
    assert decoder.finish() == "\ufffd"
    assert (decoder.valid_bytes, decoder.invalid_bytes) == (8, 1)


def test_a_replacement_character_in_the_text_counts_as_valid() -> None:
    decoder = StreamDecoder(byte_tokenizer())
    assert "".join(map(decoder.feed, "\ufffd".encode())) == "\ufffd"
    assert (decoder.valid_bytes, decoder.invalid_bytes) == (3, 0)
