"""Models that no class of transformers computes: the code beside the weights computes the same."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from slm_tui.cli import main
from slm_tui.config.models.gpt import GptModel
from slm_tui.config.models.hgrn import HgrnModel
from slm_tui.config.models.hnet import HnetModel
from slm_tui.config.models.settings import ModelSettings
from slm_tui.config.preset import Preset
from slm_tui.export import huggingface, importing, ternary
from slm_tui.runs import store
from tests import extent, limits
from tests.export import exported
from tests.models import families

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="pip install transformers")
pytestmark = pytest.mark.xdist_group("transformers")

Capture = pytest.CaptureFixture[str]
ROUNDED: dict[type[ModelSettings], dict[str, Any]] = {
    GptModel: {"ngram_order": 4, "ngram_rows": 97, "value_embeddings": True, "block_size": 96},
    HgrnModel: {"conv_size": 4, "lower_bound": True, "n_layer": 2, "n_embd": 16},
    HnetModel: {**families.HNET_STAGES[1], "conv_size": 4, "lower_bound": True, "expand_ratio": 2},
}
NEW_TOKENS = 64


def variants(family: type[ModelSettings]) -> list[ModelSettings]:
    """All settings of a family that need our code; those of a GPT have room for the texts."""
    some = [one for one in families.variants() if isinstance(one, family)]
    if family is not GptModel:
        return some
    few = some[-len(families.GPT_EMBEDDINGS) :]
    return [one.model_copy(update={"block_size": 96}) for one in few]


def made(preset: Preset, where: Path) -> tuple[Any, Any]:
    """Our model and that of the library, both from the same checkpoint."""
    source = exported.saved(preset, where / "checkpoints")
    huggingface.export(source, where / "it")
    return exported.opened(source)[0], loaded(where / "it")


def rounded(family: type[ModelSettings]) -> Preset:
    """A small model with the settings of `ROUNDED`, in one of each family."""
    return exported.with_settings(family.model_validate(ROUNDED[family]))


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
        assert float((theirs(ids).logits - logits).abs().max()) <= 1e-5
    # In fp64, where a difference of the last digit rounds no activation to another whole number.
    ours, theirs = ours.double(), theirs.double()
    assert float((theirs(ids).logits - ours(ids)).abs().max()) <= 1e-11
    prompts = ids[:, :8]
    options = {"attention_mask": torch.ones_like(prompts)}
    expected = [exported.greedy(ours, row.tolist(), NEW_TOKENS) for row in prompts]
    assert theirs.generate(prompts, **options)[:, 8:].tolist() == expected
    assert theirs.generate(prompts, use_cache=False, **options)[:, 8:].tolist() == expected


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("family", [HgrnModel, HnetModel])
@extent.sample(4)
def test_every_recurrent_variant_computes_the_same(
    family: type[ModelSettings], number: int, tmp_path: Path
) -> None:
    check(exported.with_settings(variants(family)[number]), tmp_path)


@pytest.mark.parametrize("config", variants(GptModel), ids=families.named)
@extent.sample(2)
def test_embeddings_beside_those_of_tokens_compute_the_same(
    config: ModelSettings, tmp_path: Path
) -> None:
    check(exported.with_settings(config), tmp_path)


@pytest.mark.parametrize("name", exported.presets_of(HgrnModel, HnetModel))
@extent.sample(2)
def test_every_recurrent_preset_computes_the_same(name: str, tmp_path: Path) -> None:
    check(exported.small(name), tmp_path)


@pytest.mark.parametrize("family", ROUNDED)
@torch.no_grad()
def test_padding_changes_nothing_and_beams_keep_their_state(
    family: type[ModelSettings], tmp_path: Path
) -> None:
    theirs = made(rounded(family), tmp_path)[1].double()
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


@pytest.mark.parametrize("family", ROUNDED)
@torch.no_grad()
def test_what_the_library_saves_again_computes_the_same(
    family: type[ModelSettings], tmp_path: Path
) -> None:
    theirs = made(rounded(family), tmp_path)[1]
    theirs.save_pretrained(tmp_path / "again")
    code = {path.name for path in (tmp_path / "it").glob("*.py")}
    assert {path.name for path in (tmp_path / "again").glob("*.py")} == code
    again = loaded(tmp_path / "again")
    assert torch.equal(again(some_ids(2, 30)).logits, theirs(some_ids(2, 30)).logits)


@pytest.mark.parametrize("family", ROUNDED)
def test_it_can_be_trained_further(family: type[ModelSettings], tmp_path: Path) -> None:
    theirs = made(rounded(family), tmp_path)[1].train()
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


def test_an_exported_gpt_is_imported_again(tmp_path: Path) -> None:
    source = exported.saved(rounded(GptModel), tmp_path / "checkpoints")
    huggingface.export(source, tmp_path / "it")
    run = importing.import_model(str(tmp_path / "it")).run
    ours, again = exported.opened(source)[0], exported.opened(store.checkpoint_of(run))[0]
    assert torch.equal(again(some_ids(2, 30)), ours(some_ids(2, 30)))


def test_weights_in_two_bits_become_those_that_round_to_them(tmp_path: Path) -> None:
    source = exported.saved(rounded(HgrnModel), tmp_path / "checkpoints")
    ternary.export(source, tmp_path / "packed")
    packed = store.find_checkpoint(str(tmp_path / "packed"))
    huggingface.export(packed, tmp_path / "it")
    ours, theirs = exported.opened(packed)[0].double(), loaded(tmp_path / "it").double()
    with torch.no_grad():
        apart = theirs(some_ids(2, 30)).logits - ours(some_ids(2, 30))
    assert float(apart.abs().max()) <= 1e-5


PIPELINE = """
import json, sys, torch, transformers
for path in sys.argv[1:]:
    writer = transformers.pipeline(
        "text-generation", path, trust_remote_code=True, dtype=torch.float64
    )
    options = {"do_sample": False, "max_new_tokens": 24, "max_length": None, "eos_token_id": -1}
    (text,) = writer("Once", return_tensors=True, **options)
    print(json.dumps(text["generated_token_ids"][-24:]))
assert "slm_tui" not in sys.modules
"""


def test_a_pipeline_in_another_process_writes_the_same(tmp_path: Path, capsys: Capture) -> None:
    expected, targets = [], []
    for family in ROUNDED:
        source = exported.saved(rounded(family), tmp_path / family.__name__)
        targets.append(str(tmp_path / f"{family.__name__}-it"))
        assert main(["export", str(source), "--format", "huggingface", targets[-1]]) == 0
        assert "trust_remote_code=True" in capsys.readouterr().out
        ours, tokenizer = exported.opened(source)
        start = [tokenizer.end_of_text, *tokenizer.encode("Once")]
        expected.append(exported.greedy(ours.double(), start, 24))
    card = (Path(targets[-1]) / "README.md").read_text(encoding="utf-8")
    assert "rounded to -1, 0 and 1 when used" in card
    assert "reads texts of any length" in card
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    command = [sys.executable, "-c", PIPELINE, *targets]
    result = limits.run(command, env=env, capture_output=True, text=True, cwd=tmp_path)
    assert [json.loads(line) for line in result.stdout.splitlines()] == expected, result.stderr
