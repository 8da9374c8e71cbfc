"""Tokens to text: no character is split, no part of a stop string is shown, every text counts."""

from collections.abc import Sequence
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.corpus.tokenizers import Tokenizer, byte_tokenizer
from slm_tui.generation.completions import (
    Completion,
    CompletionPiece,
    TextDecoder,
    complete,
    stream,
    write,
)
from slm_tui.generation.sampling import SamplingSettings
from tests.generation.test_engine import GREEDY, Scripted, model_of

BYTES = byte_tokenizer()
SAMPLED = SamplingSettings(temperature=1.0, max_tokens=30, seed=5)
# Outputs of `model_of` are random bytes: with few distinct ones, texts have valid characters.
PROMPTS = ["", "One", "a much longer prompt than the window", "Zwölf 🐻", "One"]


def decoded(text: str, *stop: str, tokenizer: Tokenizer = BYTES) -> tuple[list[str], TextDecoder]:
    """What a decoder releases for each token of `text`, and that decoder."""
    decoder = TextDecoder(tokenizer, stop)
    return [decoder.feed(id) for id in tokenizer.encode(text)], decoder


def all_of(model: Scripted, *stop: str) -> tuple[str, list[CompletionPiece]]:
    pieces = list(stream(model, BYTES, "x", GREEDY.with_(stop=stop)))
    return "".join(piece.text for piece in pieces), pieces


def scripted(text: str) -> Scripted:
    return Scripted([*text.encode(), BYTES.end_of_text])


# Stop strings.


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("one two three", ["two"], "one "),
        ("one two three", ["three", "two"], "one "),
        ("one two three", ["o"], ""),
        ("one two three", ["one two three"], ""),
        ("one two three", ["four", "one two three."], "one two three"),
        # A possible start of one, which is the start of it later.
        ("aaab", ["aab"], "a"),
        ("ababac", ["abac"], "ab"),
        ("xxyxxz", ["xxz"], "xxy"),
        # One that is a prefix of another; two that overlap.
        ("to be", ["to be", "to"], ""),
        ("abcd", ["bcd", "abce"], "a"),
        ("abcd", ["cd", "bc"], "a"),
        ("abad", ["abad", "b"], "a"),
        ("User: hi", ["\n", "User:"], ""),
        ("né 🐻 là", ["🐻"], "né "),
        ("né 🐻 là", ["é", "🐻"], "n"),
        ("né 🐻 là", ["à"], "né 🐻 l"),
        ("🐺🐻", ["🐻"], "🐺"),
    ],
)
def test_a_text_ends_before_the_first_stop_string(
    text: str, stop: list[str], expected: str
) -> None:
    pieces, decoder = decoded(text, *stop)
    assert decoder.stopped == (expected != text)
    assert "".join(pieces) + decoder.finish() == expected
    model = scripted(text)
    assert all_of(model, *stop)[0] == expected
    # Not a single token is computed after it.
    end = min((text.find(one) + len(one) for one in stop if one in text), default=len(text) + 1)
    assert len(model.seen) <= len(text[:end].encode()) + (end > len(text))


def test_only_a_possible_start_of_a_stop_string_is_held_back() -> None:
    pieces, decoder = decoded("wait, stop", "stopped")
    assert pieces == [*"wait, ", "", "", "", ""]
    assert decoder.finish() == "stop"
    pieces, _ = decoded("stone", "stopped")
    assert pieces == ["", "", "", "ston", "e"]
    text, text_before_stop = all_of(scripted("wait, stop"), "stopped")
    assert text == "wait, stop"
    assert text_before_stop[-1] == CompletionPiece(-1, "stop")


def test_a_stop_string_within_one_token_and_across_several() -> None:
    tokens = {0: b"good", 1: b"bye", 2: b" and on", 3: b" go"}

    class Words:
        """Tokens of several characters."""

        def next_bytes(self, id: int, before: int | None) -> bytes:
            return tokens[id]

    for stop, ids, result in (
        ("db", (0, 1, 2), "goo"),
        ("ood", (0, 1), "g"),
        ("goodbye", (3, 0, 1), " go"),
        ("bye and", (0, 1, 2), "good"),
        # Complete in one token, as if its characters had come one by one.
        (("bye", "y"), (0, 1), "goodb"),
    ):
        decoder = TextDecoder(Words(), (stop,) if isinstance(stop, str) else stop)  # type: ignore[arg-type]
        assert "".join(decoder.feed(id) for id in ids) == result
        assert decoder.stopped


