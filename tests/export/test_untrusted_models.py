"""Directories of models that cannot or must not be imported: refused, with what to do."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from slm_tui.cli import main
from slm_tui.export import model_directory
from slm_tui.runs import store

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="pip install transformers")
from tests.export import foreign  # noqa: E402 - needs transformers

pytestmark = pytest.mark.xdist_group("transformers")
Capture = pytest.CaptureFixture[str]
WEIGHTS = "model.safetensors"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    foreign.saved("Llama", tmp_path / "model")
    return tmp_path / "model"


def refused(spec: str, capsys: Capture) -> str:
    capsys.readouterr()
    assert main(["import", spec]) == 1
    assert store.all_runs() == []
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1 or "…" in error
    return error


def with_weights(path: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    weights = load_file(path / WEIGHTS)
    change(weights)
    save_file(weights, path / WEIGHTS)


NORM = "model.norm.weight"
CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "class": ({"model_type": "mistral", "architectures": ["MistralForCausalLM"]}, "MistralFor"),
    "code": ({"model_type": "evil", "auto_map": {"AutoConfig": "evil.C"}}, "never runs code"),
    "no class": ({"model_type": None, "architectures": None}, "not named"),
    "scaling": (
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}},
        "scaled (yarn)",
    ),
    "old scaling": ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "scaled (linear)"),
    "activation": ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
    "quantised": ({"quantization_config": {"bits": 4}}, "quantised"),
    "negative": ({"hidden_size": -32}, "hidden_size is -32"),
    "text": ({"num_hidden_layers": "two"}, "num_hidden_layers is 'two'"),
    "huge": ({"num_hidden_layers": 10**9}, "less than or equal to 96"),
    "groups": ({"num_key_value_heads": 3}, "do not form groups"),
    "epsilon": ({"rms_norm_eps": float("nan")}, "not a positive number"),
    "shapes": ({"intermediate_size": 64}, "is (32, 48), not (32, 64)"),
    "vocabulary": ({"vocab_size": 100}, "it has 300 tokens, and the model 100"),
    "no end": ({"eos_token_id": None, "bos_token_id": None}, "eos_token_id is missing"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_settings_are_checked(case: str, model: Path, capsys: Capture) -> None:
    changes, expected = CONFIGS[case]
    if case == "no end":
        (model / "generation_config.json").unlink()
    foreign.edit(model, **changes)
    assert expected in refused(str(model), capsys)


def test_weights_are_checked(model: Path, capsys: Capture) -> None:
    whole = (model / WEIGHTS).read_bytes()

    def after(change: Callable[[dict[str, torch.Tensor]], Any]) -> str:
        (model / WEIGHTS).write_bytes(whole)
        with_weights(model, change)
        return refused(str(model), capsys)

    assert f"{NORM} missing" in after(lambda weights: weights.pop(NORM))
    assert "Llama has no odd" in after(lambda weights: weights.update(odd=torch.ones(2)))
    shape = after(lambda weights: weights.update({NORM: torch.ones(31)}))
    assert f"{NORM} is (31,), not (32,)" in shape
    stored = after(lambda weights: weights.update({NORM: torch.ones(32, dtype=torch.int64)}))
    assert f"{NORM} is stored as I64" in stored
    infinite = after(lambda weights: weights.update({NORM: torch.full((32,), torch.inf)}))
    assert f"{NORM} is not finite" in infinite
    (model / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    assert f"{WEIGHTS} cannot be read" in refused(str(model), capsys)
    (model / WEIGHTS).write_bytes(b"\xff" * 64)
    assert f"{WEIGHTS} cannot be read" in refused(str(model), capsys)


def test_a_model_that_does_not_fit_into_memory_is_refused(
    model: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_directory, "available_bytes", lambda _: 100_000)
    error = refused(str(model), capsys)
    assert "does not fit into memory" in error
    assert "100 kB are free" in error


def test_other_files_are_refused_with_the_reason(model: Path, capsys: Capture) -> None:
    (model / WEIGHTS).unlink()
    assert "it has no weights" in refused(str(model), capsys)
    (model / "it.gguf").touch()
    assert "which slm-tui does not read" in refused(str(model), capsys)
    assert "which slm-tui does not read" in refused(str(model / "it.gguf"), capsys)
    (model / "pytorch_model.bin").touch()
    error = refused(str(model), capsys)
    assert "pytorch_model.bin is a pickle, which can run code" in error
    assert "save_pretrained" in error
    assert "it is not a directory" in refused(str(model / "config.json"), capsys)
    assert "it does not exist" in refused(str(model / "gone"), capsys)


def test_files_are_checked(model: Path, capsys: Capture) -> None:
    (model / WEIGHTS).rename(model / "kept")
    os.mkfifo(model / WEIGHTS)
    assert "is not a file" in refused(str(model), capsys)
    (model / WEIGHTS).unlink()
    (model / WEIGHTS).with_name("model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "../other.safetensors"}})
    )
    (model / "x.safetensors").touch()
    assert "it names no files of weights" in refused(str(model), capsys)
    (model / "kept").rename(model / WEIGHTS)
    (model / "config.json").write_text("[" * 100_000)
    assert "config.json cannot be read" in refused(str(model), capsys)
    (model / "config.json").unlink()
    assert "it has no config.json" in refused(str(model), capsys)


def test_tokenizers_are_checked(model: Path, capsys: Capture) -> None:
    file = model / "tokenizer.json"
    values = json.loads(file.read_text())

    def after(text: str) -> str:
        file.write_text(text)
        return refused(str(model), capsys)

    assert "tokenizer.json cannot be read" in after("{")
    assert "not a file of the library tokenizers" in after("[]")
    other = {**values, "decoder": {"type": "Metaspace"}}
    assert "not byte-level BPE (model BPE, decoder Metaspace)" in after(json.dumps(other))
    broken = {**values, "model": {"type": "BPE", "vocab": {"a": -1}, "merges": 3}}
    assert "the tokenizer cannot be used" in after(json.dumps(broken))
    file.unlink()
    assert "it has no tokenizer.json" in refused(str(model), capsys)


def test_names_of_other_programs_and_an_absent_hub(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "it is a name of Ollama" in refused("llama3.2:1b", capsys)
    assert "it is a name of Ollama" in refused("library/llama3.2:latest", capsys)
    error = refused("someone/some-model", capsys)
    assert "the Hugging Face hub cannot be reached" in error
    assert "give the path of a directory" in error
