"""lm-evaluation-harness and TransformerLens open an export and compute what we do."""

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from slm_tui.cli import main
from slm_tui.export import huggingface
from slm_tui.live.session import Session
from tests import limits
from tests.conftest import make_tiny
from tests.export import exported
from tests.export.blocks import BLOCKS

os.environ["HF_HUB_OFFLINE"] = "1"
pytest.importorskip("transformers", reason="pip install transformers")
pytestmark = pytest.mark.xdist_group("transformers")

needs_lm_eval = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None, reason="lm-eval is not installed"
)
needs_lens = pytest.mark.skipif(
    importlib.util.find_spec("transformer_lens") is None, reason="transformer-lens is not installed"
)

TASK = """\
task: my_text
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - metric: bits_per_byte
"""


@pytest.mark.slow
@needs_lm_eval
def test_lm_eval_measures_the_same_bits_per_byte(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = Session.start(make_tiny(model__block_size=256, sampling__max_tokens=5))
    assert session.wait(limits.LIMIT)
    data = tmp_path / "text.jsonl"
    texts = [f"Once upon a time there were {number} little foxes — Łódź." for number in range(8)]
    data.write_text("".join(json.dumps({"text": one}) + "\n" for one in texts))
    (tmp_path / "my_text.yaml").write_text(TASK.format(data=data))
    target = tmp_path / "exported"
    assert main(["export", session.run.id, str(target), "--format", "huggingface"]) == 0
    limits.run(
        [
            *(sys.executable, "-m", "lm_eval", "--model", "hf"),
            *("--model_args", f"pretrained={target},dtype=float32,add_bos_token=False"),
            *("--tasks", "my_text", "--include_path", str(tmp_path), "--device", "cpu"),
            *("--output_path", str(tmp_path / "results")),
        ],
        env={**os.environ, "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")},
    )
    (results,) = (tmp_path / "results").rglob("results_*.json")
    theirs = json.loads(results.read_text())["results"]["my_text"]["bits_per_byte,none"]
    capsys.readouterr()
    assert main(["evaluate", session.run.id, "--text", str(data), "--json"]) == 0
    (model,) = json.loads(capsys.readouterr().out)["models"]
    assert model["num_bytes"] == sum(len(one.encode()) for one in texts)
    assert theirs == pytest.approx(model["bits_per_byte"], rel=1e-5)


@needs_lens
@pytest.mark.parametrize("block", ["GPT2", "Llama", "Arcee", "Qwen3"])
@torch.no_grad()
def test_transformer_lens_computes_the_same(block: str, tmp_path: Path) -> None:
    from transformer_lens.model_bridge import TransformerBridge

    source = exported.saved(exported.with_model(**BLOCKS[block]), tmp_path / "checkpoints")
    huggingface.export(source, tmp_path / "exported")
    ours, tokenizer = exported.opened(source)
    theirs: Any = TransformerBridge.boot_transformers(str(tmp_path / "exported"))
    ids = torch.randint(tokenizer.n_vocab, (2, 50), generator=torch.Generator().manual_seed(3))
    logits, cache = theirs.run_with_cache(ids)
    assert float((logits - ours(ids)).abs().max()) <= 2e-5
    assert cache["blocks.1.hook_resid_post"].shape == (2, 50, 32)
