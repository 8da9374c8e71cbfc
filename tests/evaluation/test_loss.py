"""The loss of a split: every target once, in eval mode, whatever the batch size."""

import math
from collections.abc import Callable
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from torch import Tensor

from slm_tui.config.preset import Preset
from slm_tui.corpus.batches import Batch, fixed_windows
from slm_tui.corpus.prepare import prepare
from slm_tui.evaluation.loss import SplitLoss, split_loss
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build
from tests.training.harness import train

Make = Callable[..., Preset]


class Fixed(LanguageModel):
    """A model whose probabilities come from a table, independent of the context."""

    def __init__(self, chances: list[float]) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.tensor(chances).log())

    def forward(self, ids: Tensor) -> Tensor:
        return self.logits.expand(*ids.shape, -1)


def windows(*rows: list[int]) -> Batch:
    both = np.array(rows, dtype=np.int64)
    return Batch(both[:, :-1], both[:, 1:])


def test_the_loss_follows_from_the_probabilities() -> None:
    model = Fixed([0.5, 0.25, 0.125, 0.125])
    lengths = torch.tensor([1, 2, 3, 0])
    result = split_loss(model, windows([0, 0, 1, 2], [0, 3, 3, 0]), lengths, 8)
    assert result is not None
    # Targets 0 1 2 3 3 0: 1 + 2 + 3 + 3 + 3 + 1 bits; 3 is not text.
    assert result.nats / math.log(2) == pytest.approx(13)
    assert (result.tokens, result.bytes) == (6, 1 + 2 + 3 + 1)
    assert result.nats_per_token == pytest.approx(13 / 6 * math.log(2))
    assert result.bits_per_byte == pytest.approx(7 / 7)


def test_text_without_bytes_has_no_bits_per_byte() -> None:
    assert math.isnan(SplitLoss(1.0, 1, 0.0, 0).bits_per_byte)


def test_the_batch_size_changes_nothing(tiny: Make) -> None:
    preset = tiny()
    corpus = prepare(preset)
    model = build(preset.model, 256, torch.device("cpu"), 1)
    lengths = torch.from_numpy(corpus.tokenizer.byte_lengths().astype("int64"))
    batch = fixed_windows(corpus.val, 16, 23)
    result = [split_loss(model, batch, lengths, size) for size in (1, 4, 7, 100)]
    assert all(one is not None and one.tokens == 23 * 16 for one in result)
    assert [one.nats for one in result if one] == pytest.approx([result[0].nats] * 4)  # type: ignore[union-attr]


def test_scoring_disables_dropout_and_restores_the_mode(tiny: Make) -> None:
    preset = tiny(model__dropout=0.5)
    corpus = prepare(preset)
    lengths = torch.from_numpy(corpus.tokenizer.byte_lengths().astype("int64"))
    batch = fixed_windows(corpus.val, 16, 8)
    model = build(preset.model, 256, torch.device("cpu"), 1)
    for mode in (True, False):
        model.train(mode)
        one, two = (split_loss(model, batch, lengths, 4) for _ in range(2))
        assert one == two
        assert model.training is mode


def test_stop_ends_scoring_without_a_result(tiny: Make) -> None:
    stop = Event()
    stop.set()
    model = Fixed([0.5, 0.5]).train()
    assert split_loss(model, windows([0, 1]), torch.tensor([1, 1]), 1, stop=stop) is None
    assert model.training


def test_no_trained_model_gets_below_the_floor(tiny: Make, tmp_path: Path) -> None:
    """Trained on the tiny stories, a model stays above the entropy of what it is scored on.

    The code length of a story under any model is at least its information in the mean; over
    the n stories scored, the mean of (code length - information) has a standard error, and
    three of them below zero is the documented bound.
    """
    preset = tiny(
        data__documents=400,
        model={"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 64, "position": "rope"},
        optimizer__learning_rate=0.01,
        training__max_steps=150,
        training__micro_batch=16,
        training__evaluate_every=150,
        training__evaluate_batches=50,
        training__checkpoint_every=1000,
        training__sample_every=1000,
    )
    done = train(preset, tmp_path)
    corpus = done.trainer.corpus
    assert corpus.floor is not None
    state = done.trainer.state
    assert state.val_bits_per_byte is not None
    # It learned something, and chance alone would not reach the floor.
    assert state.val_bits_per_byte < 3.5
    assert state.val_bits_per_byte > corpus.floor
    excess = _excess_bits_per_story(done.trainer.model.eval(), preset, tmp_path / "texts")
    error = float(np.std(excess, ddof=1)) / math.sqrt(len(excess))
    assert float(np.mean(excess)) > -3 * error


def _excess_bits_per_story(model: LanguageModel, preset: Preset, directory: Path) -> list[float]:
    """Bits that the model needs for each held-out story beyond the story's information."""
    from slm_tui.corpus import build
    from slm_tui.corpus.progress import Meter
    from slm_tui.corpus.split import text_of
    from slm_tui.corpus.tokenizers import byte_tokenizer

    tokenizer = byte_tokenizer()
    result = []
    directory.mkdir()
    stories = build.staged(preset, directory, Meter())[0].documents["val"]
    assert stories.bits is not None
    for text, bits in zip(text_of(stories)[:40], stories.bits.tolist(), strict=False):
        ids = [tokenizer.end_of_text, *tokenizer.encode(text), tokenizer.end_of_text]
        nats = 0.0
        for at in range(0, len(ids) - 1, model.block_size):
            part = torch.tensor([ids[at : at + model.block_size + 1]])
            with torch.no_grad():
                loss = model.loss(part[:, :-1], part[:, 1:]).cross_entropy
            nats += float(loss) * (part.shape[1] - 1)
        result.append(nats / math.log(2) - bits)
    return result
