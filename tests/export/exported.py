"""Checkpoints with random weights of small models, and what they compute."""

from pathlib import Path
from typing import Any

import torch

from slm_tui.config import library
from slm_tui.config.data import StoriesData
from slm_tui.config.models.gpt import GptModel
from slm_tui.config.models.hgrn import HgrnModel
from slm_tui.config.models.hnet import HnetModel
from slm_tui.config.models.settings import ModelSettings
from slm_tui.config.preset import Preset, parse
from slm_tui.corpus.tokenizers import (
    Tokenizer,
    byte_tokenizer,
    chars_tokenizer,
    load_gpt2,
    train_bpe,
)
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build
from slm_tui.training import checkpoint
from slm_tui.training.checkpoint import CheckpointSnapshot
from slm_tui.training.state import TrainingState
from tests.corpus.helpers import TEXTS
from tests.export.blocks import OWN

CPU = torch.device("cpu")
NEW_TOKENS = 256


def presets_of(*families: type[ModelSettings]) -> list[str]:
    """The names of the built-in presets of these families."""
    presets = (entry.preset for entry in library.entries())
    return [one.name for one in presets if one and isinstance(one.model, families)]


def small(name: str) -> Preset:
    """A built-in preset with a short, narrow model that has room for `NEW_TOKENS`."""
    preset = library.get(name)
    model = preset.model
    update = {"model": model.model_copy(update=_small_shape(model)), "data": StoriesData()}
    return preset.model_copy(update=update)


def _small_shape(model: ModelSettings) -> dict[str, object]:
    if isinstance(model, HnetModel):
        stages = len(model.d_model)
        blocks = *[(1, 0, 1)] * (stages - 1), (1,)
        return {"d_model": (16, 24, 32)[:stages], "num_blocks": blocks}
    if isinstance(model, HgrnModel):
        return {"n_layer": 2, "n_embd": 32}
    assert isinstance(model, GptModel)
    heads = min(model.n_head, 4)
    size = {"n_layer": 2, "n_head": heads, "n_embd": 16 * max(2, heads)}
    return {**size, "block_size": NEW_TOKENS + 16}


def of(model: dict[str, Any]) -> Preset:
    """A preset of exactly this model, on bytes."""
    return parse({"name": "small", "tokenizer": {"kind": "bytes"}, "model": model}, "the test")


def own(kind: str) -> Preset:
    """A preset of the model of this family in `OWN`."""
    return of({"kind": kind, **OWN[kind]})


def with_model(**settings: object) -> Preset:
    """A preset of a small GPT with these settings, on bytes."""
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 32, "block_size": NEW_TOKENS + 16}
    return of({"kind": "gpt", **shape, **settings})


def tokenizer_of(kind: str) -> Tokenizer:
    """A small tokenizer."""
    if kind == "bytes":
        return byte_tokenizer()
    if kind == "chars":
        return chars_tokenizer(TEXTS)
    return load_gpt2(512) if kind == "gpt2" else train_bpe(TEXTS, 300)


def saved(preset: Preset, directory: Path, seed: int = 1, scale: float = 1.0) -> Path:
    """A checkpoint whose weights are all random: norms and biases too. Logits deviate by 0.7."""
    tokenizer = tokenizer_of(preset.tokenizer.kind)
    model = build(preset.model, tokenizer.n_vocab, CPU, None)
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, parameter in model.named_parameters():
        drawn = torch.empty(parameter.shape).normal_(0, 1, generator=generator)
        deviation = scale * 0.7 / preset.model.width**0.5 if parameter.dim() == 2 else 0.2
        weights[name] = drawn * deviation + float(name.endswith(("norm.weight", "gain")))
    state = TrainingState(step=1, n_vocab=tokenizer.n_vocab, preset=preset.to_stored())
    directory.mkdir()
    return checkpoint.write(directory, CheckpointSnapshot(weights, {}, state, tokenizer.to_json()))


def opened(path: Path) -> tuple[LanguageModel, Tokenizer]:
    """The model and the tokenizer of a checkpoint."""
    one = checkpoint.read(path)
    return one.model(CPU), one.tokenizer()


@torch.no_grad()
def greedy(model: LanguageModel, ids: list[int], count: int = NEW_TOKENS) -> list[int]:
    """The `count` most likely tokens after `ids`, one by one through the cache."""
    state, result = model.start(1), list[int]()
    logits = model.step(torch.tensor([ids]), state)
    while len(result) < count:
        result.append(int(logits.argmax()))
        if len(result) < count:
            logits = model.step(torch.tensor([result[-1:]]), state)
    return result
