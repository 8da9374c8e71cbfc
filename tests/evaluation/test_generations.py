"""UTF-8 validity of completions: strict, except for a character cut off by the length limit."""

import pytest
import torch

from slm_tui.corpus.tokenizers import Tokenizer, byte_tokenizer, train_bpe
from slm_tui.evaluation.generations import (
    USUAL_PROMPTS,
    as_text,
    generate,
    summary,
)
from slm_tui.evaluation.speed import measure, tensor_bytes
from slm_tui.generation.completions import Completion
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.models.build import build
from tests.conftest import make_tiny
from tests.generation.test_engine import Scripted

BYTES = byte_tokenizer()


def written(tokenizer: Tokenizer, ids: list[int], *, at_limit: bool = False) -> Completion:
    """The result for a model that generates `ids`, and then ends by itself or at the limit."""
    model = Scripted([*ids, tokenizer.end_of_text], tokenizer.n_vocab)
    settings = SamplingSettings(temperature=0.0, max_tokens=len(ids) + (not at_limit))
    (text,) = generate(model, tokenizer, ["x"], settings, 1, begin=True)
    return text


def judge(data: bytes) -> Completion:
    return written(BYTES, BYTES.encode_bytes(data))


@pytest.mark.parametrize(
    ("data", "at_limit", "is_valid", "valid", "invalid"),
    [
        (b"plain", False, True, 5, 0),
        ("grüße ☃ 🐈".encode(), False, True, 16, 0),
        ("\ufffd".encode(), False, True, 3, 0),
        # Cut off within a snowman: allowed only at the length limit.
        (b"a\xe2\x98", True, True, 1, 0),
        (b"a\xe2\x98", False, False, 1, 2),
        # An error before the end is always an error.
        (b"a\xffb", True, False, 2, 1),
        (b"a\xe2b\xe2\x98", True, False, 2, 1),
        (b"\xc0\x80", False, False, 0, 2),
        (b"\xed\xa0\x80", False, False, 0, 3),
        (b"", False, True, 0, 0),
    ],
)
def test_utf8_validity(
    data: bytes, at_limit: bool, is_valid: bool, valid: int, invalid: int
) -> None:
    result = written(BYTES, BYTES.encode_bytes(data), at_limit=at_limit)
    assert result.ended == ("max tokens" if at_limit else "end of text")
    assert (result.is_valid, result.valid_bytes, result.invalid_bytes) == (is_valid, valid, invalid)
    assert result.bytes == valid + invalid


def test_a_character_may_span_several_tokens() -> None:
    tokenizer = train_bpe(["plain text"] * 5, 260)
    ids = tokenizer.encode("🐈🐈")
    assert len(ids) == 8
    result = written(tokenizer, ids)
    assert result.is_valid
    assert result.text == "🐈🐈"


def test_the_summary_counts_texts_and_bytes() -> None:
    result = summary([judge(b"abcd"), judge(b"a\xff")], 2.0)
    assert result["utf8_validity"] == 0.5
    assert result["utf8_byte_validity"] == pytest.approx(5 / 6)
    assert result["bytes"] == {"mean": 3, "min": 2, "max": 4}
    assert result["ended_by_end_of_text"] == 2
    # A byte that never occurs in UTF-8 takes two tokens.
    assert result["tokens_per_second"] == 3.5
    assert summary([judge(b"")], 0.0)["utf8_byte_validity"] is None


def test_completions_are_reproducible_and_cycle_through_the_prompts() -> None:
    model = build(make_tiny().model, 256, torch.device("cpu"), 3)
    settings = SamplingSettings(max_tokens=6, seed=5)
    one, two = (
        generate(model, BYTES, USUAL_PROMPTS[:2], settings, 3, begin=True) for _ in range(2)
    )
    assert [each.text for each in one] == [each.text for each in two]
    assert [each.seed for each in one] == [5, 6, 7]
    assert [each.prompt for each in one] == [USUAL_PROMPTS[0], USUAL_PROMPTS[1], USUAL_PROMPTS[0]]
    written = as_text("a model", one)
    assert written.startswith("a model")
    assert written.count("--- sample") == 3


def test_speed_and_memory_of_a_real_model() -> None:
    model = build(make_tiny().model, 256, torch.device("cpu"), 3).eval()
    figures = measure(model, BYTES.end_of_text)
    assert figures["parameter_bytes"] == 4 * sum(one.numel() for one in model.parameters())
    # Keys and values of one layer: 16 tokens of 16 channels.
    assert figures["cache_bytes_per_text"] == 2 * 16 * 16 * 4
    assert figures["block_size"] / figures["forward_tokens_per_second"] == pytest.approx(
        figures["forward_ms"] / 1000
    )
    assert figures["generation_ms_per_token"] > 0
    assert tensor_bytes([torch.zeros(3), {"a": torch.zeros(2, dtype=torch.int64)}, "x"]) == 28
