"""Local datasets: the same documents from every layout, from the requested columns."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm_tui.config.data import HuggingFaceData, Limit
from slm_tui.config.preset import Preset
from slm_tui.corpus import sources
from slm_tui.corpus.prepare import prepare
from slm_tui.corpus.sources import reader
from slm_tui.corpus.split import text_of
from slm_tui.errors import CorpusError
from tests import extent
from tests.corpus.helpers import jsonl, source_error, stage, texts

Make = Callable[..., Preset]
pytestmark = [pytest.mark.usefixtures("hf_home"), pytest.mark.timeout(180)]

ROWS = {
    "train": ["one", 'two, "quoted"\nin lines', "\n三つ 🙂\n", "  four  ", *"vwxyz"],
    "validation": ["first held out", "second held out"],
    "test": ["the only test"],
}
DOCUMENTS = {
    "train": ["one", 'two, "quoted"\nin lines', "三つ 🙂", "  four  ", *"vwxyz"],
    "val": ROWS["validation"],
    "test": ROWS["test"],
}


def rows_of(split: str) -> list[dict[str, Any]]:
    return [{"id": n, "text": text, "label": "odd"} for n, text in enumerate(ROWS[split])]


@pytest.fixture(scope="session")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same rows in every supported layout; some have only one split."""
    import datasets

    root = tmp_path_factory.mktemp("layouts")
    splits = {split: datasets.Dataset.from_list(rows_of(split)) for split in ROWS}
    splits["train"].save_to_disk(root / "saved")
    datasets.DatasetDict(splits).save_to_disk(root / "saved-splits")
    for name in ("parquet", "jsonl", "csv"):
        (root / name / "data").mkdir(parents=True)
    for split, rows in splits.items():
        rows.to_parquet(root / "parquet" / "data" / f"{split}-00000-of-00001.parquet")
        jsonl(root / "jsonl" / "data" / f"{split}.jsonl", rows_of(split))
        with (root / "csv" / "data" / f"{split}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["id", "text", "label"])
            writer.writeheader()
            writer.writerows(rows_of(split))
    paths_by_name = {path.name: path for path in root.iterdir()}
    for name in ("parquet", "jsonl", "csv"):
        paths_by_name[f"{name}-file"] = next((root / name / "data").glob("train*"))
    return paths_by_name


NAMED = {"validation_split": "validation", "test_split": "test"}
SPLITS = ("saved-splits", "parquet", "jsonl", "csv")
LAYOUTS = (*SPLITS, "saved", "parquet-file", "jsonl-file", "csv-file")


@extent.sample(4)
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_documents(
    layouts: dict[str, Path], layout: str, streaming: bool, tmp_path: Path
) -> None:
    named = NAMED if layout in SPLITS else {}
    data = HuggingFaceData(dataset=str(layouts[layout]), streaming=streaming, **named)  # type: ignore[arg-type]
    staged = stage(data, tmp_path)
    parts = {part: text_of(spans) for part, spans in staged.parts.items()}
    assert parts == (DOCUMENTS if named else {"train": DOCUMENTS["train"]})
    assert staged.left_out.to_dict() == {}


def saved(layouts: dict[str, Path], **settings: Any) -> HuggingFaceData:
    return HuggingFaceData(dataset=str(layouts["saved-splits"]), **settings)


def test_splits_that_are_not_named_are_taken_from_training(
    layouts: dict[str, Path], tiny: Make
) -> None:
    data = {"kind": "huggingface", "dataset": str(layouts["saved-splits"]), "test_split": "test"}
    data |= {"validation_split": "none", "split": {"validation": 0.3, "test": 0.2}}
    corpus = prepare(tiny(data=data))
    parts = {
        part: corpus.tokenizer.decode_bytes(getattr(corpus, part))
        for part in ("train", "val", "test")
    }
    assert parts["test"] == b"the only test"
    assert (parts["train"] + parts["val"]).decode() == "".join(DOCUMENTS["train"])
    assert parts["val"]


def test_named_splits_stay_complete_whatever_the_ratios(
    layouts: dict[str, Path], tiny: Make
) -> None:
    data = {"kind": "huggingface", "dataset": str(layouts["saved-splits"]), **NAMED}
    corpus = prepare(tiny(data={**data, "split": {"validation": 0.4, "test": 0.4}}))
    counts = {part: one["documents"] for part, one in corpus.manifest["parts"].items()}
    assert counts == {"train": 9, "val": 2, "test": 1}


def test_any_split_can_be_the_training_split(layouts: dict[str, Path], tmp_path: Path) -> None:
    assert texts(saved(layouts, train_split="test"), tmp_path) == ROWS["test"]


@extent.sample(2)
@pytest.mark.parametrize("setting", ["train_split", "validation_split", "test_split"])
@pytest.mark.parametrize("layout", ["saved-splits", "parquet"])
def test_a_missing_split_is_an_error_that_lists_the_existing_ones(
    layouts: dict[str, Path], layout: str, setting: str, tmp_path: Path
) -> None:
    data = HuggingFaceData(dataset=str(layouts[layout]), **{setting: "dev"})  # type: ignore[arg-type]
    error = source_error(data, tmp_path)
    assert "has no split 'dev'" in error.what
    assert all(split in error.why for split in ROWS)
    assert setting in error.remedy


# Columns.


def of_rows(rows: list[Any], tmp_path: Path, **settings: Any) -> HuggingFaceData:
    path = jsonl(tmp_path / "rows.jsonl", rows)
    return HuggingFaceData(dataset=str(path), **settings)


def test_a_named_column_is_read(layouts: dict[str, Path], tmp_path: Path) -> None:
    assert texts(saved(layouts, text_column="label"), tmp_path) == ["odd"] * 9


def test_two_columns_are_joined(tmp_path: Path) -> None:
    rows = [{"a": "x", "b": "y", "c": "z"}, {"a": "1", "b": None, "c": "3"}]
    data = of_rows(rows, tmp_path, text_column="c", second_column="b")
    assert texts(data, tmp_path) == ["z\n\ny", "3"]
    data = of_rows(rows, tmp_path, text_column="b", second_column="a", column_separator=" => ")
    assert texts(data, tmp_path) == ["y => x", "1"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"id": "x", "story": "s", "title": "t"}, "s"),
        ({"content": "c", "text": "t"}, "t"),
        ({"instruction": "do", "output": "done", "tag": "no"}, "do\n\ndone"),
        ({"answer": "42", "question": "what"}, "what\n\n42"),
        ({"number": 3, "odd name": "only strings"}, "only strings"),
    ],
)
def test_a_column_is_detected_by_its_usual_name(
    row: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    assert texts(of_rows([row], tmp_path), tmp_path) == [expected]


def test_the_error_lists_the_columns_if_none_looks_like_text(tmp_path: Path) -> None:
    error = source_error(of_rows([{"one": "a", "two": "b", "n": 3}], tmp_path), tmp_path)
    assert "has no text column" in error.what
    assert "one, two, n" in error.why
    assert "data.text_column" in error.remedy


def test_a_missing_column_is_an_error_that_lists_the_existing_ones(
    layouts: dict[str, Path], tmp_path: Path
) -> None:
    error = source_error(saved(layouts, text_column="txt"), tmp_path)
    assert "has no column 'txt'" in error.what
    assert "id, text, label" in error.why
    error = source_error(saved(layouts, second_column="second"), tmp_path)
    assert "has no column 'second'" in error.what


@pytest.mark.parametrize("value", [3, 2.5, ["a"], {"b": "c"}, True])
def test_a_column_that_is_not_text_is_an_error_that_names_it(value: object, tmp_path: Path) -> None:
    error = source_error(of_rows([{"text": value}], tmp_path), tmp_path)
    assert "the column text is not text" in str(error)


def test_rows_without_text_are_counted(tmp_path: Path, tiny: Make) -> None:
    rows = [{"text": text} for text in ("one", None, "two", None, "", " \n", "three", "four")]
    data = of_rows(rows, tmp_path)
    staged = stage(data, tmp_path)
    assert text_of(staged.parts["train"]) == ["one", "two", "three", "four"]
    assert (staged.left_out.null, staged.left_out.blank) == (2, 1)
    corpus = prepare(tiny(data={**data.model_dump(exclude_none=True), "limit": {}}))
    assert corpus.manifest["left_out"] == {"null": 2, "blank": 1}


def test_a_dataset_with_only_empty_rows_has_no_text(tmp_path: Path) -> None:
    error = source_error(of_rows([{"text": None}, {"text": " "}], tmp_path), tmp_path)
    assert "has no text" in str(error)


def test_too_short_and_too_long_documents_are_skipped_and_counted(tmp_path: Path) -> None:
    rows = [{"text": "x" * length} for length in (1, 5, 6, 10, 11, 99)]
    staged = stage(of_rows(rows, tmp_path, minimum_length=6, maximum_length=10), tmp_path)
    assert [len(text) for text in text_of(staged.parts["train"])] == [6, 10]
    assert (staged.left_out.short, staged.left_out.long) == (2, 2)


@extent.sample(3)
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("limit", "count"),
    [
        ({"documents": 3}, 3),
        ({"fraction": 0.5}, 4),
        ({"fraction": 0.01}, 1),
        ({"documents": 99}, 9),
    ],
)
def test_a_limit_keeps_the_first_documents(
    layouts: dict[str, Path], limit: dict[str, Any], count: int, streaming: bool, tmp_path: Path
) -> None:
    data = saved(layouts, limit=Limit(**limit), streaming=streaming)
    assert texts(data, tmp_path) == DOCUMENTS["train"][:count]


