"""What the chunks of a model begin with, over the documents that it is scored on."""

import pytest
import torch

from slm_tui.config.models.gpt import GptModel
from slm_tui.config.models.hnet import HnetModel
from slm_tui.corpus.tokenizers import byte_tokenizer, chars_tokenizer
from slm_tui.evaluation import chunking
from slm_tui.generation.chunks import chunks
from slm_tui.models.build import build
from tests.models.families import HNET_STAGES

CPU = torch.device("cpu")
DOCUMENTS = [b"Once upon a time.", "There was a café, and it was closed.".encode(), b""]


def nothing() -> None:
    """No check."""


@pytest.mark.parametrize("stages", HNET_STAGES, ids=["one stage", "two stages"])
def test_each_stage_is_counted_over_all_documents(stages: dict[str, object]) -> None:
    model = build(HnetModel.model_validate(stages), 256, CPU, 1).eval()
    results = chunking.measure(model, byte_tokenizer(), DOCUMENTS, nothing)
    assert len(results) == model.stages_that_cut
    for stage, result in enumerate(results):
        cuts = [chunks(model, list(one)) for one in DOCUMENTS[:2]]
        number = sum(int(one.begins[stage].sum()) for one in cuts if one is not None)
        assert result.chunks == number
        assert result.bytes_per_chunk == pytest.approx(sum(map(len, DOCUMENTS)) / number)
        shares = (result.words, result.punctuation, result.spaces, result.inside)
        assert sum(shares) + result.cut_characters == pytest.approx(1)


def test_a_limit_bounds_what_is_read() -> None:
    model = build(HnetModel.model_validate(HNET_STAGES[0]), 256, CPU, 1).eval()
    read = 0

    class Many(list[bytes]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            nonlocal read
            for one in list.__iter__(self):
                read += 1
                yield one

    (result,) = chunking.measure(model, byte_tokenizer(), Many([b"a b " * 2000] * 100), nothing)
    assert read == pytest.approx(100_000 / 4096, abs=2)
    assert result.bytes_per_chunk * result.chunks == pytest.approx(4096 * (read - 1), rel=0.01)


def test_models_that_cut_nothing_and_other_tokens_have_no_chunks() -> None:
    gpt = build(GptModel(n_layer=1, n_head=1, n_embd=8, block_size=8), 256, CPU, 1).eval()
    assert chunking.measure(gpt, byte_tokenizer(), DOCUMENTS, nothing) == []
    hnet = build(HnetModel.model_validate(HNET_STAGES[0]), 61, CPU, 1).eval()
    assert chunking.measure(hnet, chars_tokenizer("abc"), DOCUMENTS, nothing) == []
