"""Batches: a pure function of (seed, step), every window once per epoch, one shift."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_tui.corpus.batches import Batches, fixed_windows
from slm_tui.errors import CorpusError


def stream(length: int) -> np.ndarray:
    """Each token is its own position, so that a window shows where it came from."""
    return np.arange(length, dtype=np.uint32)


SIZES = st.tuples(st.integers(6, 2000), st.integers(4, 64)).filter(lambda two: two[0] > two[1])


@settings(max_examples=60, deadline=None)
@given(size=SIZES, sequences=st.integers(1, 12), seed=st.integers(0, 2**31 - 1))
def test_a_batch_stays_inside_its_split_and_targets_are_shifted_by_one(
    size: tuple[int, int], sequences: int, seed: int
) -> None:
    length, block = size
    # The split is mapped between others: a batch that crossed the border would contain their
    # tokens.
    everything = np.concatenate([stream(50) + 10**6, stream(length), stream(50) + 2 * 10**6])
    part = everything[50 : 50 + length]
    batches = Batches(part, block, sequences, seed)
    for step in (0, 1, 7, 1000):
        batch = batches.batch(step)
        assert batch.ids.shape == batch.targets.shape == (sequences, block)
        assert batch.ids.min() >= 0
        assert batch.targets.max() < length
        assert (batch.targets == batch.ids + 1).all()
        assert (np.diff(batch.ids, axis=1) == 1).all()


@settings(max_examples=60, deadline=None)
@given(size=SIZES, sequences=st.integers(1, 12), seed=st.integers(0, 1000), epoch=st.integers(0, 3))
def test_an_epoch_visits_every_window_exactly_once(
    size: tuple[int, int], sequences: int, seed: int, epoch: int
) -> None:
    length, block = size
    batches = Batches(stream(length), block, sequences, seed)
    first, end = epoch * batches.windows, (epoch + 1) * batches.windows
    starts = []
    for step in range(first // sequences, -(-end // sequences)):
        for place, row in enumerate(batches.batch(step).ids):
            if first <= step * sequences + place < end:
                starts.append(int(row[0]))
    assert len(starts) == batches.windows == len(set(starts))
    phase = min(starts)
    assert sorted(starts) == [phase + block * n for n in range(batches.windows)]
    # An epoch leaves out at most two windows of text.
    assert length - batches.windows * block <= 2 * block + 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), steps=st.lists(st.integers(0, 500), max_size=8))
def test_a_batch_depends_on_seed_and_step_alone(seed: int, steps: list[int]) -> None:
    again = Batches(stream(500), 16, 4, seed)
    for step in steps:
        fresh = Batches(stream(500), 16, 4, seed).batch(step)
        assert (again.batch(step).ids == fresh.ids).all()


@pytest.mark.parametrize(("sequences", "parts"), [(12, 1), (12, 3), (12, 4), (12, 12)])
def test_the_same_product_of_micro_batch_and_accumulation_sees_the_same_data(
    sequences: int, parts: int
) -> None:
    whole = Batches(stream(3000), 16, sequences, 5)
    smaller = Batches(stream(3000), 16, sequences // parts, 5)
    for step in range(20):
        pieces = [smaller.batch(step * parts + part).ids for part in range(parts)]
        assert (np.concatenate(pieces) == whole.batch(step).ids).all()


def test_each_epoch_has_its_own_order_and_phase() -> None:
    batches = Batches(stream(1000), 16, 1, 0)
    epochs = [
        [int(batches.batch(epoch * batches.windows + n).ids[0, 0]) for n in range(batches.windows)]
        for epoch in range(4)
    ]
    assert len({tuple(starts) for starts in epochs}) == 4
    assert len({min(starts) for starts in epochs}) > 1
    assert epochs[0] != sorted(epochs[0])


def test_another_seed_gives_another_order() -> None:
    one, two = Batches(stream(1000), 16, 8, 0), Batches(stream(1000), 16, 8, 1)
    assert (one.batch(0).ids != two.batch(0).ids).any()


def test_epochs_are_counted_in_windows() -> None:
    batches = Batches(stream(16 * 41 + 1), 16, 8, 0)
    assert batches.windows == 40
    starts = [int(ids[0]) for step in range(5) for ids in batches.batch(step).ids]
    assert len(set(starts)) == 40


def test_the_error_for_a_split_below_a_window_suggests_a_block_size() -> None:
    with pytest.raises(CorpusError, match="10 tokens.*need 17.*block_size to 5 or less"):
        Batches(stream(10), 16, 1, 0)
    assert Batches(stream(17), 16, 1, 0).batch(3).ids.shape == (1, 16)


@settings(max_examples=60, deadline=None)
@given(length=st.integers(2, 2000), block=st.integers(4, 64), most=st.integers(1, 40))
def test_fixed_windows_never_overlap_and_never_change(length: int, block: int, most: int) -> None:
    windows = fixed_windows(stream(length), block, most)
    again = fixed_windows(stream(length), block, most)
    assert (windows.ids == again.ids).all()
    assert (windows.targets == windows.ids + 1).all()
    assert windows.targets.max() < length
    targets = windows.targets.flatten()
    assert len(targets) == len(set(targets.tolist()))
    assert 1 <= len(windows.ids) <= most


def test_fixed_windows_are_spread_over_the_whole_split() -> None:
    starts = fixed_windows(stream(1601), 16, 5).ids[:, 0]
    assert starts[0] == 0
    assert starts[-1] == 1584
    assert max(np.diff(starts)) <= 400


def test_a_split_of_one_token_has_nothing_to_predict() -> None:
    with pytest.raises(CorpusError, match="nothing to predict"):
        fixed_windows(stream(1), 16, 5)
