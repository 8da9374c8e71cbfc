"""Paths, safe text and number formats."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui import manifest, paths, safe_files
from slm_tui.errors import SlmTuiError
from slm_tui.formatting import clock, count, duration, size
from slm_tui.text import cells, cut, one_line, pad, visible


def test_everything_lives_under_home(home: Path) -> None:
    for place in (paths.config_dir(), paths.data_dir(), paths.cache_dir(), paths.trash_dir()):
        assert home in place.parents


@pytest.mark.parametrize("name", ["a", "A-1", "x.y_z", "0", "a" * 64, "lasts", "best-1"])
def test_a_plain_name_is_accepted(name: str) -> None:
    assert paths.check_name(name) == name


@settings(max_examples=200, deadline=None)
@given(name=st.text(max_size=80) | st.sampled_from(["last", "BEST", "con", "a\n", "..", "a/.."]))
def test_an_accepted_name_is_one_safe_path_component(name: str) -> None:
    try:
        paths.check_name(name)
    except SlmTuiError:
        return
    assert name.isascii()
    assert name.isprintable()
    assert len(name) <= 64
    assert Path(name).name == name
    assert not name.startswith(".")


def test_writing_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "file"
    safe_files.write_atomically(path, "old")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    for target in ("replace", "fsync"):
        with monkeypatch.context() as patched:
            patched.setattr(os, target, full)
            with pytest.raises(OSError, match="No space"):
                safe_files.write_atomically(path, "new")
        assert path.read_text() == "old"
        assert [one.name for one in path.parent.iterdir()] == ["file"]
    safe_files.write_atomically(path, b"new")
    assert path.read_text() == "new"


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_visible_text_contains_no_terminal_commands(text: str) -> None:
    shown = visible(text)
    assert all(char == "\n" or ord(char) >= 32 for char in shown)
    assert not any(0x7F <= ord(char) <= 0x9F for char in shown)
    assert "\n" not in one_line(text)
    assert cells(one_line(text, 10)) <= 10


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", 7),  # Persian, with a non-joiner
        ("\u0995\u09cd\u200d\u09b7", None),  # Bengali, with a joiner
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467", 2),  # a family
        ("\U0001f1ee\U0001f1f7", 2),  # a flag
        ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", 2),
        ("\U0001f44d\U0001f3fd", 2),  # a skin tone
        ("1\ufe0f\u20e3", 2),  # a keycap
        ("e\u0301", 1),
        ("\u05e9\u200f!", 2),  # Hebrew, with a direction mark
        ("soft\u00adhyphen", None),
        ("\u6f22\u5b57", 4),
    ],
)
def test_joined_characters_are_shown_unchanged(text: str, width: int | None) -> None:
    assert visible(text) == text
    assert one_line(text) == text
    if width is not None:
        assert cells(text) == width
        # Truncated between characters as a reader sees them, never inside one.
        assert cut(text * 4, 2 * width + 1) == text * 2 + "…"
        assert cells(pad(text, 20)) == cells(pad(text, 20, right=True)) == 20


def test_hidden_and_reversed_text_is_replaced() -> None:
    hidden = "".join(chr(0xE0000 + ord(char)) for char in "hi")
    assert visible(f"a{hidden}b") == "a\ufffd\ufffdb"
    assert visible("a\u202eb\u2066c\ufff9") == "a\ufffdb\ufffdc\ufffd"


@settings(max_examples=200, deadline=None)
@given(text=st.text(), width=st.integers(0, 12))
def test_a_truncated_line_fits(text: str, width: int) -> None:
    line = one_line(text, width)
    assert cells(line) <= max(width, 1)
    assert line == one_line(text) or line.endswith("…")


def test_escape_sequences_become_symbols() -> None:
    assert visible("\x1b[31mred\x7f\u202e\ud800") == "␛[31mred␡\ufffd\ufffd"
    assert visible("plain ü 🐻") == "plain ü 🐻"


@settings(max_examples=50, deadline=None)
@given(
    values=st.dictionaries(
        st.text(max_size=5), st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
    )
)
def test_a_sealed_manifest_is_opened_unchanged(values: dict[str, object]) -> None:
    values.pop("seal", None)
    assert manifest.unsealed(manifest.sealed(values)) == values


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"seal": 1}', '{"a": 1, "seal": "x"}'])
def test_an_unsealed_manifest_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        manifest.unsealed(text)


def test_numbers_are_formatted_for_readers() -> None:
    assert [count(one) for one in (832, 41_300, 830_000, 1.2e9)] == [
        "832",
        "41.3k",
        "0.83 M",
        "1.20 B",
    ]
    assert [size(one) for one in (812, 3.4e6, 1.2e9)] == ["812 B", "3.40 MB", "1.20 GB"]
    assert [clock(one) for one in (132, 3732, float("nan"))] == ["02:12", "1:02:12", "–"]
    assert [duration(one) for one in (0.1, 40, 180, 9000, 4e5)] == [
        "1 s",
        "40 s",
        "3 min",
        "2.5 h",
        "5 days",
    ]
