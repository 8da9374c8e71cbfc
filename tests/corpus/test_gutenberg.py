"""Project Gutenberg's header and licence: left out of whole books, and of nothing else."""

import gzip
import itertools
import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui import paths
from slm_tui.config.data import DirectoryData, FileData, HuggingFaceData
from slm_tui.config.preset import Preset
from slm_tui.corpus import prepare as preparing
from slm_tui.corpus import sources
from slm_tui.corpus.sources import gutenberg, text_file
from slm_tui.live.session import Session
from slm_tui.runs import store
from slm_tui.training import checkpoint
from tests.cli.conftest import Cli, cli
from tests.corpus.helpers import jsonl, stage, texts

Make = Callable[..., Preset]
__all__ = ["cli"]
BOOK = "CHAPTER I.\n\nIt was a dark night.\n\n" + "The wind blew on.\n" * 40 + "\nTHE END"
LICENCE = "\n\nUpdated editions will replace the previous one.\n" + (
    "Section 1. General Terms of Use and Redistributing Project Gutenberg electronic works.\n" * 200
)
HEADER = """The Project Gutenberg eBook of The Wind

This ebook is for the use of anyone anywhere in the United States.

Title: The Wind

Author: A. Nonymous

Release date: June 25, 2008 [eBook #11]

Language: English

"""
MODERN = (
    f"{HEADER}*** START OF THE PROJECT GUTENBERG EBOOK THE WIND ***\n\n\n{BOOK}\n\n\n"
    f"*** END OF THE PROJECT GUTENBERG EBOOK THE WIND ***\n{LICENCE}"
)
LONG_TITLE = MODERN.replace(
    "EBOOK THE WIND ***", "EBOOK THE WIND, OR WHAT HAPPENED\nTHAT NIGHT ***"
)
# About 2004 to 2010: "this" instead of "the", and a last line before the mark.
MIDDLE = (
    "Project Gutenberg's The Wind, by A. Nonymous\n\nThis eBook is for the use of anyone.\n\n\n"
    "Title: The Wind\n\nRelease Date: June 25, 2004 [EBook #11]\n\nLanguage: English\n\n\n"
    f"*** START OF THIS PROJECT GUTENBERG EBOOK THE WIND ***\n\n\n{BOOK}\n\n\n\n"
    "End of Project Gutenberg's The Wind, by A. Nonymous\n\n"
    f"*** END OF THIS PROJECT GUTENBERG EBOOK THE WIND ***\n\n***** This file should be named "
    f"11.txt or 11.zip *****\n{LICENCE}"
)
OLD = (
    "***The Project Gutenberg Etext of The Wind***\n\nCopyright laws are changing all over the "
    "world, be sure to check\n\nThe Wind\n\nMarch, 1994  [Etext #11]\n\n"
    "***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\nWhy is this here?\n"
    + "You know: lawyers. They tell us you might sue us.\n"
    * 150
    + f"*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n\n\n{BOOK}\n\n\n\n"
    "End of the Project Gutenberg Etext of The Wind\n"
)
OLD_WITHOUT_STAR = OLD.replace("*END*THE SMALL", "*END THE SMALL").replace(
    "End of the Project", "End of The Project"
)
BOOKS = {
    "modern": MODERN,
    "long title": LONG_TITLE,
    "middle": MIDDLE,
    "old": OLD,
    "old without star": OLD_WITHOUT_STAR,
    "without header": MODERN.removeprefix(HEADER),
}
ESSAY = (
    "# How to clean books\n\nBooks of Project Gutenberg have marks around them.\n\n"
    "*** START OF THE PROJECT GUTENBERG EBOOK THE WIND ***\n\nand later\n\n"
    "*** END OF THE PROJECT GUTENBERG EBOOK THE WIND ***\n\nDelete what is outside them.\n"
)
NOT_BOOKS = {
    "essay": ESSAY,
    "header without licence": MODERN.partition("*** END OF")[0],
    "licence without header": MODERN.partition("EBOOK THE WIND ***")[2],
    "marks within lines": MODERN.replace("\n*** START", "\nlook: *** START"),
    "nothing between": HEADER
    + "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n\n \n"
    + "*** END OF THE PROJECT GUTENBERG EBOOK X ***\n",
    "marks in the wrong order": HEADER
    + "*** END OF THE PROJECT GUTENBERG EBOOK X ***\ntext\n"
    + "*** START OF THE PROJECT GUTENBERG EBOOK X ***\n",
    "much text after the licence": MODERN + "Another text altogether.\n" * 3000,
    "a book about it": BOOK + "\nEnd of Project Gutenberg's first year\n" + BOOK,
}


