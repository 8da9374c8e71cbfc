"""The split: nothing is lost, and nothing is on both sides."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config.data import Limit, Split
from slm_tui.corpus.split import PARTS, limited, split, text_of, without_duplicates
from slm_tui.corpus.staging import DocumentPiece, DocumentSpans, StagingWriter
from tests.corpus.helpers import documents

TEXTS = st.lists(st.text("ab \n", min_size=1, max_size=60), min_size=1, max_size=30)


def distinct(count: int, length: int = 50) -> list[str]:
    return [f"{number:05d} " + "x" * (length - 6) for number in range(count)]


def split_texts(texts: list[str], ratios: Split) -> dict[str, list[str]]:
    with documents(*texts) as spans:
        return {part: text_of(result) for part, result in split(spans, ratios).items()}


@settings(max_examples=100, deadline=None)
@given(texts=TEXTS, validation=st.floats(0, 0.5), test=st.floats(0, 0.5))
def test_the_splits_are_the_documents_in_order(
    texts: list[str], validation: float, test: float
) -> None:
    ratios = Split(validation=min(validation, 0.9 - test), test=test)
    parts = split_texts(texts, ratios)
    # Only whitespace at a boundary, and blank documents, may be missing.
    joined = "".join(text for part in PARTS for text in parts[part])
    assert "".join(joined.split()) == "".join("".join(texts).split())


@settings(max_examples=300, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=8),
    validation=st.sampled_from([0.0, 0.05, 0.1, 0.3]),
    test=st.sampled_from([0.05, 0.1, 0.3]),
)
def test_no_text_is_lost_or_duplicated_whatever_the_document_lengths(
    lengths: list[int], validation: float, test: float
) -> None:
    texts = [" ".join(f"{at}-{word}" for word in range(size)) for at, size in enumerate(lengths)]
    parts = split_texts(texts, Split(validation=validation, test=test))
    # All words are different, so that none can be mistaken for another.
    joined = "".join(text for part in PARTS for text in parts[part])
    assert "".join(joined.split()) == "".join("".join(texts).split())


def test_a_first_boundary_may_leave_nothing_for_the_second() -> None:
    parts = split_texts(["aaa", "aaaa", "a", "aa"], Split(validation=0.0, test=0.35))
    assert sum(len(text) for part in PARTS for text in parts[part]) == 10
    parts = split_texts(["x" * 57, "y" * 17], Split(validation=0.0, test=0.3))
    assert sum(len(text) for part in PARTS for text in parts[part]) == 74


@settings(max_examples=60, deadline=None)
@given(count=st.integers(8, 200), validation=st.floats(0.1, 0.5), test=st.floats(0.1, 0.4))
def test_the_splits_have_about_the_requested_sizes(
    count: int, validation: float, test: float
) -> None:
    parts = split_texts(distinct(count), Split(validation=validation, test=test))
    size = {part: sum(map(len, parts[part])) for part in PARTS}
    total = 50 * count
    slack = 0.3 * min(validation, test, 1 - validation - test) * total + 50
    assert abs(size["val"] - validation * total) <= 2 * slack
    assert abs(size["test"] - test * total) <= 2 * slack


@settings(max_examples=60, deadline=None)
@given(texts=TEXTS, ratio=st.floats(0.05, 0.5))
def test_no_document_is_in_two_splits(texts: list[str], ratio: float) -> None:
    with documents(*texts) as spans:
        parts = without_duplicates(split(spans, Split(validation=ratio, test=0.1))).documents
        train, val, test = (set(text_of(parts[part])) for part in PARTS)
    assert not train & val
    assert not train & test
    assert not val & test


@settings(max_examples=60, deadline=None)
@given(texts=TEXTS, ratio=st.floats(0.05, 0.5))
def test_the_number_of_removed_documents_is_reported(texts: list[str], ratio: float) -> None:
    with documents(*texts) as spans:
        parts = split(spans, Split(validation=ratio, test=0.1))
        deduplicated = without_duplicates(parts)
        assert deduplicated.duplicates == sum(map(len, parts.values())) - sum(
            map(len, deduplicated.documents.values())
        )
        train = set(text_of(parts["train"]))
        remaining = [text for text in text_of(parts["val"]) if text not in train]
        assert text_of(deduplicated.documents["val"]) == remaining


def test_duplicates_of_training_are_removed_and_counted() -> None:
    with documents("a", "b", "b", "c", "c", "a", "c", "d") as spans:
        deduplicated = without_duplicates(
            {
                "train": spans.chosen(slice(0, 2)),
                "val": spans.chosen(slice(2, 5)),
                "test": spans.chosen(slice(5, 8)),
            }
        )
        assert text_of(deduplicated.documents["val"]) == ["c", "c"]
        assert text_of(deduplicated.documents["test"]) == ["d"]
    assert deduplicated.duplicates == 3


def test_halves_of_split_documents_are_compared_separately() -> None:
    # The boundary is in the last document, whose right half also occurs before it.
    with documents("y" * 40, "x" * 60 + "\n" + "y" * 40) as spans:
        parts = split(spans, Split(validation=0.28))
        assert text_of(parts["val"]) == ["y" * 40]
        deduplicated = without_duplicates(parts)
    assert (len(deduplicated.documents["val"]), deduplicated.duplicates) == (0, 1)


def test_a_boundary_falls_between_documents_if_one_ends_nearby() -> None:
    parts = split_texts(distinct(40), Split(validation=0.12))
    assert [*parts["train"], *parts["val"]] == distinct(40)


def test_a_single_document_is_split_at_a_blank_line() -> None:
    paragraphs = [f"paragraph {number} " + "word " * 9 for number in range(50)]
    parts = split_texts(["\n\n".join(paragraphs)], Split(validation=0.1))
    (left,), (right,) = parts["train"], parts["val"]
    assert "\n\n".join([left, right]) == "\n\n".join(paragraphs)


def test_text_without_a_boundary_is_split_at_the_exact_position() -> None:
    parts = split_texts(["x" * 1000], Split(validation=0.1))
    assert [len(parts[part][0]) for part in ("train", "val")] == [900, 100]


@settings(max_examples=60, deadline=None)
@given(st.text("漢é🙂x", min_size=2, max_size=60), st.floats(0.05, 0.5))
def test_a_boundary_never_splits_a_character(text: str, ratio: float) -> None:
    parts = split_texts([text], Split(validation=ratio))
    assert "".join(parts["train"] + parts["val"]) == text


def test_a_half_that_starts_with_a_megabyte_of_spaces_is_not_lost() -> None:
    text = "a" * 3_000_000 + " " * 3_000_000 + "b" * 3_000_000
    parts = split_texts([text], Split(validation=0.5))
    assert "".join("".join(parts["train"] + parts["val"]).split()) == "".join(text.split())


def test_a_split_with_ratio_zero_is_empty() -> None:
    text = "\n".join(f"line {number}" for number in range(300))
    assert split_texts([text], Split(validation=0.0, test=0.1))["val"] == []
    assert split_texts([text], Split(validation=0.1, test=0.0))["test"] == []


def test_without_held_out_splits_everything_is_training() -> None:
    parts = split_texts(distinct(3), Split(validation=0.0, test=0.0))
    assert [len(parts[part]) for part in PARTS] == [3, 0, 0]


def test_lone_surrogates_are_handled() -> None:
    parts = split_texts(["a\ud800b", "c"], Split(validation=0.5))
    assert "".join(parts["train"] + parts["val"]) == "a\ufffdbc"


# How much of the text a tokenizer is trained on.


@settings(max_examples=80, deadline=None)
@given(texts=TEXTS, most=st.integers(1, 500))
def test_a_limit_in_characters_is_exact(texts: list[str], most: int) -> None:
    with documents(*texts) as spans:
        whole = "".join(text_of(spans))
        assert "".join(limited(spans, Limit(characters=most))) == whole[:most]


def learned_from(spans: DocumentSpans, **limit: float) -> list[str]:
    return list(limited(spans, Limit(**limit)))  # type: ignore[arg-type]


def test_limits_in_documents_and_as_a_fraction() -> None:
    texts = distinct(10)
    with documents(*texts) as spans:
        assert learned_from(spans, documents=3) == texts[:3]
        assert learned_from(spans, documents=99) == texts
        assert learned_from(spans, fraction=0.25) == texts[:2]
        assert learned_from(spans, fraction=0.001) == texts[:1]
        assert learned_from(spans) == texts


def test_a_fraction_of_a_single_document_is_a_fraction_of_its_text() -> None:
    with documents("x" * 1000) as spans:
        assert [len(text) for text in limited(spans, Limit(fraction=0.25))] == [250]


def test_a_limit_in_tokens_counts_words_of_gpt2s_pattern() -> None:
    with documents("One two, three's 45.", "six") as spans:
        words = ["One", "One two", "One two,", "One two, three", "One two, three's"]
        for most, text in enumerate(words, start=1):
            assert learned_from(spans, tokens=most) == [text]
        assert learned_from(spans, tokens=8) == ["One two, three's 45.", "six"]


def test_a_long_document_is_given_to_the_tokenizer_in_pieces(tmp_path: Path) -> None:
    text = "word " * 700_000 + "end"
    with StagingWriter(tmp_path / "texts") as staging:
        staging.add(DocumentPiece(text))
        spans = staging.finish()
    parts = learned_from(spans)
    assert len(parts) > 1
    assert "".join(parts) == text