def test_a_stopped_text_can_be_continued() -> None:
    pieces, decoder = decoded("one, two", ", ")
    assert decoder.stopped
    assert "".join(pieces) == "one"
    # Nothing is lost: neither the stop string nor what follows it.
    assert decoder.resume(["four"]) == ", two"
    assert not decoder.stopped
    assert "".join(decoder.feed(id) for id in b" three fou") == " three "
    assert decoder.finish() == "fou"


def test_an_empty_stop_string_stops_nothing() -> None:
    assert all_of(scripted("text"), "", "")[0] == "text"


def stops_in(text: str, stop: list[str]) -> list[tuple[int, int]]:
    """Starts and ends of stop strings: the first one that is complete counts."""
    result = [(text.find(one), len(one)) for one in stop if one]
    return [(at + length, at) for at, length in result if at >= 0]


TEXTS = st.text(alphabet="ab\né🐻", max_size=30)


@settings(max_examples=300, deadline=None)
@given(text=TEXTS, stop=st.lists(st.text(alphabet="ab\né🐻", max_size=4), max_size=4))
def test_released_and_held_text_add_up_to_the_text_before_the_stop(
    text: str, stop: list[str]
) -> None:
    decoder, released = TextDecoder(BYTES, stop), ""
    places = stops_in(text, stop)
    expected = text[: min(places)[1]] if places else text
    fed = b""
    for id in text.encode():
        fed += bytes([id])
        released += decoder.feed(id)
        assert expected.startswith(released)
        assert not any(one in released for one in stop if one)
        if not decoder.stopped:
            # Only a possible start of a stop string and an incomplete character are held back.
            whole = fed.decode(errors="ignore")
            held = whole[len(released) :]
            assert whole == released + held
            assert not held or any(one.startswith(held) for one in stop)
    assert decoder.stopped == bool(places)
    assert released + decoder.finish() == expected
    assert decoder.valid_bytes == len(text.encode())
    assert decoder.invalid_bytes == 0


# 254 and 255 are not bytes of a text but mark its ends.
RAW = st.lists(st.integers(0, 253), max_size=24).map(bytes)


@settings(max_examples=200, deadline=None)
@given(raw=RAW, stop=st.lists(st.text("a\ufffd🐻", max_size=2), max_size=2))
def test_any_bytes_are_decoded_like_a_complete_text(raw: bytes, stop: list[str]) -> None:
    decoder = TextDecoder(BYTES, stop)
    whole = raw.decode(errors="replace")
    places = stops_in(whole, stop)
    released = "".join(decoder.feed(id) for id in raw) + decoder.finish()
    assert released == (whole[: min(places)[1]] if places else whole)
    assert decoder.valid_bytes + decoder.invalid_bytes == len(raw)
    assert (decoder.invalid_bytes == 0) == (raw.decode(errors="ignore").encode() == raw)


# Many texts.


def written(
    prompts: Sequence[str], chosen: SamplingSettings, **options: object
) -> list[Completion]:
    """By number, without times."""
    result = write(model_of(vocabulary=257), BYTES, prompts, chosen, **options)  # type: ignore[arg-type]
    return sorted(result, key=lambda text: text.number)


def facts(text: Completion) -> tuple[object, ...]:
    return text.prompt, text.text, text.seed, text.ids, text.ended, text.valid_bytes


