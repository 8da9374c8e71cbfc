"""Configuration files of simplified-slm become presets; nothing in them is dropped in silence."""

import json
from pathlib import Path
from typing import Any

import pytest

from slm_tui.cli import main
from slm_tui.config import library, simplified_slm
from slm_tui.config.models.hgrn import HgrnModel
from slm_tui.config.models.hnet import HnetModel
from slm_tui.errors import PresetError

# As the files of that project spell it; the values are its own.
FLAT_MODEL = {
    "model_type": "simplified_slm",
    "vocab_size": 256,
    "hidden_size": 512,
    "num_hidden_layers": 6,
    "attn_mode": "fused_recurrent",
    "num_heads": 1,
    "expand_ratio": 1,
    "use_short_conv": False,
    "conv_size": 4,
    "hidden_ratio": 4,
    "intermediate_size": None,
    "hidden_act": "swish",
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "initializer_range": 0.02,
    "use_lower_bound": False,
}
STAGES_MODEL = {
    "model_type": "hnet_bit",
    "vocab_size": 256,
    "d_model": [256, 384],
    "num_blocks": [[4, 0, 4], [8]],
    "expand_ratio": 2,
    "hidden_ratio": 4,
    "use_short_conv": True,
    "conv_size": 4,
    "tie_word_embeddings": False,
}
EXPERIMENT = {
    "experiment_name": "one stage / stories",
    "description": "One stage on stories",
    "model": {"config_file": "configs/stages.json", "type": "hnet_bit"},
    "data": {
        "dataset": "tinystories",
        "data_dir": "./data",
        "max_seq_length": 256,
        "val_ratio": 0.1,
        "test_ratio": 0.1,
    },
    "training": {
        "batch_size": 32,
        "gradient_accumulation_steps": 2,
        "effective_batch_size": 64,
        "learning_rate": 3e-4,
        "weight_decay": 0.01,
        "max_grad_norm": 1.0,
        "max_steps": 15000,
        "warmup_steps": 750,
        "scheduler": "cosine",
        "eval_interval": 500,
        "save_interval": 1500,
        "log_interval": 50,
        "mixed_precision": "bf16",
        "compile_model": False,
    },
    "evaluation": {"batch_size": 16, "generation_max_tokens": 150},
    "output": {"checkpoint_dir": "./checkpoints"},
    "hardware": {"device": "cuda", "num_workers": 4},
    "seed": 43,
}
TRAINING = {
    "output_dir": "runs/small",
    "data_path": None,
    "max_steps": 100,
    "batch_size": 4,
    "gradient_accumulation_steps": 1,
    "learning_rate": 1e-3,
    "warmup_steps": 10,
    "lr_scheduler": "linear",
    "max_seq_length": 128,
    "fp16": False,
    "bf16": False,
    "resume_from": None,
}


def written(directory: Path, name: str, entries: Any) -> Path:
    path = directory / "configs" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(entries))
    return path


def test_a_flat_model_has_its_published_size(tmp_path: Path) -> None:
    result = simplified_slm.read(written(tmp_path, "slm_base.json", FLAT_MODEL))
    assert isinstance(result.preset.model, HgrnModel)
    assert result.preset.model.parameters(256)[0] == 20_744_192
    assert result.preset.name == "slm_base"
    assert result.notes == []


def test_a_model_with_stages_has_its_published_size(tmp_path: Path) -> None:
    result = simplified_slm.read(written(tmp_path, "stages.json", STAGES_MODEL))
    assert isinstance(result.preset.model, HnetModel)
    assert result.preset.model.parameters(256)[0] == 28_202_496
    assert result.notes == []


def test_an_experiment_takes_its_model_from_the_file_it_names(tmp_path: Path) -> None:
    written(tmp_path, "stages.json", STAGES_MODEL)
    result = simplified_slm.read(written(tmp_path, "experiment.json", EXPERIMENT))
    preset = result.preset
    assert preset.name == "one-stage-stories"
    assert preset.description == "One stage on stories"
    assert preset.model.parameters(256)[0] == 28_202_496
    assert preset.model.block_size == 256
    training = preset.training
    assert (training.micro_batch, training.accumulation, training.max_steps) == (32, 2, 15000)
    assert (training.evaluate_every, training.checkpoint_every, training.log_every) == (
        500,
        1500,
        50,
    )
    assert (training.precision, training.device, training.seed) == ("bf16", "auto", 43)
    assert preset.schedule.warmup_steps == 750
    assert preset.optimizer.learning_rate == 3e-4
    assert (preset.data.split.validation, preset.data.split.test) == (0.1, 0.1)
    assert preset.sampling.max_tokens == 150
    assert result.notes == [
        "not taken over: evaluation.batch_size = 16: a preset has no such setting"
    ]


def test_a_missing_model_file_is_reported(tmp_path: Path) -> None:
    result = simplified_slm.read(written(tmp_path, "experiment.json", EXPERIMENT))
    assert isinstance(result.preset.model, HnetModel)
    assert "configs/stages.json" in result.notes[0]
    assert "there is no such file near experiment.json" in result.notes[0]


def test_a_flat_training_file_says_that_it_names_no_model(tmp_path: Path) -> None:
    result = simplified_slm.read(written(tmp_path, "training_small.json", TRAINING))
    assert result.preset.model.kind == "hgrn"
    assert result.preset.model.block_size == 128
    assert result.preset.training.precision == "fp32"
    assert result.preset.schedule.kind == "linear"
    assert result.notes == ["the file names no model: the preset has the usual hgrn model"]


@pytest.mark.parametrize(
    ("entries", "note"),
    [
        ({**FLAT_MODEL, "hidden_act": "gelu"}, 'hidden_act = "gelu": this program uses swish'),
        ({**FLAT_MODEL, "vocab_size": 300}, "vocab_size = 300: this program uses 256"),
        ({**FLAT_MODEL, "attention": "x"}, 'attention = "x": a preset has no such setting'),
        ({**STAGES_MODEL, "tie_word_embeddings": True}, "an output layer of its own"),
        ({**TRAINING, "lr_scheduler": "step"}, "choose one of cosine, linear, constant"),
        ({**TRAINING, "text_columns": ["a", "b", "c"]}, "a preset joins two columns"),
    ],
)
def test_what_has_no_place_is_listed(tmp_path: Path, entries: dict[str, Any], note: str) -> None:
    result = simplified_slm.read(written(tmp_path, "it.json", entries))
    assert any(note in one and one.startswith("not taken over: ") for one in result.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "is not a file of simplified-slm"),
        ('{"a": 1}', "it has none of training, model_type"),
        ("[" * 100_000, "cannot be read"),
        ('{"model_type": "hnet_bit", "d_model": [64, 32]}', "widths must not shrink inwards"),
        ('{"max_steps": "many"}', "training.max_steps"),
    ],
)
def test_a_file_that_makes_no_preset_is_one_clear_line(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "it.json"
    path.write_text(text)
    with pytest.raises(PresetError) as error:
        simplified_slm.read(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(PresetError):
        simplified_slm.read(tmp_path / "missing.json")


def test_the_command_saves_a_user_preset_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "slm_base.json", {**FLAT_MODEL, "hidden_act": "gelu"})
    assert main(["presets", "import", str(path), "--name", "mine"]) == 0
    output = capsys.readouterr().out
    assert 'not taken over: model.hidden_act = "gelu"' in output
    assert "train it with: slm-tui train mine" in output
    assert library.get("mine").model.parameters(256)[0] == 20_744_192
    assert main(["presets", "import", str(path), "--name", "mine"]) == 1
    assert "already exists" in capsys.readouterr().err
