"""A directory for transformers: loaded by the library itself, it computes the same."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slm_tui.cli import main
from slm_tui.config.models.gpt import GptModel
from slm_tui.config.preset import Preset
from slm_tui.export import architectures, huggingface
from slm_tui.live.session import Session
from slm_tui.runs import store
from slm_tui.training import checkpoint
from tests import extent, limits
from tests.conftest import make_tiny
from tests.corpus.strategies import any_text, quick
from tests.export import exported
from tests.export.blocks import BLOCKS, HOSTILE, MODERN, OWN

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="pip install transformers")
# One process imports the library, which takes seconds.
pytestmark = pytest.mark.xdist_group("transformers")

Capture = pytest.CaptureFixture[str]


def loaded(path: Path) -> Any:
    own = any(path.glob("modeling_*.py"))
    return transformers.AutoModelForCausalLM.from_pretrained(path, trust_remote_code=own).eval()


@torch.no_grad()
def check(preset: Preset, where: Path, name: str) -> None:
    source = exported.saved(preset, where / "checkpoints")
    target = where / "exported"
    huggingface.export(source, target)
    ours, tokenizer = exported.opened(source)
    theirs = loaded(target)
    class_name = type(theirs).__name__
    assert class_name.startswith("SlmTui" if name == "own" else name)
    ids = torch.randint(tokenizer.n_vocab, (2, 200), generator=torch.Generator().manual_seed(3))
    logits = ours(ids)
    assert 0.3 < float(logits.std()) < 1.2
    assert float((theirs(ids).logits - logits).abs().max()) <= 1e-5
    start = [tokenizer.end_of_text, *tokenizer.encode("Once upon")][:16]
    # Without end-of-text, with which texts of random weights soon end.
    theirs.generation_config = transformers.GenerationConfig(
        max_new_tokens=exported.NEW_TOKENS, do_sample=False, pad_token_id=0
    )
    theirs.config.eos_token_id = None
    prompt = torch.tensor([start])
    written = theirs.generate(prompt, attention_mask=torch.ones_like(prompt))
    assert written[0, len(start) :].tolist() == exported.greedy(ours, start)


@pytest.mark.parametrize("name", exported.presets_of(GptModel))
@extent.sample(3)
def test_every_preset_computes_the_same(name: str, tmp_path: Path) -> None:
    preset = exported.small(name)
    check(preset, tmp_path, architectures.name_of(preset.model))  # type: ignore[arg-type]


@pytest.mark.parametrize("block", BLOCKS)
@extent.sample(6)
def test_every_block_computes_the_same(block: str, tmp_path: Path) -> None:
    check(exported.with_model(**BLOCKS[block]), tmp_path, block.split()[0])


def test_padding_changes_nothing_in_our_own_code(tmp_path: Path) -> None:
    preset = exported.with_model(**BLOCKS["own"])
    huggingface.export(exported.saved(preset, tmp_path / "checkpoints"), tmp_path / "it")
    theirs = loaded(tmp_path / "it")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "it", padding_side="left")
    options = {"do_sample": False, "max_new_tokens": 12, "max_length": None}
    texts = ["Once upon a time", "A"]
    together = theirs.generate(**tokenizer(texts, padding=True, return_tensors="pt"), **options)
    for text, ids in zip(texts, together, strict=True):
        alone = theirs.generate(**tokenizer(text, return_tensors="pt"), **options)[0]
        assert ids[-12:].tolist() == alone[-12:].tolist()


@pytest.fixture(scope="module", params=["bytes", "chars", "bpe", "gpt2"])
def tokenizers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Any]:
    """Ours, and what the library makes of the exported one."""
    where = tmp_path_factory.mktemp(request.param)
    preset = make_tiny(tokenizer={"kind": request.param})
    source = exported.saved(preset, where / "checkpoints")
    huggingface.export(source, where / "it")
    theirs = transformers.AutoTokenizer.from_pretrained(where / "it")
    return checkpoint.read(source).tokenizer(), theirs


def test_hostile_texts_have_the_same_ids(tokenizers: tuple[Any, Any]) -> None:
    ours, theirs = tokenizers
    assert len(theirs) == ours.n_vocab
    for text in HOSTILE:
        ids = ours.encode(text)
        assert theirs(text, add_special_tokens=False).input_ids == ids
        assert theirs(text).input_ids == [ours.end_of_text, *ids]
        assert theirs.decode(ids) == text


@quick
@given(text=st.one_of(any_text, st.text(max_size=40)))
def test_any_text_has_the_same_ids(tokenizers: tuple[Any, Any], text: str) -> None:
    ours, theirs = tokenizers
    assert theirs(text, add_special_tokens=False).input_ids == ours.encode(text)


def own_text(kind: str, prompt: str, where: Path) -> str:
    """Export a model of `OWN`; what we write after the prompt, as long as its settings say."""
    source, target = exported.saved(exported.own(kind), where / kind), where / f"{kind}-it"
    assert main(["export", str(source), "--format", "huggingface", str(target)]) == 0
    ours, tokenizer = exported.opened(source)
    start = [tokenizer.end_of_text, *tokenizer.encode(prompt)]
    count = ours.block_size - (len(start) if kind == "gpt" else 0)
    # In fp64: in fp32, a difference of the last digit may round an activation otherwise.
    ids = exported.greedy(ours.double(), start, count)
    end = ids.index(tokenizer.end_of_text) if tokenizer.end_of_text in ids else count
    if kind != "gpt":
        card = (target / "README.md").read_text(encoding="utf-8")
        assert "rounded to -1, 0 and 1 when used" in card
        assert "reads texts of any length" in card
    return tokenizer.decode_bytes(ids[:end]).decode(errors="replace")


PIPELINE = """
import sys, torch, transformers
for path, kind, trust in zip(*[iter(sys.argv[2:])] * 3):
    writer = transformers.pipeline(
        "text-generation", path, dtype=kind, trust_remote_code=trust == "True"
    )
    text = writer(sys.argv[1], do_sample=False, return_full_text=False)[0]["generated_text"]
    print(ascii(text))
