"""Directories whose files are named after splits, and those where names mean something else."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from slm_tui import paths
from slm_tui.config.data import DirectoryData, HuggingFaceData
from slm_tui.config.estimate import estimate
from slm_tui.config.preset import Preset
from slm_tui.config.sources.split_files import sorted_by_split, split_of
from slm_tui.corpus import prepare as preparing
from slm_tui.corpus import sources
from slm_tui.corpus.prepare import Corpus, prepare
from slm_tui.live.session import Session
from slm_tui.runs import store
from tests.cli.conftest import Cli, cli
from tests.corpus.helpers import jsonl, stage

Make = Callable[..., Preset]
__all__ = ["cli"]
TRAIN = "".join(f"The cat saw {n} birds and {n * 7 % 13} mice.\n" for n in range(80))
VAL = "".join(f"A dog found {n} bones under {n * 5 % 11} trees.\n" for n in range(12))
TEST = "".join(f"My zebra ate {n} figs in {n * 3 % 7} gardens.\n" for n in range(12))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "dataset"
    path.mkdir()
    return path


def put(folder: Path, **files: str) -> Path:
    """Write files; `__` stands for `/`, and `_` before the suffix for `.`."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def texts_of(corpus: Corpus) -> dict[str, str]:
    parts = {part: getattr(corpus, part) for part in ("train", "val", "test")}
    decode = corpus.tokenizer.decode_bytes
    return {part: decode(ids).decode() for part, ids in parts.items() if len(ids)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train.txt", "train"),
        ("VAL.txt", "val"),
        ("valid.txt", "val"),
        ("validation.jsonl", "val"),
        ("dev.txt.gz", "val"),
        ("test.csv", "test"),
        ("TinyStories-train.txt", "train"),
        ("TinyStoriesV2-GPT4-valid.txt", "val"),
        ("wiki.test.raw", "test"),
        ("train-00000-of-00002.parquet", "train"),
        ("train_2.txt", "train"),
        ("valid/000.txt", "val"),
        ("en/test/a/b.txt", "test"),
        ("test/train.txt", "train"),
        ("train_test.txt", ""),
        ("the-last-train-home.txt", ""),
        ("testament.txt", ""),
        ("my-tests/a.txt", ""),
        ("00000.txt", ""),
        (".txt", ""),
    ],
)
def test_the_split_of_a_name(name: str, expected: str) -> None:
    assert split_of(name) == expected


def test_only_a_training_text_with_a_held_out_one_makes_splits() -> None:
    def has(*names: str) -> bool:
        return sorted_by_split(names).has_splits

    assert has("train.txt", "val.txt")
    assert has("train.txt", "test.txt", "README.md", "LICENSE.txt")
    assert not has("train.txt", "README.md")
    assert not has("val.txt", "test.txt")
    assert not has("train.txt", "test.txt", "chapter-1.txt")


@pytest.mark.parametrize("held_out", ["val_txt", "valid_txt", "dev_md", "Mine-validation_txt"])
def test_each_split_is_read_from_its_files(tiny: Make, folder: Path, held_out: str) -> None:
    put(folder, train_txt=TRAIN, **{held_out: VAL}, test_txt=TEST, README_md="About. " * 99)
    preset = tiny(
        data={"kind": "directory", "path": str(folder), "split": {"validation": 0.5}},
        tokenizer={"kind": "bpe", "vocab_size": 300},
    )
    corpus = prepare(preset)
    assert texts_of(corpus) == {"train": TRAIN.strip(), "val": VAL.strip(), "test": TEST.strip()}
    assert corpus.own_splits == {"val", "test"}
    # The tokenizer learned from the training files only: no token has a word of the others.
    tokenizer = corpus.tokenizer
    learned = b" ".join(map(tokenizer.token_bytes, range(tokenizer.n_vocab)))
    assert b"cat" in learned
    assert b"dog" not in learned
    assert b"zebra" not in learned
    (note,) = corpus.notes
    name = held_out.replace("_", ".")
    assert note == (
        f"split by file name: training train.txt, validation {name}, test test.txt; "
        "not read: README.md"
    )
    assert preset.data.split_note() == note
    assert preset.data.held_out() == 0


def test_duplicates_of_training_documents_are_removed_from_the_others(
    tiny: Make, folder: Path
) -> None:
    put(folder, train_txt=f"same<|endoftext|>{TRAIN}", val_txt=f"{VAL}<|endoftext|>same")
    corpus = prepare(tiny(data={"kind": "directory", "path": str(folder)}))
    assert corpus.manifest["duplicates_removed"] == 1
    assert "same" not in texts_of(corpus)["val"]


def test_a_missing_split_is_taken_from_the_training_files(tiny: Make, folder: Path) -> None:
    put(folder, train_txt=TRAIN, test_txt=TEST)
    corpus = prepare(tiny(data={"kind": "directory", "path": str(folder)}))
    shown = texts_of(corpus)
    assert shown["test"] == TEST.strip()
    assert (shown["train"] + "\n" + shown["val"]) == TRAIN.strip()
    assert corpus.own_splits == {"test"}


def test_an_empty_validation_file_is_no_split(tiny: Make, folder: Path) -> None:
    put(folder, train_txt=TRAIN, val_txt=" \n")
    corpus = prepare(tiny(data={"kind": "directory", "path": str(folder)}))
    assert len(corpus.val)
    assert any("val.txt has no text" in note for note in corpus.notes)


