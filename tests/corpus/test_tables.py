"""A single table: JSON lines, CSV, Parquet, intact and broken."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm_tui.config.data import FileData, Limit
from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import prepare
from slm_tui.corpus.split import text_of
from tests import extent
from tests.corpus.helpers import jsonl, source_error, stage, texts

pytestmark = [pytest.mark.usefixtures("hf_home"), pytest.mark.timeout(180)]
TEXTS = ["one", 'two, "quoted"\nin lines', "三つ 🙂", "four\ttabs"]


def table(path: Path) -> Path:
    """The texts in the layout given by the name."""
    import pandas

    frame = pandas.DataFrame({"id": range(len(TEXTS)), "text": TEXTS})
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".json":
        path.write_text(json.dumps([{"id": n, "text": text} for n, text in enumerate(TEXTS)]))
    elif path.suffix in (".csv", ".tsv"):
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    else:
        jsonl(path, [{"id": n, "text": text} for n, text in enumerate(TEXTS)])
    return path


@extent.sample(4)
@pytest.mark.parametrize(
    "name", ["x.jsonl", "x.ndjson", "x.json", "x.csv", "x.tsv", "x.parquet", "X.JSONL"]
)
def test_a_table_gives_one_document_per_row(name: str, tmp_path: Path) -> None:
    assert texts(FileData(path=str(table(tmp_path / name))), tmp_path) == TEXTS


@pytest.mark.parametrize("layout", ["jsonl", "csv", "parquet"])
def test_the_format_setting_takes_precedence_over_the_file_name(
    layout: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.data"
    table(tmp_path / f"x.{layout}").rename(path)
    data = FileData(path=str(path), format=layout)  # type: ignore[arg-type]
    assert texts(data, tmp_path) == TEXTS


def test_a_table_can_be_read_as_plain_text(tmp_path: Path) -> None:
    path = table(tmp_path / "x.jsonl")
    (read_texts,) = texts(FileData(path=str(path), format="text"), tmp_path)
    assert read_texts == path.read_text().strip()


def test_columns_of_a_table_can_be_named_and_joined(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"q": "a", "r": "b"}, {"q": None, "r": "d"}])
    data = FileData(path=str(path), text_column="q", second_column="r", column_separator="|")
    assert texts(data, tmp_path) == ["a|b", "d"]
    error = source_error(FileData(path=str(path), text_column="x"), tmp_path)
    assert "it has q, r" in str(error)


def test_a_limit_applies_to_a_table(tmp_path: Path) -> None:
    path = table(tmp_path / "x.parquet")
    assert texts(FileData(path=str(path), limit=Limit(documents=2)), tmp_path) == TEXTS[:2]
    assert texts(FileData(path=str(path), limit=Limit(fraction=0.5)), tmp_path) == TEXTS[:2]


def test_the_path_of_a_table_and_how_its_format_is_given_do_not_matter(
    tmp_path: Path, tiny: Callable[..., Preset]
) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"text": "some words " * 9}] * 9)
    settings: dict[str, Any] = {"kind": "file", "path": str(path)}
    one = prepare(tiny(data=settings))
    moved = tmp_path / "x.data"
    shutil.move(path, moved)
    assert prepare(tiny(data={**settings, "path": str(moved), "format": "jsonl"})).fingerprint == (
        one.fingerprint
    )
    assert one.manifest["parts"]["train"]["documents"] == 8


@extent.sample(7)
@pytest.mark.parametrize(
    ("name", "raw", "says"),
    [
        ("x.jsonl", b"", "has no text"),
        ("x.jsonl", b"\n\n", "has no text"),
        ("x.csv", b"", "has no text"),
        ("x.csv", b"text\n", "has no text"),
        ("x.jsonl", b'{"text": "a"}\n{"text": "b"\n', "line 2 of"),
        ("x.jsonl", b"plain words\n", "line 1 of"),
        ("x.jsonl", b'{"text": "caf\xe9"}\n', "is not UTF-8"),
        ("x.jsonl", b'["a", "b"]\n3\n', "x.jsonl"),
        ("x.csv", b'text,id\n"never closed,1\n', "x.csv"),
        ("x.csv", b"text\ncaf\xe9\n", "is not UTF-8"),
        ("x.parquet", b"", "x.parquet"),
        ("x.parquet", b"PAR1 and then nothing", "cannot be read as parquet"),
        ("x.json", b"[", "line 1 of"),
    ],
)
def test_a_broken_or_empty_table_is_reported_in_one_line(
    name: str, raw: bytes, says: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(raw)
    message = str(source_error(FileData(path=str(path)), tmp_path))
    assert says in message
    assert name in message
    assert "Traceback" not in message
    assert len(message) < 600


@pytest.mark.parametrize(("name", "row"), [("x.jsonl", b'{"text": "%s"}\n'), ("x.csv", b"%s\n")])
def test_invalid_bytes_of_a_table_are_replaced_on_request(
    name: str, row: bytes, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes((b"" if name == "x.jsonl" else b"text\n") + row % b"caf\xe9" + row % b"two")
    data = FileData(path=str(path), on_encoding_error="replace")
    assert texts(data, tmp_path) == ["caf\ufffd", "two"]


def test_an_error_far_into_a_table_is_reported_and_nothing_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"text": "fine"}\n' * 50_000 + b'{"text": \n')
    assert "line 50,001 of" in str(source_error(FileData(path=str(path)), tmp_path))


def test_rows_may_have_fields_that_the_first_ones_lack(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": f"row {n} " + "x" * 1000} for n in range(30_000)]
    rows += [{"text": "more", "source": "elsewhere", "score": 1.5}, {"score": 2}]
    path = jsonl(tmp_path / "x.jsonl", rows)
    staged = stage(FileData(path=str(path)), tmp_path)
    assert len(staged.parts["train"]) == 30_001
    assert staged.left_out.null == 1


def test_a_row_may_be_longer_than_the_read_size(tmp_path: Path) -> None:
    long = "漢字 words " * 1_500_000
    path = jsonl(tmp_path / "x.jsonl", [{"text": "short"}, {"text": long}, {"text": "end"}])
    spans = stage(FileData(path=str(path)), tmp_path).parts["train"]
    assert text_of(spans) == ["short", long, "end"]


def test_a_nul_character_in_json_is_a_character(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "c\\u0000d"}\n')
    assert texts(FileData(path=str(path)), tmp_path) == ["c\0d"]