assert "slm_tui" not in sys.modules
"""


def test_models_write_the_same_in_another_process(tmp_path: Path, capsys: Capture) -> None:
    model = {"kind": "gpt", "n_layer": 1, "n_head": 2, "n_embd": 32, "block_size": 48, **MODERN}
    preset = make_tiny(
        model={**model, "activation": "swiglu", "qk_norm": True, "bias": False, "dropout": 0.0},
        tokenizer={"kind": "bpe", "vocab_size": 300},
        training__max_steps=40,
    )
    session = Session.start(preset)
    assert session.wait(limits.LIMIT)
    run = session.run
    target = tmp_path / "it"
    assert main(["evaluate", run.id, "--documents", "40", "--samples", "1"]) == 0
    capsys.readouterr()
    assert main(["export", run.id, "--format", "huggingface", str(target)]) == 0
    text = capsys.readouterr().out
    assert "Qwen3 for transformers" in text
    assert 'python -c \'from transformers import pipeline; print(pipeline("text-generation"' in text

    prompt = "Once upon"
    others = {kind: own_text(kind, prompt, tmp_path) for kind in OWN}
    assert capsys.readouterr().out.count("trust_remote_code=True") == len(OWN)
    command = [sys.executable, "-c", PIPELINE, prompt, str(target), "float32", "False"]
    for kind in OWN:
        command += [str(tmp_path / f"{kind}-it"), "float64", "True"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    result = limits.run(command, env=env, capture_output=True, text=True, cwd=tmp_path)
    tokens = 48 - 1 - len(checkpoint.read(store.find_checkpoint(run.id)).tokenizer().encode(prompt))
    generate = ["generate", run.id, "--prompt", prompt, "--temperature", "0", "--json"]
    assert main([*generate, "--max-tokens", str(tokens)]) == 0
    ours = json.loads(capsys.readouterr().out.splitlines()[0])["text"]
    assert result.stdout.splitlines() == [ascii(one) for one in (ours, *others.values())]

    card = (target / "README.md").read_text(encoding="utf-8")
    assert "# license: mit" in card
    assert "40 stories (tiny)" in card
    assert "95% interval" in card
    assert "not measured" not in card
    assert "the true entropy of this text" in card
    names = {path.name for path in target.iterdir()}
    assert names == {
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
