"""CSV as people and programs write it: read completely, or an error with the line."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config.data import FileData, HuggingFaceData
from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import prepare
from slm_tui.corpus.progress import Meter
from slm_tui.corpus.sources.columns import ColumnSettings
from slm_tui.corpus.sources.contract import LeftOut
from slm_tui.corpus.sources.csv_layout import LayoutSettings
from slm_tui.corpus.sources.tables import File, FileTexts, ReadSettings
from slm_tui.errors import CorpusError
from tests import extent
from tests.corpus.helpers import source_error, stage, texts

Make = Callable[..., Preset]
STORIES = [
    "Once upon a time there was a fox, who lived by the river.",
    "Mara lost her keys; Otto found them.",
    'She said "hello" and then, "goodbye".',
    "Nothing odd here at all in this one",
    "The last | of the stories, with 3 commas, and a bar.",
]


def read(
    raw: str, name: str = "x.csv", column: str = "", second: str = "", **layout: str
) -> tuple[list[str], LeftOut]:
    """The texts of a CSV file, and what is reported about it."""
    left_out = LeftOut()
    file = File(name, "csv", lambda: io.BytesIO(raw.encode()), len(raw))
    columns = ColumnSettings(column, second)
    reading = ReadSettings(columns, LayoutSettings(columns=tuple(columns.named), **layout))
    return list(FileTexts([file], reading, Meter()).texts(left_out)), left_out


def error_of(raw: str, **layout: str) -> CorpusError:
    """The error for a file that cannot be parsed."""
    with pytest.raises(CorpusError) as caught:
        read(raw, **layout)
    assert caught.value.remedy
    return caught.value


def written(rows: list[list[str]], **how: Any) -> str:
    file = io.StringIO()
    csv.writer(file, **how).writerows(rows)
    return file.getvalue()


# What programs write.


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_any_delimiter_and_quoting_gives_the_same_texts(
    delimiter: str, quoting: int, end: str
) -> None:
    rows = [["id", "text"], *([str(n), text] for n, text in enumerate(STORIES))]
    texts, left_out = read(written(rows, delimiter=delimiter, quoting=quoting, lineterminator=end))
    assert texts == STORIES
    between = {";": "a semicolon", "\t": "a tab", "|": "the character |"}
    notes = [f"cells are separated by {between[delimiter]}"] if delimiter != "," else []
    assert left_out.notes == notes


def test_quotes_may_be_escaped_with_a_backslash() -> None:
    rows = [["id", "text"], *([str(n), text] for n, text in enumerate(STORIES))]
    raw = written(rows, escapechar="\\", doublequote=False, quoting=csv.QUOTE_ALL)
    texts, left_out = read(raw)
    assert texts == STORIES
    assert left_out.notes == ["quotes within cells are escaped with a backslash"]


def test_quotes_may_be_literal_as_in_many_tab_separated_files() -> None:
    raw = 'id\ttext\n1\t"Hello" she said.\n2\t"Twice," he said, "twice".\n3\tPlain.\n'
    texts, left_out = read(raw, "x.tsv")
    assert texts == ['"Hello" she said.', '"Twice," he said, "twice".', "Plain."]
    assert left_out.notes == ["quotes are read as part of the text"]


def test_spaces_may_precede_a_quote() -> None:
    texts, _ = read('id, text, label\n1, "one, two", a\n2, "three, four, five", b\n3, six, c\n')
    assert texts == ["one, two", "three, four, five", "six"]


def test_a_cell_may_contain_line_ends_quotes_and_delimiters() -> None:
    rows = [["text", "n"], ['He said:\n"Go, now!"\n\nAnd so,', "1"], ["two", "2"]]
    assert read(written(rows))[0] == [rows[1][0], "two"]


def test_excels_sep_line_sets_the_delimiter() -> None:
    texts, _ = read("sep=;\nid;text\n1;one, two\n2;three\n")
    assert texts == ["one, two", "three"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_sheet_saved_as_unicode_text_is_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("id\ttext\r\n1\tÜber, uns\r\n2\tzwei\r\n".encode(encoding))
    assert texts(FileData(path=str(path)), tmp_path) == ["Über, uns", "zwei"]


def test_a_table_written_by_r_has_an_unnamed_first_column() -> None:
    texts, left_out = read('"text","n"\n"1","one, two",5\n"2","three",6\n')
    assert texts == ["one, two", "three"]
    assert "read as row numbers" in left_out.notes[0]
    assert read(",text\n0,one\n1,two\n")[0] == ["one", "two"]


# Delimiters in unquoted text.


def test_extra_cells_belong_to_the_last_text_column() -> None:
    texts, left_out = read("id,text\n1,Hello, you, there\n2,Plain\n3,One, two\n")
    assert texts == ["Hello, you, there", "Plain", "One, two"]
    assert left_out.notes == ["2 rows have commas in unquoted text, read as part of the text"]


@pytest.mark.parametrize(
    "last", [["1", "0", "1"], ["good", "bad", "good"], ["2020-01-01", "2021-12-31", "2022-05-05"]]
)
def test_extra_commas_go_to_the_only_possible_column(last: list[str]) -> None:
    lines = ["One, two, three", "No comma", "A cat, a dog"]
    raw = "text,label\n" + "".join(f"{line},{one}\n" for line, one in zip(lines, last, strict=True))
    assert read(raw)[0] == lines
    raw = "id,text,label\n" + "".join(
        f"{n},{line},{one}\n" for n, (line, one) in enumerate(zip(lines, last, strict=True))
    )
    assert read(raw)[0] == lines


def test_ambiguous_extra_commas_are_an_error_with_the_line() -> None:
    raw = "title,text,author\nA day,It rained.,John Smith\nThe end,They ran, and ran,Mary Ann Lee\n"
    error = error_of(raw)
    assert error.what == "line 3 of x.csv has 4 cells"
    assert "3 columns (title, text, author)" in error.why
    assert "a comma in unquoted text" in error.why
    assert "quotes" in error.remedy
    pair = "question,answer\nWhat is it, then,A fox\n"
    assert "line 2" in error_of(pair).what


def test_a_single_text_column_needs_no_quotes() -> None:
    raw = "text\n" + "".join(f"{story}\n" for story in STORIES)
    texts, left_out = read(raw)
    assert texts == STORIES
    assert left_out.notes == ["quotes are read as part of the text"] or left_out.notes == []


def test_a_quoted_single_column_is_unquoted() -> None:
    rows = [["text"], *([story] for story in STORIES), ["two\nlines, and more"]]
    assert read(written(rows)) == ([*STORIES, "two\nlines, and more"], LeftOut())


def test_lines_that_are_not_a_table_become_documents_and_this_is_noted() -> None:
    raw = "".join(f"{story}\n" for story in STORIES)
    texts, left_out = read(raw)
    assert texts == STORIES
    assert "no header: the first line is read as a row" in left_out.notes


# Rows that are too short, or end with delimiters.


def test_trailing_delimiters_are_not_cells() -> None:
    assert read("id,text,\n1,one,\n2,two,,,\n3,three\n")[0] == ["one", "two", "three"]
    assert read("id,text\n1,one,\n2,two,,,\n")[0] == ["one", "two"]


def test_a_row_with_a_missing_end_is_read_and_noted() -> None:
    texts, left_out = read("text,label,n\none two,good,1\nthree four\nfive six,bad\n")
    assert texts == ["one two", "three four", "five six"]
    assert left_out.notes == ["2 rows have fewer cells than there are columns"]


def test_a_row_without_its_text_is_counted() -> None:
    texts, left_out = read("id,text\n1,one\n2\n3,three\n")
    assert texts == ["one", "three"]
    assert left_out.null == 1


def test_a_text_broken_by_a_line_end_is_an_error_with_the_line() -> None:
    error = error_of("id,text\n1,The fox ran\ninto the wood and hid.\n2,The end\n")
    assert error.what == "line 3 of x.csv has 1 cell"
    assert "a line break in unquoted text" in error.why


def test_empty_lines_are_skipped() -> None:
    assert read("\n\nid,text\n\n1,one\n , \n\n2,two\n\n")[0] == ["one", "two"]


# Headers.


def test_a_table_without_a_header_loses_no_row() -> None:
    texts, left_out = read("1,Once upon a time.\n2,There was a fox, red as rust.\n3,It ran away.\n")
    assert texts == ["Once upon a time.", "There was a fox, red as rust.", "It ran away."]
    assert left_out.notes[0] == "no header: the first line is read as a row"


def test_a_guessed_header_is_noted() -> None:
    rows = [["stars", "my review"], *([str(n), story] for n, story in enumerate(STORIES))]
    texts, left_out = read(written(rows))
    assert texts == STORIES
    assert left_out.notes == ["the first line (stars, my review) is read as the header"]


def test_the_header_can_be_set_explicitly() -> None:
    raw = "apple\nbanana\ncherry\n"
    assert read(raw, header="yes")[0] == ["banana", "cherry"]
    assert read(raw, header="no")[0] == ["apple", "banana", "cherry"]
    assert read("text,n\none,1\n", header="no", column="column 1")[0] == ["text", "one"]


@pytest.mark.parametrize("name", ["Text", " text ", "TEXT", "Content"])
def test_a_usual_name_is_recognised_in_any_spelling(name: str) -> None:
    assert read(f"Id,{name}\n1,one\n2,two\n")[0] == ["one", "two"]
    assert read(f"Id,{name}\n1,one\n2,two\n", column=name.strip().lower())[0] == ["one", "two"]


def test_a_column_of_labels_is_not_the_text() -> None:
    rows = [["grade", "note"], *([["good", "bad"][n % 2], f"note {n} on it"] for n in range(20))]
    texts, left_out = read(written(rows))
    assert texts == [row[1] for row in rows[1:]]
    assert "the text is read from note" in left_out.notes


def test_columns_may_share_a_name() -> None:
    texts, left_out = read("text,text,n\none,uno,1\ntwo,dos,2\n")
    assert texts == ["one", "two"]
    assert "several columns are named text" in left_out.notes[0]


def test_two_columns_are_joined() -> None:
    assert read("question,answer\nWhy?,So.\nHow?,Thus.\n")[0] == ["Why?\n\nSo.", "How?\n\nThus."]
    assert read("a,b\nx y,1\n", column="a", second="b", header="yes")[0] == ["x y\n\n1"]


# Broken files.


def test_an_unclosed_quote_is_an_error_at_its_line() -> None:
    error = error_of('id,text\n1,"fine, really"\n2,"never closed\n3,more\n')
    assert error.what == "line 3 of x.csv cannot be read as csv"
    assert "never closed" in error.why
    texts, _ = read('id,text\n1,plain\n2,"never closed\n3,more\n', quotes="none")
    assert texts == ["plain", '"never closed', "more"]


def test_text_after_a_closing_quote_is_an_error() -> None:
    error = error_of('id,text\n1,"one, two" three, four\n2,"five, six"\n')
    assert error.what == "line 2 of x.csv cannot be read as csv"
    assert "continues after its closing quote" in error.why
    assert "data.quotes" in error.remedy


def test_a_problem_far_into_a_file_is_an_error_with_its_line() -> None:
    raw = "id,text\n" + "".join(f"{n},row {n}\n" for n in range(150_000))
    assert error_of(raw + 'x,"odd" one\n').what == "line 150,002 of x.csv cannot be read as csv"
    assert error_of(raw + "1,two\nand some words\n").what == "line 150,003 of x.csv has 1 cell"
    texts, left_out = read(raw + "1,two, three\n")
    assert texts[-1] == "two, three"
    assert left_out.notes


def test_a_table_with_only_a_header_has_no_text() -> None:
    for raw in ("", "\n\n", "text\n", "id,text\n\n"):
        assert "has no text" in error_of(raw).what


def test_the_error_for_no_text_column_lists_the_columns() -> None:
    error = error_of("a,b\n1,2\n3,4\n")
    assert "has no text column" in error.what
    assert "column 1, column 2" in error.why or "a, b" in error.why


# Nothing is lost, whatever the content.

_word = st.text(st.sampled_from("abcäöü漢"), min_size=1, max_size=6)
_part = st.sampled_from([" ", ", ", ",", "; ", ' "', '" ', '", ', "\n", ". ", "'s ", " | ", "\t"])
_text = st.lists(st.tuples(_word, _part), min_size=1, max_size=12).map(
    lambda parts: "".join(word + part for word, part in parts).strip() or "x"
)


@settings(max_examples=300, deadline=None)
@given(
    stories=st.lists(_text, min_size=1, max_size=12),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    last=st.booleans(),
)
def test_correctly_quoted_csv_round_trips(
    stories: list[str], delimiter: str, quoting: int, last: bool
) -> None:
    head, rows = ["id", "text"], [[str(n), one] for n, one in enumerate(stories)]
    if not last:
        head, rows = head[::-1], [row[::-1] for row in rows]
    raw = written([head, *rows], delimiter=delimiter, quoting=quoting)
    assert read(raw)[0] == stories


@settings(max_examples=extent.of(300, 1000), deadline=None)
@given(
    stories=st.lists(_text, min_size=1, max_size=12),
    delimiter=st.sampled_from([",", ";", "\t"]),
    header=st.sampled_from(["id{}text", "text{}id", "id{}text{}label", "text", ""]),
)
def test_no_word_of_unquoted_csv_is_lost_silently(
    stories: list[str], delimiter: str, header: str
) -> None:
    named = header.replace("{}", delimiter)
    lines = [named] if named else []
    for number, story in enumerate(one.replace("\n", " ") for one in stories):
        lines.append(
            named.replace("id", f"{number}").replace("text", story).replace("label", "good")
            if named
            else story
        )
    try:
        texts, left_out = read("\n".join(lines) + "\n")
    except CorpusError:
        return
    if not all(one.strip() for one in texts) or "is read as the header" in str(left_out.notes):
        # Rows without text are counted, and a line that is read as a header is reported.
        return
    words = set("\n".join(texts).translate(str.maketrans(',;"|\n\t.', "       ")).split())
    for story in stories:
        for word in story.translate(str.maketrans(',;"|\n\t.', "       ")).split():
            assert word in words


# Shards, and the whole path through the reader.


def test_shards_may_have_different_columns(tmp_path: Path, tiny: Make, hf_home: Path) -> None:
    folder = tmp_path / "dataset"
    folder.mkdir()
    (folder / "train-0.csv").write_text("text,label\none two,1\n")
    (folder / "train-1.csv").write_text("id,story\n7,three four\n")
    (folder / "train-2.csv").write_text("text\n")
    (folder / "train-3.csv").write_text("source,text\nx,NA\n")
    staged = stage(HuggingFaceData(dataset=str(folder)), tmp_path)
    assert list(staged.parts["train"].texts()) == ["one two", "three four", "NA"]
    assert staged.left_out.notes == ["train-2.csv has no rows"]


def test_a_shard_without_the_named_column_is_an_error_that_names_it(
    tmp_path: Path, hf_home: Path
) -> None:
    folder = tmp_path / "dataset"
    folder.mkdir()
    (folder / "train-0.csv").write_text("text,label\none two,1\n")
    (folder / "train-1.csv").write_text("id,story\n7,three four\n")
    error = source_error(HuggingFaceData(dataset=str(folder), text_column="text"), tmp_path)
    assert "train-1.csv has no column 'text'" in error.what


def test_notes_are_stored_with_the_corpus(tmp_path: Path, tiny: Make) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id;text\n" + "".join(f"{n};some words; number {n}\n" for n in range(99)))
    corpus = prepare(tiny(data={"kind": "file", "path": str(path)}))
    assert corpus.manifest["left_out"]["notes"] == [
        "cells are separated by a semicolon",
        "99 rows have semicolons in unquoted text, read as part of the text",
    ]


def test_csv_settings_reach_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('one~"two\nthree~four\n')
    data = FileData(
        path=str(path), delimiter="~", header="no", quotes="none", text_column="column 2"
    )
    assert texts(data, tmp_path) == ['"two', "four"]
