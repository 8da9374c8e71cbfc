"""Models that no class of transformers computes: the code beside the weights computes the same."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from slm_tui.config.models.hgrn import HgrnModel
from slm_tui.config.models.hnet import HnetModel
from slm_tui.config.preset import Preset
from slm_tui.export import huggingface, ternary
from slm_tui.runs import store
from tests import extent
from tests.export import exported
from tests.export.blocks import OWN
from tests.models import families

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="pip install transformers")
pytestmark = pytest.mark.xdist_group("transformers")

NEW_TOKENS = 64


GPT: dict[str, Any] = {"kind": "gpt", "n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 96}
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "hgrn": families.HGRN_SWITCHES,
    "hnet": list(families.facts_of(HnetModel).variants),
}


def made(preset: Preset, where: Path) -> tuple[Any, Any]:
    """Our model and that of the library, both from the same checkpoint."""
    source = exported.saved(preset, where / "checkpoints")
    huggingface.export(source, where / "it")
    return exported.opened(source)[0], loaded(where / "it")


def loaded(path: Path) -> Any:
    theirs = transformers.AutoModelForCausalLM.from_pretrained(path, trust_remote_code=True)
    # Without end-of-text, with which texts of random weights soon end.
    theirs.config.eos_token_id = None
    theirs.generation_config = transformers.GenerationConfig(
        max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0
    )
    return theirs.eval()


def some_ids(*shape: int) -> torch.Tensor:
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def check(preset: Preset, where: Path) -> None:
    ours, theirs = made(preset, where)
    ids = some_ids(2, 48)
    logits = ours(ids)
    assert 0.3 < float(logits.std()) < 1.5
    if not preset.model.is_ternary:
        # The logits of an H-Net in fp32 and in fp64 are 1e-5 apart.
        bound = 3e-5 if preset.model.kind == "hnet" else 1e-5
        assert float((theirs(ids).logits - logits).abs().max()) <= bound
    # In fp64, where a difference of the last digit rounds no activation to another whole number.
    ours, theirs = ours.double(), theirs.double()
    assert float((theirs(ids).logits - ours(ids)).abs().max()) <= 1e-11
    prompts = ids[:, :8]
    options = {"attention_mask": torch.ones_like(prompts)}
    written = theirs.generate(prompts, **options)
    assert written.shape == (2, 8 + NEW_TOKENS)
    assert torch.equal(ours(written).argmax(2)[:, 7:-1], written[:, 8:])
    assert torch.equal(theirs.generate(prompts, use_cache=False, **options), written)


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("kind", VARIANTS)
@extent.sample(2)
def test_every_recurrent_variant_computes_the_same(kind: str, number: int, tmp_path: Path) -> None:
    size = {"n_layer": 2, "n_embd": 16} if kind == "hgrn" else {}
    check(exported.of({"kind": kind, **size, **VARIANTS[kind][number]}), tmp_path)


@pytest.mark.parametrize("number", range(len(families.GPT_EMBEDDINGS)))
@extent.sample(2)
def test_embeddings_beside_those_of_tokens_compute_the_same(number: int, tmp_path: Path) -> None:
    check(exported.of({**GPT, **families.GPT_EMBEDDINGS[number]}), tmp_path)


@pytest.mark.parametrize("name", exported.presets_of(HgrnModel, HnetModel))
@extent.sample(1)
def test_every_recurrent_preset_computes_the_same(name: str, tmp_path: Path) -> None:
    check(exported.small(name), tmp_path)


@pytest.mark.parametrize("kind", OWN)
@torch.no_grad()
def test_padding_changes_nothing_and_beams_keep_their_state(kind: str, tmp_path: Path) -> None:
    theirs = made(exported.own(kind), tmp_path)[1].double()
    ids = some_ids(3, 12)
    mask = torch.ones_like(ids)
    mask[0, :7], mask[1, :1] = 0, 0
    alone = [
        theirs.generate(row[None, keep], max_new_tokens=20)[0, -20:]
        for row, keep in zip(ids, mask.bool(), strict=True)
    ]
    together = theirs.generate(ids, attention_mask=mask, max_new_tokens=20)[:, -20:]
    assert together.tolist() == torch.stack(alone).tolist()
    # Padding at the end, and no positions given.
    right = torch.tensor([[1] * 9 + [0] * 3] * 3)
    apart = theirs(ids, attention_mask=right).logits[:, :9] - theirs(ids[:, :9]).logits
    assert float(apart.abs().max()) <= 1e-11
    beams = {"num_beams": 3, "max_new_tokens": 8, "attention_mask": mask}
    assert torch.equal(
        theirs.generate(ids, **beams), theirs.generate(ids, use_cache=False, **beams)
    )


@pytest.mark.parametrize("kind", OWN)
@torch.no_grad()
def test_a_cache_is_continued(kind: str, tmp_path: Path) -> None:
    theirs = made(exported.own(kind), tmp_path)[1].double()
    options = {"max_new_tokens": 8, "return_dict_in_generate": True}
    first = theirs.generate(some_ids(1, 10), **options)
    longer = torch.cat((first.sequences, some_ids(1, 5)), 1)
    fields = ("cache", "past_key_values")
    cache = {name: first[name] for name in fields if name in first}
    expected = theirs.generate(longer, max_new_tokens=8)
    assert torch.equal(theirs.generate(longer, max_new_tokens=8, **cache), expected)


def test_what_is_not_supported_is_refused(tmp_path: Path) -> None:
    gpt = made(exported.own("gpt"), tmp_path)[1]
    with pytest.raises(ValueError, match="static caches are not supported"):
        gpt.generate(some_ids(1, 4), cache_implementation="static")
    with pytest.raises(ValueError, match="needs input_ids"):
        gpt(inputs_embeds=torch.zeros(1, 4, 128))


@pytest.mark.parametrize("kind", OWN)
@torch.no_grad()
def test_what_the_library_saves_again_computes_the_same(kind: str, tmp_path: Path) -> None:
    theirs = made(exported.own(kind), tmp_path)[1]
    theirs.save_pretrained(tmp_path / "again")
    code = {path.name for path in (tmp_path / "it").glob("*.py")}
    assert {path.name for path in (tmp_path / "again").glob("*.py")} == code
    again = loaded(tmp_path / "again")
    assert torch.equal(again(some_ids(2, 30)).logits, theirs(some_ids(2, 30)).logits)


@pytest.mark.parametrize("kind", OWN)
def test_it_can_be_trained_further(kind: str, tmp_path: Path) -> None:
    theirs = made(exported.own(kind), tmp_path)[1].train()
    ids = some_ids(2, 20)
    optimizer = torch.optim.AdamW(theirs.parameters(), 1e-2)
    losses = []
    for _ in range(8):
        loss = theirs(ids, labels=ids).loss
        losses.append(float(loss))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0] - 0.5


def test_weights_in_two_bits_become_those_that_round_to_them(tmp_path: Path) -> None:
    source = exported.saved(exported.own("hgrn"), tmp_path / "checkpoints")
    ternary.export(source, tmp_path / "packed")
    packed = store.find_checkpoint(str(tmp_path / "packed"))
    huggingface.export(packed, tmp_path / "it")
    ours, theirs = exported.opened(packed)[0].double(), loaded(tmp_path / "it").double()
    with torch.no_grad():
        apart = theirs(some_ids(2, 30)).logits - ours(some_ids(2, 30))
    assert float(apart.abs().max()) <= 1e-5
