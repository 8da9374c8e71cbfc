"""Chunks of a text: where a model cuts, and what its chunks begin with."""

import numpy as np
import pytest
import torch

from slm_tui.config.models.gpt import GptModel
from slm_tui.config.models.hnet import HnetModel
from slm_tui.generation.chunks import chunk_starts, chunks
from slm_tui.models.build import build
from tests.models.families import HNET_STAGES

CPU = torch.device("cpu")
TEXT = list("Once upon a time there was a café.".encode())


@pytest.mark.parametrize("stages", HNET_STAGES, ids=["one stage", "two stages"])
def test_each_stage_sees_the_chunks_of_the_one_around_it(stages: dict[str, object]) -> None:
    model = build(HnetModel.model_validate(stages), 256, CPU, 1).eval()
    cut = chunks(model, TEXT)
    assert cut is not None
    assert cut.probability.shape == (model.stages_that_cut, len(TEXT))
    assert not np.isnan(cut.probability[0]).any()
    seen = np.ones(len(TEXT), bool)
    for stage in range(cut.stages):
        assert np.array_equal(~np.isnan(cut.probability[stage]), seen)
        assert cut.begins[stage, 0]
        seen = cut.begins[stage]
        assert cut.length(stage) == len(TEXT) / seen.sum()
        assert cut.number(stage)[-1] == seen.sum()


def test_chunks_do_not_depend_on_what_follows() -> None:
    model = build(HnetModel.model_validate(HNET_STAGES[1]), 256, CPU, 1).eval()
    whole, part = chunks(model, TEXT), chunks(model, TEXT[:20])
    assert whole is not None
    assert part is not None
    np.testing.assert_allclose(whole.probability[:, :20], part.probability, atol=1e-5)


def test_texts_of_a_batch_keep_their_boundaries() -> None:
    model = build(HnetModel.model_validate(HNET_STAGES[1]), 256, CPU, 1).eval()
    ids = torch.tensor([TEXT, TEXT[::-1]])
    with torch.no_grad():
        together = model.boundaries(ids)
        alone = [model.boundaries(ids[row : row + 1]) for row in range(2)]
    for stage, both in enumerate(together):
        for row in range(2):
            torch.testing.assert_close(both[row], alone[row][stage][0], equal_nan=True)


def test_other_models_and_empty_texts_have_no_chunks() -> None:
    gpt = build(GptModel(n_layer=1, n_head=1, n_embd=8, block_size=8), 256, CPU, 1).eval()
    assert chunks(gpt, TEXT) is None
    hnet = build(HnetModel.model_validate(HNET_STAGES[0]), 256, CPU, 1).eval()
    assert chunks(hnet, []) is None


def test_the_starts_of_chunks_are_counted_by_kind() -> None:
    text = "|Once| upon |a t|ime|,|  yes. |N|o c|af|\xe9|s"
    begins, raw = [], b""
    for part in text.split("|")[1:]:
        begins += [True] + [False] * (len(part.encode()) - 1)
        raw += part.encode()
    # One more, inside the two bytes of é.
    begins[raw.index(b"\xc3") + 1] = True
    result = chunk_starts([raw], [np.array(begins)])
    assert result.chunks == 12
    assert result.bytes_per_chunk == pytest.approx(len(raw) / 12)
    # Of the eleven after the first: " upon ", "a t", "N"; ","; "  yes. "; the rest inside a word.
    assert result.words == pytest.approx(3 / 11)
    assert result.punctuation == pytest.approx(1 / 11)
    assert result.spaces == pytest.approx(1 / 11)
    assert result.cut_characters == pytest.approx(1 / 11)
    assert result.inside == pytest.approx(5 / 11)


def test_no_chunks_have_no_shares() -> None:
    result = chunk_starts([], [])
    assert (result.chunks, result.bytes_per_chunk, result.words) == (0, 0, 0)
