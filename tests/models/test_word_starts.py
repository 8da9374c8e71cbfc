"""Routers that are taught to cut at words."""

import re

import numpy as np
import pytest
import torch

from slm_tui.config import overrides
from slm_tui.config.models.hnet import HnetModel
from slm_tui.errors import PresetError
from slm_tui.generation.chunks import chunk_starts
from slm_tui.models.build import build
from slm_tui.models.word_starts import word_starts
from tests.conftest import make_tiny

_TEXT = 'Once upon a time, "the  cat\'s 2 kittens" ran;\n\ttoo far - élan!\n\nWe saw 東京 and  it'
_SENTENCES = "the cat saw a little dog. then it ran home, and we all sang! "


def ids_of(text: str) -> torch.Tensor:
    return torch.tensor([list(text.encode())])


def starts_in(text: str) -> list[bool]:
    ids = ids_of(text + " ")
    found: list[bool] = word_starts(ids[:, :-1], ids[:, 1:])[0].tolist()
    return found


def test_every_word_has_one_beginning() -> None:
    text = _TEXT.encode()
    starts = starts_in(_TEXT)
    words = re.findall(rb"[0-9A-Za-z\x80-\xff]+", text)
    assert sum(starts) == len(words)
    # Counted by the measure that evaluations use.
    assert chunk_starts([text], [np.array(starts)]).words == 1.0


def test_a_word_after_a_space_begins_at_the_space() -> None:
    marked = "".join(
        "|" * start + chr(byte)
        for start, byte in zip(starts_in('a bc "de f'), b'a bc "de f', strict=True)
    )
    assert marked == '|a| bc "|de| f'


def trained(weight: float, steps: int = 25) -> dict[str, float]:
    torch.manual_seed(0)
    config = HnetModel(
        d_model=(24, 32),
        num_blocks=((1, 0, 1), (1,)),
        block_size=64,
        ternary=False,
        conv_size=4,
        downsampling_factor=5,
        word_loss_weight=weight,
    )
    model = build(config, 256, torch.device("cpu"), 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    text = torch.tensor(list((_SENTENCES * 20).encode()))
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        at = torch.randint(len(text) - 65, (8,), generator=generator)
        rows = torch.stack([text[one : one + 65] for one in at.tolist()])
        loss = model.loss(rows[:, :-1], rows[:, 1:])
        optimizer.zero_grad()
        loss.total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        loss = model.loss(rows[:, :-1], rows[:, 1:])
    return {name: float(value) for name, value in loss.metrics.items()}


def test_a_router_learns_to_cut_at_words() -> None:
    figures = trained(0.3)
    assert figures["stage1_word_share"] > 0.9
    assert figures["stage1_word_loss"] < 0.3


def test_without_it_nothing_is_computed() -> None:
    assert not [name for name in trained(0.0, steps=1) if "word" in name]


def test_only_bytes_have_words() -> None:
    preset = make_tiny(tokenizer={"kind": "bytes"}, model={"kind": "hnet", "block_size": 16})
    changed = overrides.apply(preset, ["model.word_loss_weight=0.1"])
    assert isinstance(changed.model, HnetModel)
    assert changed.model.word_loss_weight == 0.1
    with pytest.raises(PresetError, match="word_loss_weight"):
        overrides.apply(changed, ["tokenizer.kind=chars"])
