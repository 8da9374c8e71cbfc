"""Parsing of typed numbers."""

import pytest

from slm_tui.formatting import either, whole_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("500", 500),
        (" 500\n", 500),
        ("1,000", 1000),
        ("1,234,567", 1_234_567),
        ("1_000", 1000),
        ("1e3", 1000),
        ("2.5e3", 2500),
        ("500.0", 500),
        ("-5", -5),
        ("+5", 5),
        ("007", 7),
        ("12345678901234567890", 12345678901234567890),
    ],
)
def test_a_whole_number_is_read(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize(
    "text",
    ["", " ", "many", "1,0", "1,00", "10,00,000", ",100", "1,000.5", "1.5", "1__0", "_1", "nan",
     "inf", "1e300", "1e-3", "0x10", "5 0", "9" * 5000],
)  # fmt: skip
def test_anything_but_a_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        whole_number(text)


@pytest.mark.parametrize(
    ("words", "text"), [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")]
)
def test_choices_are_listed_as_in_a_sentence(words: list[str], text: str) -> None:
    assert either(words) == text
