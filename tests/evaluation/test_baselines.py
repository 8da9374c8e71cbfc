"""Baselines, against values that can be computed by hand."""

import math
import random

import numpy as np
import pytest

from slm_tui.evaluation import baselines
from slm_tui.evaluation.baselines import ByteCounts, byte_nats, joined, lzma_bits_per_byte


def bits(chances: np.ndarray, document: bytes) -> list[float]:
    return [float(n) / math.log(2) for _, part in byte_nats(chances, document) for n in part]


def test_the_unigram_uses_krichevsky_trofimov_smoothing() -> None:
    chances = ByteCounts.of([b"aab", b"a"]).unigram()
    assert chances.sum() == pytest.approx(1)
    assert chances[ord("a")] == pytest.approx(3.5 / 132)
    assert chances[ord("z")] == pytest.approx(0.5 / 132)
    assert bits(chances, b"az") == pytest.approx([-math.log2(3.5 / 132), -math.log2(0.5 / 132)])


def test_the_bigram_uses_witten_bell_smoothing() -> None:
    counts = ByteCounts.of([b"abac", b"ab"])
    one, two = counts.unigram(), counts.bigram()
    np.testing.assert_allclose(two.sum(1), 1)
    # After a: b twice and c once, two kinds. At the start: a twice, one kind.
    assert two[ord("a"), ord("b")] == pytest.approx((2 + 2 * one[ord("b")]) / 5)
    assert two[ord("a"), ord("z")] == pytest.approx(2 * one[ord("z")] / 5)
    assert two[256, ord("a")] == pytest.approx((2 + one[ord("a")]) / 3)
    # After a byte that was never seen, the unigram.
    np.testing.assert_allclose(two[ord("q")], one)
    expected = [-math.log2(two[256, ord("a")]), -math.log2(two[ord("a"), ord("b")])]
    assert bits(two, b"ab") == pytest.approx(expected)


def test_no_byte_is_impossible() -> None:
    counts = ByteCounts.of([b"only these"])
    for chances in (counts.unigram(), counts.bigram()):
        assert all(math.isfinite(one) for one in bits(chances, bytes(range(256))))
    assert bits(ByteCounts.of([]).unigram(), b"ab") == pytest.approx([8, 8])


def test_a_document_in_pieces_scores_like_one(monkeypatch: pytest.MonkeyPatch) -> None:
    document = b"the cat and the dog and the cow"
    whole = ByteCounts.of([document])
    costs = bits(whole.bigram(), document)
    monkeypatch.setattr(baselines, "_PIECE", 4)
    np.testing.assert_array_equal(ByteCounts.of([document]).pairs, whole.pairs)
    assert bits(whole.bigram(), document) == pytest.approx(costs)
    assert [at for at, _ in byte_nats(whole.bigram(), document)] == list(range(0, 31, 4))


def test_the_compressor_knows_only_the_training_text() -> None:
    noise = random.Random(1).randbytes(20_000)
    assert lzma_bits_per_byte([noise], []) == pytest.approx(8.0, abs=0.1)
    assert lzma_bits_per_byte([noise], [noise]) < 0.3
    other = random.Random(2).randbytes(20_000)
    assert lzma_bits_per_byte([noise], [other]) == pytest.approx(8.0, abs=0.1)
    assert math.isnan(lzma_bits_per_byte([], [noise]))


def test_compressed_text_is_truncated() -> None:
    assert joined([b"abc", b"", b"def", b"ghi"], 5) == b"abcde"
