"""A directory: every file once, in the order of names, and none skipped silently."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slm_tui.config.data import DirectoryData, Limit
from slm_tui.config.preset import Preset
from slm_tui.corpus import sources
from slm_tui.corpus.prepare import prepare
from slm_tui.errors import CorpusError
from tests.corpus.helpers import source_error, stage, texts

Make = Callable[..., Preset]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "folder"
    path.mkdir()
    return path


def put(folder: Path, **files: str | bytes) -> None:
    """Write files; in names, `__` stands for `/`, and `_` before the suffix for `.`."""
    for name, content in files.items():
        path = folder / (name.replace("__", "/").replace("_", "."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def read(folder: Path, **settings: Any) -> list[str]:
    return texts(DirectoryData(path=str(folder), **settings), folder.parent)


def test_all_text_files_are_read_in_the_order_of_their_names(folder: Path) -> None:
    put(folder, b_txt="2", a_md="1", c__d_txt="4", c__a__z_TXT="3", d_Md="5")
    put(folder, a_py="no", README="no", c__data_json="no", d_txt_gz="no")
    assert read(folder) == ["1", "2", "3", "4", "5"]


def test_the_order_does_not_depend_on_creation_times(folder: Path) -> None:
    names = [f"{number:03d}" for number in range(50)]
    for name in sorted(names, key=lambda name: name[::-1]):
        put(folder, **{f"d{name[0]}__{name}_txt": name})
    assert read(folder) == names


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", ["top"]),
        ("**/*.txt", ["deep", "top", "under"]),
        ("**/*.py", ["code"]),
        ("sub/*.txt", ["under"]),
        ("sub/**", ["code", "deep", "under"]),
        ("**/d*", ["deep"]),
        ("*", ["doc", "top"]),
        ("?.txt", ["top"]),
        ("[a-c].txt", ["top"]),
    ],
)
def test_a_pattern_selects_files(folder: Path, pattern: str, expected: list[str]) -> None:
    put(folder, a_txt="top", m_md="doc", sub__b_txt="under", sub__c_py="code")
    put(folder, sub__sub__d_txt="deep")
    assert sorted(read(folder, pattern=pattern)) == expected


@pytest.mark.parametrize("pattern", ["[", "[z-a].txt", "a**b", "***", "\0", "(", "../*", "/etc/*"])
def test_an_invalid_pattern_is_reported_in_one_line(folder: Path, pattern: str) -> None:
    put(folder, a_txt="one")
    error = source_error(DirectoryData(path=str(folder), pattern=pattern), folder.parent)
    assert "pattern" in str(error)


def test_the_error_for_no_files_names_the_pattern(folder: Path) -> None:
    put(folder, a_py="code")
    assert "none matches *.txt or *.md" in str(
        source_error(DirectoryData(path=str(folder)), folder)
    )
    error = source_error(DirectoryData(path=str(folder), pattern="**/*.rst"), folder)
    assert "none matches **/*.rst" in str(error)


def test_a_path_that_is_a_file_is_reported_as_one(folder: Path) -> None:
    put(folder, a_txt="one")
    error = source_error(DirectoryData(path=str(folder / "a.txt")), folder)
    assert "it is a file" in str(error)
    assert "set data.path to a directory" in str(error)


def test_files_without_text_give_no_documents(folder: Path) -> None:
    put(folder, a_txt="", b_txt=" \n", c_txt="\ufeff\r\n")
    assert "has no text" in str(source_error(DirectoryData(path=str(folder)), folder.parent))
    put(folder, d_txt="text")
    assert read(folder) == ["text"]


def test_documents_end_at_marks_and_at_file_ends(folder: Path) -> None:
    put(folder, a_txt="one<|endoftext|>two", b_txt="three\r\n<|endoftext|>\r\n", c_txt="four")
    assert read(folder) == ["one", "two", "three", "four"]
    assert read(folder, separator="o")[:3] == ["ne<|end", "ftext|>tw", "three\n<|end"]


# Links.


@pytest.mark.timeout(60)
def test_cyclic_links_end(folder: Path) -> None:
    put(folder, a_txt="1", sub__b_txt="2", sub__deep__c_txt="3")
    (folder / "sub" / "up").symlink_to(folder)
    (folder / "sub" / "deep" / "parent").symlink_to("..")
    (folder / "here").symlink_to(".")
    (folder / "one").symlink_to(folder / "two")
    (folder / "two").symlink_to(folder / "one")
    (folder / "itself").symlink_to(folder / "itself")
    (folder / "itself.txt").symlink_to(folder / "itself.txt")
    (folder / "gone.txt").symlink_to(folder / "nothing.txt")
    assert sorted(read(folder)) == ["1", "2", "3"]


def test_a_link_to_a_directory_is_entered_once(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    put(elsewhere, x_txt="there")
    for name in ("one", "two"):
        (folder / name).symlink_to(elsewhere)
    assert read(folder) == ["there"]
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert read(link) == ["there"]


# Files that are not text.

BAD = {"bad_txt": b"caf\xe9", "nul_txt": b"a\0b", "late_txt": b"x" * 3_000_000 + b"\xff"}


def test_files_that_are_not_text_are_rejected_by_name(folder: Path) -> None:
    put(folder, good_txt="good", **BAD)
    error = source_error(DirectoryData(path=str(folder)), folder.parent)
    assert error.what == "3 of 4 files cannot be used"
    assert "bad.txt (byte 3 is 0xe9)" in error.why
    assert "nul.txt (byte 1 is NUL (0x00))" in error.why
    assert "late.txt (byte 3,000,000 is 0xff)" in error.why


def test_the_error_for_many_bad_files_names_a_few_and_counts_all(folder: Path) -> None:
    put(folder, **{f"n{number:04d}_txt": b"\xff" for number in range(1200)}, z_txt="good")
    error = source_error(DirectoryData(path=str(folder)), folder.parent)
    assert error.what == "1,200 of 1,201 files cannot be used"
    assert error.why.endswith("and 1197 more") or error.why.endswith("and 1,197 more")
    assert len(str(error)) < 400
    staged = stage(DirectoryData(path=str(folder), on_encoding_error="skip"), folder.parent)
    assert staged.left_out.skipped == 1200
    assert len(staged.left_out.files) == 100


def test_bad_files_are_skipped_and_listed_in_the_manifest(folder: Path, tiny: Make) -> None:
    put(folder, a_txt="first " * 99, c_txt="second " * 99, m_txt=b"ok<|endoftext|>not \xff", **BAD)
    corpus = prepare(tiny(data=data(folder, on_encoding_error="skip")))
    assert corpus.manifest["left_out"] == {
        "skipped_files": [
            ["bad.txt", "byte 3 is 0xe9"],
            ["late.txt", "byte 3,000,000 is 0xff"],
            ["m.txt", "byte 19 is 0xff"],
            ["nul.txt", "byte 1 is NUL (0x00)"],
        ],
        "skipped": 4,
    }
    text = corpus.tokenizer.decode_bytes([*corpus.train, *corpus.val])
    assert text.replace(b" ", b"") == b"first" * 99 + b"second" * 99


def data(folder: Path, **settings: Any) -> dict[str, Any]:
    return {"kind": "directory", "path": str(folder), "split": {"validation": 0.2}, **settings}


def test_a_skipped_file_leaves_no_text(folder: Path) -> None:
    put(folder, a_txt="one", b_txt=b"two<|endoftext|>three" * 100_000 + b"\xff", c_txt="four")
    assert read(folder, on_encoding_error="skip") == ["one", "four"]


def test_invalid_bytes_are_replaced_on_request(folder: Path) -> None:
    put(folder, a_txt=b"caf\xe9", b_txt="good")
    assert read(folder, on_encoding_error="replace") == ["caf\ufffd", "good"]


def test_a_directory_with_only_bad_files_has_no_text_even_if_skipping(folder: Path) -> None:
    put(folder, **BAD)
    error = source_error(DirectoryData(path=str(folder), on_encoding_error="skip"), folder.parent)
    assert "has no text" in str(error)


# Limits, and what determines the corpus.


def test_limits_apply_across_files(folder: Path) -> None:
    put(folder, a_txt="one", b_txt="two<|endoftext|>three", c_txt="four")
    assert read(folder, limit=Limit(documents=2)) == ["one", "two"]
    assert read(folder, limit=Limit(characters=8)) == ["one", "two", "th"]
    assert read(folder, limit=Limit(fraction=0.5)) == ["one", "two"]


def test_files_beyond_the_limit_are_not_read(folder: Path) -> None:
    put(folder, a_txt="one", b_txt=b"\xff")
    assert read(folder, limit=Limit(documents=1)) == ["one"]


def test_a_directory_is_identified_by_its_files_not_its_path(folder: Path, tmp_path: Path) -> None:
    put(folder, a_txt="one", sub__b_txt="two")
    fingerprint = sources.fingerprint(DirectoryData(path=str(folder)))
    os.rename(folder, tmp_path / "moved")
    moved = tmp_path / "moved"
    assert sources.fingerprint(DirectoryData(path=str(moved))) == fingerprint
    put(moved, x_py="not read")
    assert sources.fingerprint(DirectoryData(path=str(moved))) == fingerprint
    os.rename(moved / "a.txt", moved / "c.txt")
    renamed = sources.fingerprint(DirectoryData(path=str(moved)))
    assert renamed != fingerprint
    put(moved, c_txt="other")
    assert sources.fingerprint(DirectoryData(path=str(moved))) != renamed


def test_a_directory_without_files_cannot_be_prepared(folder: Path, tiny: Make) -> None:
    with pytest.raises(CorpusError, match="has no files to read"):
        prepare(tiny(data=data(folder)))
