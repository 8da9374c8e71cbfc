"""Exact scores of whole splits, against a reference that scores one target at a time."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from slm_tui.corpus.tokenizers import Tokenizer, byte_tokenizer, train_bpe
from slm_tui.evaluation.metrics import Scores, Units, score
from slm_tui.evaluation.scored_text import ScoredText
from slm_tui.evaluation.windows import windows
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build
from tests.conftest import make_tiny

CPU = torch.device("cpu")
TEXTS = [
    "",
    "a",
    "Once upon a time there was a cat.",
    "Tom, Ann and a dog " * 9,
    "grüße ☃ 🐈 " * 12,
    "x" * 200,
]
DOCUMENTS = [text.encode() for text in TEXTS]


def small(n_vocab: int, block_size: int = 16, seed: int = 1) -> LanguageModel:
    preset = make_tiny(model__block_size=block_size)
    model = build(preset.model, n_vocab, CPU, seed)
    with torch.no_grad():
        # Untrained logits are nearly equal: these differ, so that mistakes show.
        for parameter in model.parameters():
            parameter.mul_(8)
    return model.eval()


def tokenizers() -> list[Tokenizer]:
    return [byte_tokenizer(), train_bpe(TEXTS * 3, 300)]


def text_of(documents: Sequence[bytes] = DOCUMENTS, *, is_open: bool = False) -> ScoredText:
    return ScoredText("a text", list(documents), len(documents), is_open=is_open)


@torch.inference_mode()
def reference(
    model: LanguageModel, tokenizer: Tokenizer, data: bytes, block: int, stride: int
) -> list[tuple[int, float, int]]:
    """(id, nats, rank) of each target, one forward pass per target, the window computed by hand."""
    end = tokenizer.end_of_text
    ids = [end, *tokenizer.encode_bytes(data), end]
    result = []
    for at in range(1, len(ids)):
        start = 0
        if at > block:
            start = -(-(at - block) // stride) * stride
        logits = model(torch.tensor([ids[start:at]]))[0, -1].double()
        nats = -F.log_softmax(logits, 0)[ids[at]]
        result.append((ids[at], float(nats), int((logits > logits[ids[at]]).sum())))
    return result


@pytest.mark.parametrize("tokenizer", tokenizers(), ids=lambda one: one.kind)
@pytest.mark.parametrize("stride", [1, 5, 8, 16])
def test_sums_equal_those_of_scoring_one_target_at_a_time(
    tokenizer: Tokenizer, stride: int
) -> None:
    model, text = small(tokenizer.n_vocab), text_of()
    scores = score(
        model, tokenizer, text.encoded(tokenizer), Units.documents(len(TEXTS)), stride=stride
    )
    for number, data in enumerate(DOCUMENTS):
        expected = reference(model, tokenizer, data, 16, stride)
        end = tokenizer.end_of_text
        assert scores.tokens[number] == len(expected)
        assert scores.bytes[number] == len(data)
        assert scores.nats[number] == pytest.approx(sum(n for _, n, _ in expected), rel=1e-5)
        in_text = sum(n for id, n, _ in expected if id != end)
        assert scores.text_nats[number] == pytest.approx(in_text, rel=1e-5, abs=1e-9)
        assert scores.hits[number] == sum(rank == 0 for _, _, rank in expected)
        assert scores.hits5[number] == sum(rank < 5 for _, _, rank in expected)
    assert scores.nats.dtype == np.float64
    bits = scores.text_nats.sum() / math.log(2) / sum(map(len, DOCUMENTS))
    assert scores.bits_per_byte == pytest.approx(bits, rel=1e-12)
    assert scores.perplexity == pytest.approx(math.exp(scores.nats.sum() / scores.tokens.sum()))


@pytest.mark.parametrize("sequences", [1, 3, 64])
def test_the_batch_size_changes_nothing(sequences: int) -> None:
    tokenizer = byte_tokenizer()
    model, encoded = small(256), text_of().encoded(tokenizer)
    units = Units.documents(len(TEXTS))
    one = score(model, tokenizer, encoded, units, sequences=2)
    other = score(model, tokenizer, encoded, units, sequences=sequences)
    np.testing.assert_allclose(one.nats, other.nats, rtol=1e-6)
    np.testing.assert_array_equal(one.hits, other.hits)
    np.testing.assert_array_equal(one.tokens, other.tokens)


def test_blocks_add_up_to_the_whole_and_have_their_own_bytes() -> None:
    tokenizer, model = byte_tokenizer(), small(256)
    encoded = text_of().encoded(tokenizer)
    units = Units.cut([len(one) for one in DOCUMENTS], 50)
    scores = score(model, tokenizer, encoded, units)
    whole = score(model, tokenizer, encoded, Units.documents(len(TEXTS)))
    assert len(units) > len(TEXTS)
    assert scores.bytes.sum() == sum(map(len, DOCUMENTS))
    assert set(scores.bytes[-4:]) == {50}
    assert scores.nats.sum() == pytest.approx(whole.nats.sum())


def test_long_documents_score_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    from slm_tui.evaluation import windows as module

    tokenizer, model = byte_tokenizer(), small(256)
    encoded, units = text_of().encoded(tokenizer), Units.documents(len(TEXTS))
    for context in (None, 12):
        whole = score(model, tokenizer, encoded, units, stride=1, context_bytes=context)
        with monkeypatch.context() as patch:
            patch.setattr(module, "_CHUNK", 7)
            pieces = score(model, tokenizer, encoded, units, stride=1, context_bytes=context)
        np.testing.assert_allclose(whole.nats, pieces.nats, rtol=1e-6)
        np.testing.assert_array_equal(whole.bytes, pieces.bytes)


@pytest.mark.parametrize("context", [2, 7, 16, 40, 1000])
@pytest.mark.parametrize("tokenizer", tokenizers(), ids=lambda one: one.kind)
def test_windows_in_bytes_score_each_target_once_with_enough_context(
    tokenizer: Tokenizer, context: int
) -> None:
    lengths = tokenizer.byte_lengths().astype(np.int64)
    encoded = text_of().encoded(tokenizer)
    for number in range(len(TEXTS)):
        ids = encoded[number]
        scored: list[int] = []
        for window in windows(ids, lengths, 4096, 2048, context):
            sizes = lengths[window.ids]
            first = int(window.starts[0]) - int(sizes[: window.scored].sum())
            targets = window.ids[window.scored :]
            scored += targets.tolist()
            for place, start in enumerate(window.starts.tolist()):
                before = start - first
                # From the first byte on; or less than the full context, and half of it except
                # for a token across the border.
                longest = int(lengths.max())
                assert first == 0 or before >= min(start, context // 2 - longest)
                assert before < max(context, 1 + longest) or first == 0
                assert window.ids[window.scored + place] == targets[place]
        assert scored == ids[1:].tolist()


def test_two_tokenizers_score_the_same_bytes_in_the_same_blocks() -> None:
    units = Units.cut([len(one) for one in DOCUMENTS], 64)
    result = [
        score(small(one.n_vocab), one, text_of().encoded(one), units, context_bytes=20)
        for one in tokenizers()
    ]
    assert result[0].bytes.sum() == result[1].bytes.sum() == sum(map(len, DOCUMENTS))
    # A token across the border of a block belongs to the block where it begins.
    longest = int(tokenizers()[1].byte_lengths().max())
    assert abs(result[0].bytes - result[1].bytes).max() <= 2 * longest


def test_end_of_text_is_a_target_unless_the_text_was_truncated() -> None:
    tokenizer, model = byte_tokenizer(), small(256)
    units = Units.documents(len(TEXTS))
    closed = score(model, tokenizer, text_of().encoded(tokenizer), units)
    opened = score(model, tokenizer, text_of(is_open=True).encoded(tokenizer), units)
    assert closed.tokens.sum() == opened.tokens.sum() + 1
    assert closed.bytes.sum() == opened.bytes.sum()


def test_a_uniform_model_is_right_only_by_chance() -> None:
    tokenizer, model = byte_tokenizer(), small(256)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    scores = score(model, tokenizer, text_of().encoded(tokenizer), Units.documents(len(TEXTS)))
    assert scores.bits_per_byte == pytest.approx(8.0)
    assert scores.accuracy == 0.0


def test_a_broken_model_has_no_hits_and_a_nan_loss() -> None:
    tokenizer, model = byte_tokenizer(), small(256)
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    scores = score(model, tokenizer, text_of().encoded(tokenizer), Units.documents(len(TEXTS)))
    assert math.isnan(scores.loss)
    assert scores.hits5.sum() == 0


def test_bytes_that_are_not_utf8_are_all_counted() -> None:
    data = [b"\xfe\xff\xc0\x80 and text \xe2\x98", bytes(range(256))]
    for tokenizer in tokenizers():
        scores = score(
            small(tokenizer.n_vocab),
            tokenizer,
            text_of(data).encoded(tokenizer),
            Units.documents(2),
        )
        assert scores.bytes.tolist() == [len(one) for one in data]


def test_scoring_can_be_stopped() -> None:
    class Enough(Exception):  # noqa: N818
        pass

    def step(done: float) -> None:
        raise Enough

    tokenizer, model = byte_tokenizer(), small(256).train()
    with pytest.raises(Enough):
        score(model, tokenizer, text_of().encoded(tokenizer), Units.documents(6), step=step)
    assert model.training


def test_no_targets_give_no_loss() -> None:
    assert math.isnan(Scores.empty(3).loss)
    assert math.isnan(Scores.empty(3).bits_per_byte)
