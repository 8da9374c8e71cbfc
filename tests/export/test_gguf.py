"""GGUF files: what is in them, and that llama.cpp computes the same from them."""

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from slm_tui.cli import main
from slm_tui.export import architectures, gguf
from slm_tui.export.catalog import WEIGHT_TYPES
from slm_tui.training import checkpoint
from tests import extent
from tests.conftest import make_tiny
from tests.export import exported
from tests.export.blocks import BLOCKS, HOSTILE
from tests.export.llama_cpp import LlamaCpp

library = pytest.importorskip("gguf", reason="pip install gguf")

Capture = pytest.CaptureFixture[str]
# Its GELU is the tanh form, from a table in f16.
GELU_APART = 5e-3
EXACT = 1e-5
HELD = [name for name in BLOCKS if not name.startswith("own") and name != "Arcee with biases"]


def read(path: Path) -> Any:
    return library.GGUFReader(path)


@pytest.mark.parametrize("block", HELD)
@extent.sample(3)
def test_every_block_computes_the_same_in_llama_cpp(block: str, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="pip install 'slm-tui[export-test]'")
    source = exported.saved(exported.with_model(**BLOCKS[block]), tmp_path / "checkpoints")
    written = gguf.export(source, tmp_path / "it.gguf")
    ours, tokenizer = exported.opened(source)
    theirs = LlamaCpp(written.path, ours.block_size)
    start = [tokenizer.end_of_text, *tokenizer.encode("Once upon")]
    expected = exported.greedy(ours, start)
    if tokenizer.end_of_text in expected:
        expected = expected[: expected.index(tokenizer.end_of_text)]
    assert theirs.greedy(start, exported.NEW_TOKENS)[: len(expected)] == expected
    compared = 0
    for length in range(1, 120, 12):
        generator = torch.Generator().manual_seed(length)
        ids = torch.randint(tokenizer.n_vocab, (1, length), generator=generator)
        with torch.no_grad():
            mine = ours(ids)[0, -1].log_softmax(-1)
        for id, value in theirs.log_probabilities(ids[0].tolist(), tokenizer.n_vocab).items():
            assert value == pytest.approx(
                float(mine[id]), abs=GELU_APART if block.startswith("GPT2") else EXACT
            )
            compared += 1
    assert compared >= tokenizer.n_vocab


@pytest.mark.parametrize("kind", ["bytes", "chars", "bpe", "gpt2"])
@extent.sample(3)
def test_texts_have_the_same_ids_in_llama_cpp(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="pip install 'slm-tui[export-test]'")
    preset = make_tiny(tokenizer={"kind": kind})
    source = exported.saved(preset, tmp_path / "checkpoints")
    theirs = LlamaCpp(gguf.export(source, tmp_path / "it.gguf").path, 16)
    ours = checkpoint.read(source).tokenizer()
    for text in HOSTILE:
        if kind == "chars":
            # llama.cpp uses this character for spaces in vocabularies of characters.
            text = text.replace("▁", "")
        if kind != "bytes" and max(map(len, text.split(" "))) > 4096:
            continue  # only slm-tui splits such runs
        ids = ours.encode(text)
        assert theirs.tokenize(text) == ids
        assert theirs.tokenize(text, begin=True)[: len(ids) + 1] == [ours.end_of_text, *ids]
        assert theirs.detokenize(ids) == text


def test_a_file_holds_the_weights_in_the_chosen_type(tmp_path: Path) -> None:
    source = exported.saved(exported.with_model(**BLOCKS["Qwen3"]), tmp_path / "checkpoints")
    sizes = []
    for weight_type in WEIGHT_TYPES:
        path = tmp_path / f"{weight_type}.gguf"
        gguf.export(source, path, weight_type=weight_type)
        tensors = {one.name: one for one in read(path).tensors}
        matrix = tensors["blk.1.ffn_up.weight"]
        assert matrix.tensor_type.name == weight_type.upper()
        values = library.quants.dequantize(matrix.data, matrix.tensor_type)
        weights = checkpoint.read(source).weights()["blocks.1.feed_forward.expand.weight"]
        step = {"f32": 0, "f16": 2e-4, "q8_0": 5e-3}[weight_type]
        assert float(np.abs(values - weights.numpy()).max()) <= step
        assert tensors["blk.1.attn_norm.weight"].tensor_type.name == "F32"
        sizes.append(path.stat().st_size)
    assert sizes == sorted(sizes, reverse=True)


def test_the_command_writes_a_modelfile_and_says_how_to_use_it(
    tmp_path: Path, capsys: Capture
) -> None:
    preset = make_tiny(sampling__stop=['"\n'], sampling__top_k=7)
    source = exported.saved(preset, tmp_path / "checkpoints")
    target = tmp_path / "My model.gguf"
    command = ["export", str(source), "--format", "gguf", str(target)]
    assert main([*command, "--type", "q8_0"]) == 0
    output = capsys.readouterr().out
    modelfile = tmp_path / "My model.Modelfile"
    assert f"ollama create my-model -f {shlex.quote(str(modelfile))}" in output
    assert "tanh form of GELU" in output
    assert "rounded to q8_0" in output
    text = modelfile.read_text()
    assert text.splitlines()[0] == "FROM ./My model.gguf"
    assert "PARAMETER top_k 7\n" in text
    assert 'PARAMETER stop "\\"\\n"\n' in text
    assert main([*command, "--json"]) == 1
    assert "already exists" in capsys.readouterr().err
    target.unlink()
    assert main([*command]) == 1
    assert "My model.Modelfile already exists" in capsys.readouterr().err
    modelfile.unlink()
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["architecture"] == "gpt2"


@pytest.mark.parametrize("block", [name for name in BLOCKS if name not in HELD])
def test_a_block_that_llama_cpp_lacks_is_refused(
    block: str, tmp_path: Path, capsys: Capture
) -> None:
    preset = exported.with_model(**BLOCKS[block])
    assert architectures.name_of(preset.model) in ("own", "Arcee")  # type: ignore[arg-type]
    source = exported.saved(preset, tmp_path / "checkpoints")
    assert main(["export", str(source), "--format", "gguf", str(tmp_path / "it.gguf")]) == 1
    error = capsys.readouterr().err
    assert "llama.cpp does not compute its block" in error
    assert "use --format huggingface" in error
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


def test_a_weight_beyond_f16_is_refused(tmp_path: Path, capsys: Capture) -> None:
    preset = exported.with_model(**BLOCKS["Llama"])
    source = exported.saved(preset, tmp_path / "checkpoints", scale=1e6)
    target = tmp_path / "it.gguf"
    command = ["export", str(source), "--format", "gguf", str(target), "--type"]
    assert main([*command, "f16"]) == 1
    assert "use --type f32" in capsys.readouterr().err
    assert not target.exists()
    assert main([*command, "f32"]) == 0