def test_other_texts_prevent_it_and_that_is_said(tiny: Make, folder: Path) -> None:
    put(folder, train_txt=TRAIN, test_txt=TEST, letters_txt=VAL)
    corpus = prepare(tiny(data={"kind": "directory", "path": str(folder)}))
    assert corpus.own_splits == set()
    assert "letters.txt belongs to no split" in corpus.notes[0]
    everything = "".join(texts_of(corpus).values())
    assert "zebra" in everything
    assert "dog" in everything


def test_it_can_be_turned_off(tiny: Make, folder: Path) -> None:
    put(folder, train_txt=TRAIN, val_txt=VAL)
    data = {"kind": "directory", "path": str(folder)}
    ours, plain = (prepare(tiny(data={**data, **more})) for more in ({}, {"split_files": "none"}))
    assert ours.fingerprint != plain.fingerprint
    assert "cat" in texts_of(plain)["train"]
    assert "dog" in "".join(texts_of(plain).values())
    assert not plain.notes
    assert plain.own_splits == set()


def test_limits_apply_to_each_split(tiny: Make, folder: Path) -> None:
    put(folder, train_txt=TRAIN, val_txt=VAL)
    data = {"kind": "directory", "path": str(folder), "limit": {"tokens": 200}}
    preset = tiny(data=data)
    corpus = prepare(preset)
    assert (len(corpus.train), len(corpus.val)) == (200, 200)
    assert estimate(preset).train_tokens == 200


def test_other_directories_keep_their_fingerprints(folder: Path) -> None:
    put(folder, a_txt=TRAIN, test_txt=TEST)
    data = DirectoryData(path=str(folder))
    now, before = (sources.fingerprint(data, reading=one) for one in (3, 2))
    assert now == before
    (folder / "a.txt").rename(folder / "train.txt")
    assert sources.fingerprint(data, reading=3) != sources.fingerprint(data, reading=2)
    assert list(stage(data, folder.parent).parts) == ["train", "test"]


def rows(folder: Path) -> None:
    for name, text in (("train", TRAIN), ("valid", VAL), ("test", TEST)):
        jsonl(folder / f"{name}.jsonl", [{"text": line} for line in text.splitlines()])


@pytest.mark.usefixtures("hf_home")
def test_files_of_rows(tiny: Make, folder: Path) -> None:
    rows(folder)
    preset = tiny(data={"kind": "huggingface", "dataset": str(folder)})
    corpus = prepare(preset)
    counts = {part: one["documents"] for part, one in corpus.manifest["parts"].items()}
    assert counts == {"train": 80, "val": 12, "test": 12}
    assert corpus.own_splits == {"val", "test"} == preset.data.own_splits()
    assert corpus.notes == [
        "splits of the dataset: training train, validation validation, test test"
    ]
    named = HuggingFaceData(dataset=str(folder), validation_split="none", test_split="none")
    assert list(stage(named, folder.parent).parts) == ["train"]


def evaluated(cli: Cli, *words: str) -> dict[str, Any]:
    code, out, err = cli("evaluate", *words, "--no-generations", "--json")
    assert code == 0, err
    return dict(json.loads(out))


def test_a_run_trains_and_is_evaluated_on_its_own_files(
    cli: Cli, tiny: Make, folder: Path, tmp_path: Path
) -> None:
    put(folder, train_txt=TRAIN, val_txt=VAL, test_txt=TEST)
    preset = tiny(data={"kind": "directory", "path": str(folder)}, training__max_steps=4)
    (tmp_path / "it.toml").write_text(preset.to_toml())
    code, out, err = cli("train", str(tmp_path / "it.toml"), "--name", "it")
    assert code == 0, err
    line = "text: split by file name: training train.txt, validation val.txt, test test.txt"
    assert out.count(line) == 1
    assert out.index(line) < out.index("training tokens")
    facts = store.find("it").info().facts
    assert facts["text_notes"] == line.removeprefix("text: ")
    test = evaluated(cli, "it", "--split", "test")
    assert test["models"][0]["num_bytes"] == len(TEST.strip().encode())
    # The same text by its location: the split that was asked for.
    for split, text in (("test", TEST), ("validation", VAL)):
        again = evaluated(cli, "it", "--text", str(folder), "--split", split)
        assert again["models"][0]["num_bytes"] == len(text.strip().encode())


def test_an_older_run_keeps_its_split(
    cli: Cli, tiny: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(folder, train_txt=TRAIN, val_txt=VAL)
    preset = tiny(data={"kind": "directory", "path": str(folder)}, training__max_steps=4)
    with monkeypatch.context() as patch:
        patch.setattr(preparing, "prepare", partial(preparing.prepare, reading=2))
        session = Session.start(preset, "old")
        assert session.wait(60)
    before = str(store.find("old").info().facts["corpus"])
    first = evaluated(cli, "old")
    shutil.rmtree(paths.corpora_dir())
    assert cli("train", "--resume", "old", "--steps", "2")[0] == 0
    assert store.find("old").info().facts["corpus"] == before
    shutil.rmtree(paths.corpora_dir())
    again = evaluated(cli, "old@4")
    assert again["models"][0]["num_bytes"] == first["models"][0]["num_bytes"]
    assert again["text"] == first["text"]
