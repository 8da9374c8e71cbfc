"""The width of text and its truncation, for any characters."""

import sys

import wcwidth
from hypothesis import given
from hypothesis import strategies as st

from slm_tui.text import _ALL_NARROW, cells, clusters, cut, one_line, pad, visible


def test_a_control_character_does_not_reduce_the_width() -> None:
    assert cells("é—\n中") == 5
    assert cells("\x1b[0mé") == 5
    assert cells("\x85é") == 2
    assert cells("ab\n") == 3


@given(st.text(max_size=30))
def test_a_width_is_at_most_that_of_its_parts(text: str) -> None:
    shown = visible(text)
    assert 0 <= cells(shown) <= 2 * len(shown)
    # Only joiners with nothing to join have no width.
    if any(char.isalnum() and char.isascii() for char in shown):
        assert cells(shown) > 0


@given(st.text(max_size=30), st.integers(1, 40))
def test_a_truncated_or_padded_line_has_the_requested_width(text: str, width: int) -> None:
    line = one_line(text)
    assert cells(cut(line, width)) <= width
    assert cells(pad(cut(line, width), width)) == width


def test_narrow_characters_have_one_cell_and_join_no_other() -> None:
    narrow = [char for char in map(chr, range(sys.maxunicode + 1)) if _ALL_NARROW.fullmatch(char)]
    assert set("é·─│▲⣿→✓") <= set(narrow)
    assert len(narrow) > 1000
    assert [char for char in narrow if wcwidth.wcwidth(char) != 1] == []
    text = "".join(narrow)
    assert list(clusters(text)) == list(wcwidth.iter_graphemes(text))
