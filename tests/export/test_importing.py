"""Models of transformers as runs: they compute the same, and are used like any other."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from slm_tui.cli import main
from slm_tui.export import huggingface, importing
from slm_tui.generation.completions import prompt_ids
from slm_tui.runs import store
from slm_tui.training import checkpoint
from tests import extent
from tests.export import exported
from tests.export.blocks import BLOCKS, HOSTILE, OWN

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="pip install transformers")
from tests.export import foreign  # noqa: E402 - needs transformers

pytestmark = pytest.mark.xdist_group("transformers")
Capture = pytest.CaptureFixture[str]


def opened(run: store.Run) -> tuple[Any, Any]:
    return exported.opened(store.checkpoint_of(run))


@pytest.mark.parametrize("name", foreign.MODELS)
@extent.sample(4)
@torch.no_grad()
def test_an_imported_model_computes_the_same_both_ways(name: str, tmp_path: Path) -> None:
    theirs = foreign.saved(name, tmp_path / "model")
    result = importing.import_model(str(tmp_path / "model"))
    ours, tokenizer = opened(result.run)
    n_vocab = theirs.config.vocab_size
    ids = torch.randint(n_vocab, (2, 90), generator=torch.Generator().manual_seed(3))
    logits = theirs(ids).logits
    assert 0.3 < float(logits.std()) < 1.5
    assert float((ours(ids) - logits).abs().max()) <= 1e-5
    assert result.parameters == result.run.preset().model.parameters(n_vocab)[0]
    assert exported.greedy(ours, [5, 6], 60) == [
        int(row.argmax()) for row in theirs(_grown(ours)).logits[0, 1:-1]
    ]
    # And out again, by the class that it came from or one that computes the same.
    huggingface.export(store.checkpoint_of(result.run), tmp_path / "again")
    own = (tmp_path / "again" / "modeling_slm_tui.py").exists()
    again = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "again", trust_remote_code=own
    )
    assert float((again(ids).logits - logits).abs().max()) <= 1e-5
    second = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    assert second("Once upon").input_ids == prompt_ids(
        tokenizer, "Once upon", begin=name.startswith("Llama")
    )


def _grown(ours: Any) -> torch.Tensor:
    return torch.tensor([[5, 6, *exported.greedy(ours, [5, 6], 60)]])


@pytest.mark.parametrize("kind", ["bytes", "bpe", "gpt2", "chars"])
@extent.sample(3)
def test_its_tokenizer_gives_the_same_ids(kind: str, tmp_path: Path) -> None:
    foreign.saved("Llama", tmp_path / "model", kind)
    _, tokenizer = opened(importing.import_model(str(tmp_path / "model")).run)
    ours = exported.tokenizer_of(kind)
    for text in HOSTILE:
        ids = tokenizer.encode(text)
        assert ids == ours.encode(text)
        assert tokenizer.decode_bytes(ids) == text.encode()
        assert tokenizer.encode_bytes(text.encode()) == ids
    assert tokenizer.end_of_text == ours.end_of_text
    assert tokenizer.encode("a\ud800") == tokenizer.encode("a\ufffd")
    data = tokenizer.decode_bytes(tokenizer.encode_bytes(b"a\x80b"))
    assert data == (b"a\x80b")


def test_an_imported_model_is_used_like_any_run(tmp_path: Path, capsys: Capture) -> None:
    foreign.saved("Qwen3", tmp_path / "My model")
    text = tmp_path / "text.txt"
    text.write_text("Once upon a time there was a cat.\n\n" * 60)
    assert main(["import", str(tmp_path / "My model"), "--context", "40"]) == 0
    output = capsys.readouterr().out
    assert "imported Qwen3 as My-model-" in output
    assert "its context is cut from 96 to 40 tokens" in output
    run = store.find("My-model")
    assert f"slm-tui train --from {run.id} --text FILE" in output
    assert main(["generate", run.id, "--prompt", "Once", "--max-tokens", "50"]) == 0
    command = ["evaluate", run.id, "--text", str(text), "--samples", "1"]
    capsys.readouterr()
    assert main([*command, "--documents", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["bits_per_byte"] > 0
    assert main(["runs", "show", run.id]) == 0
    assert main(["train", "--resume", run.id, "--steps", "2"]) == 1
    assert "was imported without optimizer state" in capsys.readouterr().err
    small = ["training.max_steps=4", "training.micro_batch=2", "training.threads=1"]
    settings = [word for one in small for word in ("--set", one)]
    fork = ["train", "--from", run.id, "--text", str(text), "--name", "fork", *settings]
    assert main(fork) == 0
    before, after = store.find("My-model"), store.find("fork")
    assert opened(after)[1].fingerprint == opened(before)[1].fingerprint
    assert after.info().step == 4
    assert main(["export", after.id, str(tmp_path / "it.gguf"), "--format", "gguf"]) == 1
    assert "tokenizers of imported models only by their names" in capsys.readouterr().err


@pytest.mark.parametrize("model", [BLOCKS["own"], OWN["gpt"]])
def test_our_own_export_comes_back(model: dict[str, Any], tmp_path: Path) -> None:
    source = exported.saved(exported.with_model(**model), tmp_path / "checkpoints")
    huggingface.export(source, tmp_path / "it")
    ours, _ = exported.opened(source)
    again, _ = opened(importing.import_model(str(tmp_path / "it")).run)
    ids = torch.arange(60)[None]
    with torch.no_grad():
        assert torch.equal(ours(ids), again(ids))


def test_weights_in_parts_and_in_bf16_are_read(tmp_path: Path) -> None:
    theirs = foreign.saved("Llama", tmp_path / "model").to(torch.bfloat16)
    (tmp_path / "model" / "model.safetensors").unlink()
    theirs.save_pretrained(tmp_path / "model", max_shard_size="20KB")
    assert len(list((tmp_path / "model").glob("*.safetensors"))) > 1
    run = importing.import_model(str(tmp_path / "model"), "parts").run
    weights = checkpoint.read(store.checkpoint_of(run)).weights()
    head = theirs.state_dict()["lm_head.weight"].float()
    assert torch.equal(weights["head.weight"], head)
    assert run.info().name == "parts"
