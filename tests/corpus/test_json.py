"""JSON rows in every common layout: lines, arrays, nested columns, chats."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config.data import FileData, HuggingFaceData
from slm_tui.corpus.progress import Meter
from slm_tui.corpus.sources import text_file
from slm_tui.corpus.sources.columns import ColumnSettings
from slm_tui.corpus.sources.contract import LeftOut
from slm_tui.corpus.sources.tables import File, FileTexts, ReadSettings
from slm_tui.errors import CorpusError
from tests import extent
from tests.corpus.helpers import jsonl, source_error, stage, texts

STORIES = ["one", 'two, "quoted"\nin lines', "三つ 🙂", "four\ttabs"]
ROWS = [{"id": number, "text": text} for number, text in enumerate(STORIES)]


def read(
    raw: str | bytes, column: str = "", second: str = "", *, replace: bool = False
) -> tuple[list[str], LeftOut]:
    """The texts of a JSON file, and what is reported about it."""
    content = raw.encode() if isinstance(raw, str) else raw
    left_out = LeftOut()
    file = File("x.jsonl", "jsonl", lambda: io.BytesIO(content), len(content))
    reading = ReadSettings(ColumnSettings(column, second), replace=replace)
    return list(FileTexts([file], reading, Meter()).texts(left_out)), left_out


def error_of(raw: str | bytes, column: str = "") -> CorpusError:
    """The error for a file that cannot be parsed."""
    with pytest.raises(CorpusError) as caught:
        read(raw, column)
    assert caught.value.remedy
    return caught.value


SHAPES = {
    "lines": "".join(json.dumps(row) + "\n" for row in ROWS),
    "lines without an end": "\n".join(json.dumps(row) for row in ROWS),
    "lines with empty ones": "\n\n" + "\r\n\n".join(json.dumps(row) for row in ROWS),
    "an array": json.dumps(ROWS),
    "an array over lines": json.dumps(ROWS, indent=2, ensure_ascii=False),
    "objects over lines": "\n".join(json.dumps(row, indent=2) for row in ROWS),
    "an object with rows": json.dumps({"version": "1", "data": ROWS}),
    "the same over lines": json.dumps({"data": ROWS, "n": 4}, indent=1),
    "columns": json.dumps({"id": [0, 1, 2, 3], "text": STORIES}),
    "columns of numbered cells": json.dumps(
        {"id": {str(n): n for n in range(4)}, "text": {str(n): t for n, t in enumerate(STORIES)}}
    ),
    "an array of texts": json.dumps(STORIES),
    "a text a line": "".join(json.dumps(story) + "\n" for story in STORIES),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_json_layout_gives_the_same_texts(shape: str) -> None:
    texts, left_out = read(SHAPES[shape])
    assert texts == STORIES
    notes = {
        "an object with rows": ["rows are read from data"],
        "the same over lines": ["rows are read from data"],
        "columns": ["the file is read column by column"],
        "columns of numbered cells": ["the file is read column by column"],
    }
    assert left_out.notes == notes.get(shape, [])


@settings(max_examples=200, deadline=None)
@given(
    stories=st.lists(st.text(max_size=30), min_size=1, max_size=8),
    shape=st.sampled_from(["lines", "array", "indented"]),
    chunk=st.integers(1, 40),
)
def test_rows_do_not_depend_on_the_read_size(stories: list[str], shape: str, chunk: int) -> None:
    rows = [{"text": story, "more": {"n": [1, 2]}} for story in stories]
    if shape == "lines":
        raw = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        raw = json.dumps(rows, indent=2 if shape == "indented" else None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_file, "CHUNK", chunk)
        patch.setattr(text_file.file_kinds, "HEAD", chunk)
        try:
            texts, _ = read(raw)
        except CorpusError:
            # NUL bytes are not text unless they are escaped.
            assert "\0" in raw
            return
    # Line ends within a file become one character; those in escapes are unchanged.
    assert [one.replace("\r\n", "\n").replace("\r", "\n") for one in texts] == [
        one.replace("\r\n", "\n").replace("\r", "\n") for one in stories
    ]


# Errors.


@pytest.mark.parametrize(
    ("raw", "line", "why"),
    [
        ('{"text": "a"}\n{"text": "b"\n', 2, "expecting ',' delimiter at column 13"),
        ('{"text": "a"}\n\n{"text": }\n{"text": "c"}\n', 3, "expecting value at column 10"),
        ('{"text": "a"}\n[1]\n', 2, "it is a list, not an object with columns"),
        ('{"text": "a"}\n3\n', 2, "it is a number, not an object"),
        ('{"text": "a"}\nnull\n', 2, "it is a null, not an object"),
        ("plain words\n", 1, "expecting value at column 1"),
        ('[{"text": "a"},\n {"text": "b"\n', 2, "expecting ',' delimiter"),
        ('[{"text": "a"},\n {"text": "b"}\n', 3, "its array is not closed"),
        ('[{"text": "a"}]\n[{"text": "b"}]', 2, "more text after the end of the array"),
        ('{\n "text": "a"\n}\n{\n "text": nope\n}\n', 5, "expecting value"),
        ('{"text": "a"}\n' + "[" * 100_000, 2, "it is not JSON"),
        ('{"text": "a"}\n{"n": ' + "9" * 5000 + "}\n", 2, "it is not JSON"),
    ],
)
def test_invalid_json_is_an_error_with_its_line(raw: str, line: int, why: str) -> None:
    error = error_of(raw)
    assert error.what == f"line {line} of x.jsonl cannot be read"
    assert why in error.why


def test_a_value_that_is_not_text_is_an_error_with_its_line() -> None:
    error = error_of('{"text": "a"}\n{"text": 3}\n')
    assert error.what == "the column text is not text"
    assert error.why == "line 2 of x.jsonl has a value of type number"


def test_half_a_surrogate_pair_is_an_error_or_replaced() -> None:
    raw = '{"text": "a"}\n{"text": "b \\ud83d c", "x": "\\ude00"}\n{"text": "\\ud83d\\ude42"}\n'
    error = error_of(raw)
    assert error.what == "line 2 of x.jsonl cannot be read"
    assert "half of a surrogate pair" in error.why
    assert "replace" in error.remedy
    texts, left_out = read(raw, replace=True)
    assert texts == ["a", "b \ufffd c", "🙂"]
    assert left_out.replaced == 1
    # Columns that are not read may hold anything.
    assert read('{"text": "a", "x": "\\ude00"}')[0] == ["a"]


# Differing and nested columns.


def test_rows_may_have_different_columns_from_the_first() -> None:
    rows = [{"text": "a"}, {"content": "b", "n": 1}, {"n": 2}, {"n": 3, "text": "d"}]
    texts, left_out = read("".join(json.dumps(row) + "\n" for row in rows))
    assert texts == ["a", "b", "d"]
    assert left_out.null == 1
    assert left_out.notes == ["rows without text are read from content instead"]


@extent.sample(1)
@pytest.mark.parametrize("layout", ["jsonl", "parquet"])
def test_shards_may_have_different_columns(layout: str, tmp_path: Path, hf_home: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    shards: list[list[dict[str, Any]]] = [
        [{"text": "one", "n": 1}],
        [{"id": "x", "story": "two", "n": "not a number"}],
        [{"messages": [{"role": "user", "content": "Hi"}]}],
    ]
    folder = tmp_path / "dataset"
    folder.mkdir()
    for number, rows in enumerate(shards):
        path = folder / f"train-{number}.{layout}"
        if layout == "jsonl":
            jsonl(path, rows)
        else:
            parquet.write_table(pa.Table.from_pylist(rows), path)
    assert texts(HuggingFaceData(dataset=str(folder)), tmp_path) == ["one", "two", "User: Hi"]


@extent.sample(1)
@pytest.mark.parametrize("layout", ["jsonl", "parquet", "saved"])
def test_a_nested_column_is_detected_or_can_be_named(
    layout: str, tmp_path: Path, hf_home: Path
) -> None:
    import datasets

    rows = [
        {"id": 1, "data": {"text": "one", "lang": "en"}, "meta": {"from": {"title": "T"}}},
        {"id": 2, "data": {"text": "two", "lang": "de"}, "meta": {"from": {"title": "U"}}},
    ]
    path = tmp_path / f"x.{layout}"
    if layout == "jsonl":
        jsonl(path, rows)
    elif layout == "parquet":
        datasets.Dataset.from_list(rows).to_parquet(path)
    else:
        datasets.Dataset.from_list(rows).save_to_disk(path)
    staged = stage(HuggingFaceData(dataset=str(path)), tmp_path)
    assert list(staged.parts["train"].texts()) == ["one", "two"]
    assert staged.left_out.notes == ["the text is read from data.text"]
    named = HuggingFaceData(dataset=str(path), text_column="meta.from.title")
    assert texts(named, tmp_path) == ["T", "U"]
    wrong = source_error(HuggingFaceData(dataset=str(path), text_column="data.words"), tmp_path)
    assert "has no column 'data.words'" in wrong.what
    assert "data.text" in wrong.why


# Chats.

CHATS: dict[str, list[dict[str, Any]]] = {
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}],
    "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}],
    "dialog": [{"speaker": "user", "text": "Hi"}, {"speaker": "assistant", "text": "Hello!"}],
    "parts": [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image"}]},
        {"role": "tool", "content": None},
        {"role": "assistant", "content": "Hello!"},
    ],
}


@extent.sample(3)
@pytest.mark.parametrize("layout", ["jsonl", "parquet", "saved"])
@pytest.mark.parametrize("name", ["messages", "conversations", "dialog"])
def test_a_chat_becomes_one_line_per_turn(
    name: str, layout: str, tmp_path: Path, hf_home: Path
) -> None:
    import datasets

    rows = [{"id": "a", name: CHATS[name], "score": 0.5}] * 2
    path = tmp_path / f"x.{layout}"
    if layout == "jsonl":
        jsonl(path, rows)
    elif layout == "parquet":
        datasets.Dataset.from_list(rows).to_parquet(path)
    else:
        datasets.Dataset.from_list(rows).save_to_disk(path)
    staged = stage(HuggingFaceData(dataset=str(path)), tmp_path)
    assert list(staged.parts["train"].texts()) == ["User: Hi\nAssistant: Hello!"] * 2
    assert staged.left_out.notes == [f"each row of {name} becomes one line per turn"]


def test_a_turn_may_have_several_parts_or_none() -> None:
    assert read(json.dumps({"id": 1, "parts": CHATS["parts"]}))[0] == [
        "User: Hi\nAssistant: Hello!"
    ]


def test_turns_may_lack_a_speaker() -> None:
    raw = "".join(json.dumps({"id": n, "dialog": ["Hi", "Hello!"]}) + "\n" for n in range(2))
    assert read(raw)[0] == ["Hi\nHello!"] * 2


def test_a_text_column_takes_precedence_over_a_chat() -> None:
    assert read(json.dumps({"text": "a", "messages": CHATS["messages"]}))[0] == ["a"]
    texts, _ = read(json.dumps({"text": "a", "messages": CHATS["messages"]}), "messages")
    assert texts == ["User: Hi\nAssistant: Hello!"]


def test_a_file_of_rows_is_read_through_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"stories": [{"title": "T", "body": "one"}]}), "utf-16")
    staged = stage(FileData(path=str(path)), tmp_path)
    assert list(staged.parts["train"].texts()) == ["one"]
    assert staged.left_out.notes == [
        "rows are read from stories",
        "read as UTF-16, by its byte order mark",
    ]