def test_completions_do_not_depend_on_others_in_the_batch() -> None:
    together = written(PROMPTS, SAMPLED, samples=3)
    assert [text.number for text in together] == list(range(15))
    assert [text.seed for text in together] == [5, 6, 7] * 5
    assert [text.prompt for text in together] == [one for one in PROMPTS for _ in range(3)]
    for at_once in (1, 2, 7):
        again = written(PROMPTS, SAMPLED, samples=3, at_once=at_once)
        assert list(map(facts, again)) == list(map(facts, together))
    alone = [
        complete(model_of(vocabulary=257), BYTES, text.prompt, SAMPLED.with_(seed=text.seed))
        for text in together
    ]
    assert [text.text for text in together] == alone
    assert len(set(alone)) == 12


def test_stop_strings_end_each_text_separately() -> None:
    free = written(PROMPTS, SAMPLED, samples=4)
    # A character that some of them contain, at different positions.
    char = max("".join(text.text for text in free), key=lambda one: (one.isascii(), one))
    stopped = written(PROMPTS, SAMPLED.with_(stop=(char,)), samples=4)
    assert {text.ended for text in stopped} >= {"stop string", "max tokens"}
    for text, whole in zip(stopped, free, strict=True):
        assert text.text == whole.text.partition(char)[0]
        assert text.ids == whole.ids[: text.tokens]
        assert (text.ended == "stop string") == (char in whole.text)


def test_a_completion_is_yielded_when_it_ends_and_a_waiting_one_starts() -> None:
    numbers: list[int] = []
    result = write(
        model_of(vocabulary=257),
        BYTES,
        ["a", "b", "c"],
        SAMPLED.with_(max_tokens=5),
        at_once=1,
        on_piece=lambda number, piece: numbers.append(number),
    )
    first = next(result)
    assert (first.number, first.tokens, set(numbers)) == (0, 5, {0})
    assert [text.number for text in result] == [1, 2]
    assert numbers == sorted(numbers)


def test_reported_pieces_add_up_to_the_completions() -> None:
    parts: dict[int, list[CompletionPiece]] = {}
    for text in written(
        PROMPTS,
        SAMPLED,
        samples=2,
        on_piece=lambda at, piece: parts.setdefault(at, []).append(piece),
    ):
        pieces = parts[text.number]
        assert "".join(piece.text for piece in pieces) == text.text
        assert tuple(piece.id for piece in pieces if piece.id >= 0) == text.ids
        assert text.seconds > 0


def test_a_stop_in_the_middle_yields_the_text_so_far() -> None:
    stop, seen = Event(), list[int]()

    def on_piece(number: int, piece: CompletionPiece) -> None:
        seen.append(number)
        if seen.count(0) == 4:
            stop.set()

    whole = written(PROMPTS, SAMPLED)
    result = written(PROMPTS, SAMPLED, stop=stop, at_once=2, on_piece=on_piece)
    assert [text.number for text in result] == list(range(5))
    assert {text.ended for text in result} == {"stopped"}
    assert [text.tokens for text in result] == [4, 4, 0, 0, 0]
    for text, other in zip(result, whole, strict=True):
        assert text.ids == other.ids[: text.tokens]
    stop.set()
    assert [text.tokens for text in written(["a"], SAMPLED, stop=stop)] == [0]


def test_no_prompts_give_no_completions() -> None:
    assert written([], SAMPLED) == []


def test_the_reason_for_ending_and_the_validity_are_reported() -> None:
    bear, end = "🐻".encode(), BYTES.end_of_text

    def only(ids: list[int], most: int = 40) -> Completion:
        (text,) = write(Scripted(ids), BYTES, ["x"], GREEDY.with_(max_tokens=most))
        return text

    whole = only([*bear, end])
    assert (whole.text, whole.ended, whole.tokens, whole.valid_bytes) == ("🐻", "end of text", 4, 4)
    assert whole.is_valid
    # Cut off by the limit, it is not the model's fault; ended by itself, it is.
    cut = only([65, *bear[:2]], 3)
    assert (cut.ended, cut.is_valid, cut.text[0], cut.text[1]) == (
        "max tokens",
        True,
        "A",
        "\ufffd",
    )
    assert not only([65, *bear[:2], end]).is_valid
    assert not only([0xC0, 65], 2).is_valid
    nothing = only([end])
    assert (nothing.text, nothing.tokens, nothing.ended) == ("", 0, "end of text")