def test_a_limit_in_characters_truncates_the_last_document(
    layouts: dict[str, Path], tmp_path: Path
) -> None:
    assert texts(saved(layouts, limit=Limit(characters=6)), tmp_path) == ["one", "two"]


def test_a_text_that_looks_like_a_missing_value_is_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text\nNA\nsomething\nnull\nNone\nnan\n")
    read_texts = texts(HuggingFaceData(dataset=str(path)), tmp_path)
    assert read_texts == ["NA", "something", "null", "None", "nan"]


# What determines the corpus.


def test_a_dataset_is_identified_by_its_files_not_its_path(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for path in (one, two):
        path.mkdir()
        jsonl(path / "train.jsonl", [{"text": "a"}])
    fingerprint = sources.fingerprint(HuggingFaceData(dataset=str(one)))
    assert sources.fingerprint(HuggingFaceData(dataset=str(two))) == fingerprint
    streamed = HuggingFaceData(dataset=str(two), streaming=True, cache_dir=str(tmp_path))
    assert sources.fingerprint(streamed) == fingerprint
    jsonl(two / "train.jsonl", [{"text": "b"}])
    assert sources.fingerprint(HuggingFaceData(dataset=str(two))) != fingerprint


@pytest.mark.parametrize("dataset", ["./gone", "/nowhere/at/all", "~/gone-too", "a/b/c", "..\\x"])
def test_a_missing_path_is_not_looked_up_on_the_hub(dataset: str, tiny: Make) -> None:
    with pytest.raises(CorpusError, match="no file or directory has that name; set data.dataset"):
        prepare(tiny(data={"kind": "huggingface", "dataset": dataset}))


def test_an_empty_directory_is_not_a_dataset(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    error = source_error(HuggingFaceData(dataset=str(tmp_path / "empty")), tmp_path)
    assert str(tmp_path / "empty") in str(error)
    assert "functools" not in str(error)


# Known datasets.


def test_a_known_dataset_fills_in_unset_fields() -> None:
    wiki = HuggingFaceData(dataset="WikiText-2").completed()
    assert (wiki.dataset, wiki.config) == ("Salesforce/wikitext", "wikitext-2-raw-v1")
    assert (wiki.validation_split, wiki.test_split) == ("validation", "test")
    assert wiki.minimum_length == 20
    stories = HuggingFaceData(dataset="roneneldan/TinyStories").completed()
    assert (stories.validation_split, stories.test_split) == ("validation", "")
    assert stories.text_column == "text"


def test_a_known_dataset_keeps_explicit_settings() -> None:
    data = HuggingFaceData(
        dataset="wikitext-103", validation_split="none", test_split="dev", minimum_length=3
    )
    wiki = data.completed()
    assert (wiki.config, wiki.validation_split) == ("wikitext-103-raw-v1", "")
    assert (wiki.test_split, wiki.minimum_length) == ("dev", 3)
    assert data.own_splits() == {"test"}
    other = HuggingFaceData(dataset="Salesforce/wikitext", config="wikitext-2-v1")
    assert other.completed() == other


WIKI = [
    *("", " = Valkyria = \n", "", " A game . \n", " = = Plot = = \n", " = = = Deep = = = \n"),
    *(" Some = thing \n", "", " = Tower = Bridge = \n", " In London . \n", " = not a title \n"),
]


def test_lines_are_grouped_into_articles_by_title() -> None:
    from slm_tui.config.known_datasets import READY_MADE

    result = list(reader._documents(iter(WIKI), READY_MADE["wikitext-2"].heading))
    assert [text.strip("\n").split("\n")[0] for text in result] == [
        "",
        " = Valkyria = ",
        " = Tower = Bridge = ",
    ]
    assert " = = Plot = = \n = = = Deep = = = \n" in result[1]
    assert "".join(result).replace("\n", "") == "".join(WIKI).replace("\n", "")
    assert list(reader._documents(iter(WIKI), "")) == WIKI
