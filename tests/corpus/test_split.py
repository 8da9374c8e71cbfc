"""The split: nothing is lost, nothing stands on both sides."""

from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.config.data import Limit, Split
from slm_tui.corpus.sources import Document
from slm_tui.corpus.split import PARTS, Parts, limited, split, without_duplicates

TEXTS = st.lists(st.text("ab \n", min_size=1, max_size=60), min_size=1, max_size=30)


def documents(*texts: str) -> list[Document]:
    return [Document(text) for text in texts]


def distinct(count: int, length: int = 50) -> list[Document]:
    return documents(*(f"{number:05d} " + "x" * (length - 6) for number in range(count)))


@settings(max_examples=100, deadline=None)
@given(texts=TEXTS, validation=st.floats(0, 0.5), test=st.floats(0, 0.5))
def test_the_parts_are_the_documents_in_their_order(
    texts: list[str], validation: float, test: float
) -> None:
    parts = split(documents(*texts), Split(validation=validation, test=test))
    joined = "".join(one.text for part in PARTS for one in parts.documents[part])
    kept = iter("".join("".join(texts).split()))
    # Only the white space of a cut and removed duplicates may be missing.
    assert all(char in kept for char in "".join(joined.split()))
    if not parts.duplicates:
        assert "".join(joined.split()) == "".join("".join(texts).split())


@settings(max_examples=60, deadline=None)
@given(count=st.integers(8, 200), validation=st.floats(0.1, 0.5), test=st.floats(0.1, 0.4))
def test_the_parts_have_about_the_size_asked_for(
    count: int, validation: float, test: float
) -> None:
    parts = split(distinct(count), Split(validation=validation, test=test)).documents
    size = {part: sum(len(one.text) for one in parts[part]) for part in PARTS}
    total = 50 * count
    slack = 0.3 * min(validation, test, 1 - validation - test) * total + 50
    assert abs(size["val"] - validation * total) <= 2 * slack
    assert abs(size["test"] - test * total) <= 2 * slack


@settings(max_examples=60, deadline=None)
@given(texts=TEXTS, ratio=st.floats(0.05, 0.5))
def test_no_document_stands_in_two_parts(texts: list[str], ratio: float) -> None:
    parts = split(documents(*texts), Split(validation=ratio, test=0.1)).documents
    train, val, test = ({one.text for one in parts[part]} for part in PARTS)
    assert not train & val
    assert not train & test
    assert not val & test


def test_duplicates_of_training_are_removed_and_counted() -> None:
    parts = Parts(
        {
            "train": documents("a", "b"),
            "val": documents("b", "c", "c"),
            "test": documents("a", "c", "d"),
        }
    )
    parts = without_duplicates(parts)
    assert [one.text for one in parts.documents["val"]] == ["c", "c"]
    assert [one.text for one in parts.documents["test"]] == ["d"]
    assert parts.duplicates == 3


def test_a_cut_falls_between_documents_where_one_ends_nearby() -> None:
    whole = distinct(40)
    parts = split(whole, Split(validation=0.12)).documents
    assert [*parts["train"], *parts["val"]] == whole


def test_a_single_document_is_cut_at_a_blank_line() -> None:
    paragraphs = [f"paragraph {number} " + "word " * 9 for number in range(50)]
    parts = split(documents("\n\n".join(paragraphs)), Split(validation=0.1)).documents
    (left,), (right,) = parts["train"], parts["val"]
    assert "\n\n".join([left.text, right.text]) == "\n\n".join(paragraphs)


def test_text_without_any_boundary_is_cut_where_it_must() -> None:
    parts = split(documents("x" * 1000), Split(validation=0.1)).documents
    assert [len(parts[part][0].text) for part in ("train", "val")] == [900, 100]


def test_without_held_out_parts_all_is_training() -> None:
    parts = split(distinct(3), Split(validation=0.0, test=0.0)).documents
    assert [len(parts[part]) for part in PARTS] == [3, 0, 0]


def test_lone_surrogates_do_no_harm() -> None:
    assert split(documents("a\ud800b", "c"), Split(validation=0.5)).documents["train"]


@settings(max_examples=80, deadline=None)
@given(texts=TEXTS, most=st.integers(1, 500))
def test_a_limit_in_characters_is_kept_exactly(texts: list[str], most: int) -> None:
    kept = limited(documents(*texts), Limit(characters=most))
    assert "".join(one.text for one in kept) == "".join(texts)[:most]


def test_limits_in_documents_and_as_a_part() -> None:
    whole = distinct(10)
    assert limited(whole, Limit(documents=3)) == whole[:3]
    assert limited(whole, Limit(documents=99)) == whole
    assert limited(whole, Limit(fraction=0.25)) == whole[:2]
    assert limited(whole, Limit(fraction=0.001)) == whole[:1]
    assert limited(whole, Limit()) == whole


def test_a_part_of_a_single_document_is_a_part_of_its_text() -> None:
    (kept,) = limited(documents("x" * 1000), Limit(fraction=0.25))
    assert len(kept.text) == 250
