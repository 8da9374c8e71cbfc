"""Prepared corpora: built once, verified each time, and without leaks between splits."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from slm_tui import paths
from slm_tui.config import library
from slm_tui.config.preset import Preset, parse
from slm_tui.corpus import build
from slm_tui.corpus.prepare import Corpus, cached, load, prepare, reopen
from slm_tui.corpus.progress import Cancelled, Meter, Progress
from slm_tui.corpus.split import SplitDocuments
from slm_tui.corpus.split import text_of as texts_of
from slm_tui.errors import CorpusError
from tests import extent
from tests.conftest import SHARED_DATA

Make = Callable[..., Preset]
PLAYS = SHARED_DATA / "tinyshakespeare.txt"
FILES = ["train.bin", "val.bin", "test.bin", "tokenizer.json", "manifest.json"]


def text_of(corpus: Corpus, part: str) -> list[str]:
    ids = getattr(corpus, part).tolist()
    end = corpus.tokenizer.end_of_text
    documents: list[list[int]] = [[]]
    for one in ids:
        if one == end:
            documents.append([])
        else:
            documents[-1].append(one)
    return [corpus.tokenizer.decode_bytes(one).decode() for one in documents if one]


def staged(preset: Preset, directory: Path) -> SplitDocuments:
    return build.staged(preset, directory, Meter())[0]


def of_text(tiny: Make, tmp_path: Path, text: str, **changes: object) -> Preset:
    path = tmp_path / "text.txt"
    path.write_text(text)
    data = {"kind": "file", "path": str(path), **changes}
    return tiny(data=data)


def test_the_tokens_are_the_documents_between_end_of_text(tiny: Make) -> None:
    corpus = prepare(tiny())
    end = corpus.tokenizer.end_of_text
    assert corpus.train[0] == corpus.train[-1] == end
    documents = text_of(corpus, "train")
    assert len(documents) == 40 == corpus.manifest["parts"]["train"]["documents"]
    counts = corpus.manifest["parts"]["train"]
    assert counts["tokens"] == len(corpus.train)
    assert counts["bytes"] == sum(len(one.encode()) for one in documents)


@pytest.mark.parametrize("tokenizer", [{"kind": "bytes"}, {"kind": "bpe", "vocab_size": 300}])
def test_text_round_trips_with_every_tokenizer(
    tiny: Make, tmp_path: Path, tokenizer: dict[str, object]
) -> None:
    text = "Ein Bär 🐻 saß da.\n\n\tUnd lachte <|endof text|> laut.\n" * 30
    preset = of_text(tiny, tmp_path, text, split={"validation": 0.2})
    corpus = prepare(parse({**preset.to_dict(), "tokenizer": tokenizer}, "it"))
    joined = "".join(text_of(corpus, "train") + text_of(corpus, "val"))
    assert "".join(joined.split()) == "".join(text.split())


def test_a_second_preparation_opens_the_existing_corpus(tiny: Make) -> None:
    corpus = prepare(tiny())
    stages: list[str] = []
    again = prepare(tiny(), progress=lambda progress: stages.append(progress.stage))
    assert again.directory == corpus.directory
    assert stages == []


def test_settings_that_do_not_affect_tokens_share_a_corpus(tiny: Make) -> None:
    same = prepare(tiny(training__seed=9, model__n_embd=32, name="other"))
    assert same.fingerprint == prepare(tiny()).fingerprint
    assert prepare(tiny(data__seed=9)).fingerprint != same.fingerprint
    assert prepare(tiny(data__split={"validation": 0.3})).fingerprint != same.fingerprint
    bpe = {"kind": "bpe", "vocab_size": 300}
    assert prepare(tiny(tokenizer=bpe)).fingerprint != same.fingerprint


def test_preparing_twice_gives_the_same_bytes(tiny: Make, tmp_path: Path) -> None:
    preset = tiny(tokenizer={"kind": "bpe", "vocab_size": 300})
    first = prepare(preset)
    before = {name: (first.directory / name).read_bytes() for name in FILES[:4]}
    (first.directory / "manifest.json").unlink()
    again = prepare(preset)
    assert {name: (again.directory / name).read_bytes() for name in FILES[:4]} == before


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_in_any_file_is_detected_and_the_corpus_rebuilt(
    tiny: Make, name: str
) -> None:
    preset = tiny(data__split={"validation": 0.1, "test": 0.1}, data__documents=3)
    corpus = prepare(preset)
    path = corpus.directory / name
    whole = path.read_bytes()
    chance = random.Random(name)
    for place in chance.sample(range(len(whole)), min(len(whole), 60)):
        spoiled = bytearray(whole)
        spoiled[place] ^= 1 << chance.randrange(8)
        path.write_bytes(spoiled)
        with pytest.raises(CorpusError):
            load(corpus.directory)
    assert prepare(preset).fingerprint == corpus.fingerprint
    assert path.read_bytes() == whole or name == "manifest.json"
    load(corpus.directory)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_or_truncated_file_is_detected(tiny: Make, name: str) -> None:
    preset = tiny(data__split={"validation": 0.1, "test": 0.1})
    path = prepare(preset).directory / name
    path.write_bytes(path.read_bytes()[:-1])
    assert reopen(path.parent.name) is None
    path.unlink()
    assert reopen(path.parent.name) is None
    prepare(preset)
    assert path.is_file()


def test_a_damaged_corpus_stays_until_its_replacement_is_complete(tiny: Make) -> None:
    corpus = prepare(tiny())
    tokens = corpus.directory / "train.bin"
    whole = tokens.read_bytes()
    tokens.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    cancel = Event()
    cancel.set()
    with pytest.raises(Cancelled):
        prepare(tiny(), cancel=cancel)
    # Most of it may be useful to somebody whose text is gone.
    assert len(tokens.read_bytes()) == len(whole)
    assert prepare(tiny()).directory == corpus.directory
    assert tokens.read_bytes() == whole
    assert list(corpus.directory.parent.glob(".making-*")) == []


def test_a_partially_written_corpus_is_not_used(tiny: Make) -> None:
    corpus = prepare(tiny())
    (corpus.directory / "manifest.json").unlink()
    assert cached(tiny()) is None
    assert len(prepare(tiny()).train) == len(corpus.train)


def test_a_cancelled_preparation_leaves_nothing(tiny: Make) -> None:
    cancel = Event()
    stages: list[str] = []

    def stop_at_tokens(progress: Progress) -> None:
        stages.append(progress.stage)
        if progress.stage == "tokenizing":
            cancel.set()

    with pytest.raises(Cancelled):
        prepare(tiny(), progress=stop_at_tokens, cancel=cancel)
    assert "generating stories" in stages
    assert list(paths.corpora_dir().iterdir()) == []


def test_an_unwritable_disk_is_reported_in_one_line(tiny: Make, home: Path) -> None:
    (home / "cache").write_text("a file in the way")
    with pytest.raises(CorpusError, match="cannot be written.*SLM_TUI_HOME"):
        prepare(tiny())


def test_a_limit_in_tokens_is_respected(tiny: Make, tmp_path: Path) -> None:
    corpus = prepare(tiny(data__limit={"tokens": 500}))
    assert len(corpus.train) == 500
    text = "".join(f"line number {number}\n" for number in range(2000))
    preset = of_text(tiny, tmp_path, text, limit={"tokens": 1000}, split={"validation": 0.2})
    corpus = prepare(preset)
    assert (len(corpus.train), len(corpus.val)) == (800, 200)


def test_a_limit_in_characters_is_respected(tiny: Make, tmp_path: Path) -> None:
    preset = of_text(tiny, tmp_path, "x" * 5000, limit={"characters": 1000}, split={})
    corpus = prepare(preset)
    assert sum(corpus.manifest["parts"][part]["bytes"] for part in ("train", "val")) == 1000


def test_the_tokenizer_sees_only_the_training_split(tiny: Make, tmp_path: Path) -> None:
    text = "the cat sat on the mat. " * 300 + "\n\n" + "zyzzyva quixotry " * 100
    preset = of_text(tiny, tmp_path, text, split={"validation": 0.19})
    corpus = prepare(
        parse({**preset.to_dict(), "tokenizer": {"kind": "bpe", "vocab_size": 320}}, "it")
    )
    assert "zyzzyva" in "".join(text_of(corpus, "val"))
    tokens = [corpus.tokenizer.token_bytes(id) for id in range(corpus.tokenizer.n_vocab)]
    assert not [token for token in tokens if b"zy" in token or b"qu" in token]


def test_the_floor_is_the_information_of_the_validation_text(tiny: Make, tmp_path: Path) -> None:
    preset = tiny()
    corpus = prepare(preset)
    stories = staged(preset, tmp_path).documents["val"]
    assert stories.bits is not None
    bits, texts = stories.bits.sum(), texts_of(stories)
    assert corpus.floor == pytest.approx(bits / sum(map(len, texts)))
    assert texts == text_of(corpus, "val")


def test_text_of_unknown_entropy_has_no_floor(tiny: Make, tmp_path: Path) -> None:
    assert prepare(of_text(tiny, tmp_path, "some words\n" * 99)).floor is None


def test_streams_are_small_integers_mapped_from_disk(tiny: Make) -> None:
    corpus = prepare(tiny())
    assert corpus.train.dtype == np.uint16
    assert not corpus.train.flags.writeable


def test_the_cached_manifest_gives_sizes_without_opening_tokens(tiny: Make) -> None:
    assert cached(tiny()) is None
    corpus = prepare(tiny())
    manifest = cached(tiny())
    assert manifest is not None
    assert manifest["parts"] == json.loads(json.dumps(corpus.manifest["parts"]))


def test_a_changed_file_is_prepared_again(tiny: Make, tmp_path: Path) -> None:
    one = prepare(of_text(tiny, tmp_path, "first text " * 99))
    two = prepare(of_text(tiny, tmp_path, "other text " * 99))
    assert one.fingerprint != two.fingerprint
    assert "other" in "".join(text_of(two, "train"))


# Duplicates and leaks.


def passage(seed: int, words: int = 60) -> str:
    chance = random.Random(seed)
    return " ".join(f"{chance.choice('bcdfg')}{chance.randrange(10**5):x}" for _ in range(words))


def of_documents(tiny: Make, tmp_path: Path, *documents: str, **split: float) -> Corpus:
    text = "<|endoftext|>".join(documents)
    return prepare(of_text(tiny, tmp_path, text, split=split or {"validation": 0.2}))


def test_duplicates_across_splits_are_removed_and_counted(tiny: Make, tmp_path: Path) -> None:
    train = [passage(seed) for seed in range(8)]
    corpus = of_documents(tiny, tmp_path, *train, train[3], passage(99))
    assert text_of(corpus, "train") == train
    assert text_of(corpus, "val") == [passage(99)]
    assert corpus.manifest["duplicates_removed"] == 1
    assert corpus.manifest["parts"]["val"]["documents"] == 1


def test_duplicates_within_training_are_kept(tiny: Make, tmp_path: Path) -> None:
    train = [passage(seed % 4) for seed in range(8)]
    corpus = of_documents(tiny, tmp_path, *train, passage(98), passage(99))
    assert text_of(corpus, "train") == train
    assert corpus.manifest["duplicates_removed"] == 0


def test_a_test_document_that_is_also_in_validation_is_removed(tiny: Make, tmp_path: Path) -> None:
    train = [passage(seed) for seed in range(8)]
    held_out = [passage(98), passage(99), passage(98), passage(97)]
    corpus = of_documents(tiny, tmp_path, *train, *held_out, validation=1 / 6, test=1 / 6)
    assert text_of(corpus, "val")[-2:] == held_out[:2]
    assert text_of(corpus, "test") == held_out[3:]
    assert corpus.manifest["duplicates_removed"] == 1


def test_text_copied_from_training_is_reported_as_leakage(tiny: Make, tmp_path: Path) -> None:
    train = [passage(seed) for seed in range(8)]
    copied = train[5][: len(train[5]) // 2] + " and then " + passage(98, 30)
    leaks = of_documents(tiny, tmp_path, *train, copied, passage(99)).manifest["leakage"]
    assert set(leaks) == {"val"}
    assert 10 <= leaks["val"]["shared"] <= 20
    assert leaks["val"]["share"] == leaks["val"]["shared"] / leaks["val"]["runs"]
    assert leaks["val"]["sampled"] is False


def test_original_text_does_not_leak(tiny: Make, tmp_path: Path) -> None:
    corpus = of_documents(tiny, tmp_path, *(passage(seed) for seed in range(10)))
    assert corpus.manifest["leakage"]["val"]["shared"] == 0
    assert corpus.manifest["leakage"]["val"]["runs"] == 2 * (60 - 12)


def test_without_held_out_text_there_is_no_leakage(tiny: Make, tmp_path: Path) -> None:
    corpus = of_documents(tiny, tmp_path, passage(1), passage(2), validation=0.0)
    assert corpus.manifest["leakage"] == {}


# No shipped preset trains on its validation text.


def shipped(kind: str) -> list[str]:
    presets = [entry.preset for entry in library._builtin()]
    return [preset.name for preset in presets if preset is not None and preset.data.kind == kind]


def texts_of_preset(preset: Preset, directory: Path) -> tuple[list[str], list[str]]:
    parts = staged(preset, directory).documents
    return texts_of(parts["train"]), texts_of(parts["val"])


@extent.sample(3)
@pytest.mark.parametrize("name", shipped("stories"))
def test_no_validation_story_of_a_shipped_preset_is_trained_on(name: str, tmp_path: Path) -> None:
    preset = library.get(name)
    train, val = texts_of_preset(preset, tmp_path)
    assert len(val) >= 60
    trained_on = set(train)
    assert not [text for text in val if text in trained_on]
    everything = "\n\n".join(train)
    assert not [text for text in val[:100] if text in everything]


@pytest.mark.parametrize("name", shipped("file"))
@pytest.mark.skipif(
    not PLAYS.is_file(), reason="needs tinyshakespeare.txt, from outside the repository"
)
def test_no_validation_text_of_a_shipped_preset_is_trained_on(name: str, tmp_path: Path) -> None:
    preset = library.get(name)
    preset = parse(
        {**preset.to_dict(), "data": {**preset.to_dict()["data"], "path": str(PLAYS)}}, name
    )
    train, val = texts_of_preset(preset, tmp_path)
    everything = "\n".join(train)
    assert val
    for text in val:
        assert text not in everything
        windows = range(0, max(1, len(text) - 200), 50)
        assert not [at for at in windows if text[at : at + 200] in everything]
    limit = preset.data.limit.characters or PLAYS.stat().st_size
    held_out = sum(map(len, val)) / min(limit, PLAYS.stat().st_size)
    assert held_out == pytest.approx(0.1, abs=0.03)