@pytest.mark.parametrize("name", BOOKS)
def test_header_and_licence_of_a_book_are_left_out(name: str, tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text(BOOKS[name])
    staged = stage(FileData(path=str(path)), tmp_path)
    assert texts(FileData(path=str(path)), tmp_path) == [BOOK]
    (note,) = staged.left_out.notes
    assert note.startswith("Project Gutenberg's header and licence left out (")


@pytest.mark.parametrize("name", NOT_BOOKS)
def test_everything_else_is_read_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(NOT_BOOKS[name])
    assert texts(FileData(path=str(path)), tmp_path) == [NOT_BOOKS[name].strip("\n")]
    assert not stage(FileData(path=str(path)), tmp_path).left_out.notes


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(MODERN.replace("\n", "\r\n").encode("utf-8-sig")),
        lambda path: path.write_bytes(MODERN.encode("utf-16")),
        lambda path: path.write_bytes(gzip.compress(MODERN.encode())),
    ],
    ids=["windows", "utf-16", "gzip"],
)
def test_books_in_any_form(write: Callable[[Path], int], tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    write(path)
    assert texts(FileData(path=str(path)), tmp_path) == [BOOK]
    # Read by the program itself, but by way of another source.
    assert texts(HuggingFaceData(dataset=str(path)), tmp_path) == [BOOK]


def test_the_books_of_a_directory_are_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text(MODERN)
    (tmp_path / "in" / "b.txt").write_text(ESSAY)
    staged = stage(DirectoryData(path=str(tmp_path / "in")), tmp_path)
    assert texts(DirectoryData(path=str(tmp_path / "in")), tmp_path) == [BOOK, ESSAY.strip("\n")]
    assert [note.partition(":")[0] for note in staged.left_out.notes] == ["a.txt"]


def test_records_are_never_changed(tmp_path: Path) -> None:
    rows = jsonl(tmp_path / "rows.jsonl", [{"text": MODERN}, {"text": ESSAY}])
    expected = [MODERN.strip("\n"), ESSAY.strip("\n")]
    assert texts(FileData(path=str(rows)), tmp_path) == expected


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from([*BOOKS, *NOT_BOOKS]),
    size=st.integers(1, 5000),
    pieces=st.lists(st.integers(0, 4000), max_size=8),
)
def test_pieces_do_not_matter(name: str, size: int, pieces: list[int]) -> None:
    text = (BOOKS | NOT_BOOKS)[name]
    cuts = sorted({min(one * size, len(text)) for one in [0, *pieces]} | {0, len(text)})
    parts = [text[start:end] for start, end in itertools.pairwise(cuts)]
    body = gutenberg.find(parts)
    assert body == gutenberg.find([text])
    assert (body is not None) == (name in BOOKS)
    if body is not None:
        assert "".join(gutenberg.cut(parts, body)).strip("\n") == BOOK


def test_a_long_text_is_not_read_twice() -> None:
    """Only the beginning is needed to know that a text is no book."""
    read = 0

    def pieces() -> object:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield "x" * gutenberg.HEAD

    assert gutenberg.find(pieces()) is None  # type: ignore[arg-type]
    assert read == 1


def test_only_books_are_prepared_again(tmp_path: Path) -> None:
    """The corpora of all other texts stay what they are."""
    for name, text in (BOOKS | NOT_BOOKS).items():
        path = tmp_path / "text.txt"
        path.write_text(text)
        data = FileData(path=str(path))
        now, before = (sources.fingerprint(data, reading=one) for one in (3, 2))
        assert (now != before) == (name in BOOKS), name
    assert text_file.body_of(tmp_path / "missing.txt") is None


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text(MODERN)
    return path


@pytest.mark.parametrize("is_cached", [True, False])
def test_an_older_run_keeps_the_text_it_had(
    cli: Cli, tiny: Make, book: Path, tmp_path: Path, is_cached: bool
) -> None:
    preset = tiny(
        data={"kind": "file", "path": str(book)},
        tokenizer={"kind": "bpe", "vocab_size": 280},
        training__max_steps=6,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparing, "prepare", partial(preparing.prepare, reading=sources.TABLES))
        first = Session.start(preset, "old")
        assert first.wait(60)
        assert first.status.state == "done", first.status.error
    run = store.find("old")
    saved, _ = checkpoint.newest(run.checkpoints)
    assert saved is not None
    before = preparing.reopen(saved.state.corpus)
    assert before is not None
    text = before.tokenizer.decode_bytes(before.train).decode()
    assert text.startswith("The Project Gutenberg")
    evaluated = json.loads(cli("evaluate", "old", "--no-generations", "--json")[1])
    if not is_cached:
        shutil.rmtree(paths.corpora_dir())
    again = cli("evaluate", "old", "--no-generations", "--json")
    assert again[0] == 0, again[2]
    now = json.loads(again[1])
    for name in ("bits_per_byte", "loss", "num_tokens"):
        assert now["models"][0][name] == evaluated["models"][0][name]
    assert "the text has changed" not in again[1] + again[2]
    code, out, err = cli("train", "--resume", "old", "--steps", "3")
    assert code == 0, err
    assert "header and licence" not in out
    assert store.find("old").info().facts["reading"] == sources.TABLES
    newest, _ = checkpoint.newest(run.checkpoints)
    assert newest is not None
    assert newest.state.corpus == saved.state.corpus
    # A new run of the same preset reads the book only.
    (tmp_path / "it.toml").write_text(preset.to_toml())
    code, out, err = cli("train", str(tmp_path / "it.toml"), "--name", "new")
    assert code == 0, err
    assert "text: Project Gutenberg's header and licence left out" in out
    facts = store.find("new").info().facts
    assert facts["reading"] == sources.READING
    assert str(facts["text_notes"]).startswith("Project Gutenberg's header and licence")
    assert "header and licence left out" in cli("runs", "show", "new")[1]
    corpus = preparing.reopen(str(facts["corpus"]))
    assert corpus is not None
    for part in (corpus.train, corpus.val):
        assert b"Gutenberg" not in corpus.tokenizer.decode_bytes(part)


def test_preparing_says_it(cli: Cli, tiny: Make, book: Path, tmp_path: Path) -> None:
    (tmp_path / "it.toml").write_text(tiny(data={"kind": "file", "path": str(book)}).to_toml())
    for what in ("prepare", "stats"):
        code, out, err = cli("data", what, str(tmp_path / "it.toml"))
        assert code == 0, err
        assert "Project Gutenberg's header and licence left out" in out
