"""Generation with recurrent models: in batches, without a window, on packed or spread weights."""

import pytest
import torch

from slm_tui.config.models.hgrn import HgrnModel
from slm_tui.config.models.hnet import HnetModel
from slm_tui.generation.engine import Continuation, Engine, spread_over_threads
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build
from tests import extent

BLOCK = 12
PROMPTS = ([1], [7, 8, 9, 10, 11], [200] * 17, [3, 1, 4, 1, 5, 9, 2, 6])
SETTINGS = SamplingSettings(temperature=1.0, max_tokens=40)
CONFIGS = [
    HgrnModel(n_layer=2, n_embd=16, block_size=BLOCK, conv_size=4),
    HnetModel(d_model=(16, 24), num_blocks=((1, 0, 1), (1,)), block_size=BLOCK),
    HnetModel(
        d_model=(16, 24, 32), num_blocks=((1, 0, 1), (1, 0, 1), (1,)), block_size=BLOCK, conv_size=4
    ),
]
each = pytest.mark.parametrize("config", CONFIGS, ids=lambda one: f"{one.kind}-{one.layers}")


def model_of(config: HgrnModel | HnetModel) -> LanguageModel:
    """In fp64, where no sum rounds to another 8-bit code in another order."""
    return build(config, 256, torch.device("cpu"), 3).double().eval()


def generated(
    model: LanguageModel, texts: list[Continuation], *, at_once: int = 8, cached: bool = True
) -> list[list[int]]:
    engine = Engine(model, texts, SETTINGS, None, at_once=at_once, cached=cached)
    while engine.step():
        pass
    return [text.ids for text in texts]


def texts() -> list[Continuation]:
    return [Continuation(list(prompt), seed) for seed, prompt in enumerate(PROMPTS)]


@extent.sample(2)
@each
def test_a_completion_depends_on_no_other_in_its_batch(config: HgrnModel | HnetModel) -> None:
    model = model_of(config)
    together = generated(model, texts())
    assert together == [generated(model, [text])[0] for text in texts()]
    # One has to wait for a place, and joins the others later.
    assert together == generated(model, texts(), at_once=3)
    assert together == generated(model, texts(), cached=False)
    assert all(len(ids) > BLOCK for ids in together)


@each
def test_a_continued_completion_equals_one_in_one_go(config: HgrnModel | HnetModel) -> None:
    model = model_of(config)
    whole = generated(model, texts())
    begun = [
        Continuation(ids[: len(prompt) + 15], seed, 15)
        for seed, (ids, prompt) in enumerate(zip(whole, PROMPTS, strict=True))
    ]
    continued = generated(model, begun)
    for before, after in zip(whole, continued, strict=True):
        assert after[: len(before)] == before


@each
def test_memory_stays_the_same_however_long_the_text(config: HgrnModel | HnetModel) -> None:
    model = model_of(config)
    engine = Engine(model, texts(), SETTINGS, None, at_once=4)
    sizes = set()
    for _ in range(3 * BLOCK):
        engine.step()
        sizes.add(engine._state.nbytes)
    assert len(sizes) == 1


@each
def test_products_shared_among_threads_give_the_same_text(config: HgrnModel | HnetModel) -> None:
    model = model_of(config)
    before = generated(model, texts()[1:2])
    spread_over_threads(model)
    torch.set_num_threads(2)
    assert generated(model, texts()[1:2]) == before
