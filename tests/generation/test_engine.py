"""Generation: the cache changes nothing, seeds determine everything, stop stops."""

from collections.abc import Iterator, Sequence
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from slm_tui.config.model import GptModel
from slm_tui.corpus.tokenizers import byte_tokenizer
from slm_tui.errors import GenerationError
from slm_tui.generation.completions import complete, stream
from slm_tui.generation.engine import Continuation, Engine, window_start
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build
from tests import extent
from tests.models.test_gpt import SWITCHES, named

CPU = torch.device("cpu")
BLOCK = 12


def model_of(vocabulary: int = 61, **changes: object) -> LanguageModel:
    """Large weights, so that the next token depends on every token seen."""
    config = {"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": BLOCK, **changes}
    model = build(GptModel.model_validate(config), vocabulary, CPU, 3).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.mul_(12)
    return model


def next_ids(
    model: LanguageModel,
    prompt: Sequence[int],
    settings: SamplingSettings,
    end_of_text: int | None,
    *,
    cached: bool = True,
) -> Iterator[int]:
    """One text, token by token."""
    text = Continuation(list(prompt), settings.seed)
    engine = Engine(model, [text], settings, end_of_text, cached=cached, at_once=1)
    while engine.step():
        yield text.ids[-1]


class Scripted(LanguageModel):
    """A model that outputs given ids, one after another."""

    def __init__(self, ids: list[int], n_vocab: int = 256, on_step: Any = None) -> None:
        super().__init__()
        self.n_vocab, self.block_size = n_vocab, 10_000
        self.anchor = torch.nn.Parameter(torch.zeros(1))
        self.ids: Iterator[int] = iter(ids)
        self.seen: list[list[int]] = []
        self.on_step = on_step

    def start(self, batch: int) -> Any:
        return SimpleNamespace(nbytes=1)

    def step(self, ids: Tensor, state: Any, lengths: Sequence[int] | None = None) -> Tensor:
        self.seen.append(ids[0].tolist())
        if self.on_step:
            self.on_step(len(self.seen))
        logits = torch.zeros(1, self.n_vocab)
        logits[0, next(self.ids)] = 100
        return logits


GREEDY = SamplingSettings(temperature=0.0, max_tokens=40)
SAMPLED = SamplingSettings(temperature=1.0, top_k=20, top_p=0.95, max_tokens=40, seed=5)
PENALISED = SamplingSettings(temperature=0.8, repetition_penalty=1.3, max_tokens=40)


@extent.sample(20)
@pytest.mark.parametrize("switches", SWITCHES, ids=named)
def test_the_cache_changes_no_token(switches: dict[str, object]) -> None:
    model = model_of(**switches)
    for length, chosen in ((1, GREEDY), (BLOCK, PENALISED), (31, SAMPLED)):
        assert_the_cache_changes_nothing(model, length, chosen.with_(max_tokens=20))


@extent.sample(9)
@pytest.mark.parametrize("chosen", [GREEDY, SAMPLED, PENALISED], ids=["greedy", "drawn", "penal"])
@pytest.mark.parametrize("length", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, BLOCK + 3, 31])
def test_the_cache_changes_nothing_for_any_prompt(length: int, chosen: SamplingSettings) -> None:
    for position in ("learned", "rope"):
        assert_the_cache_changes_nothing(model_of(position=position), length, chosen)


def assert_the_cache_changes_nothing(
    model: LanguageModel, length: int, chosen: SamplingSettings
) -> None:
    prompt = [(7 * place) % 61 for place in range(length)]
    fast = list(next_ids(model, prompt, chosen, None))
    assert fast == list(next_ids(model, prompt, chosen, None, cached=False))
    assert len(fast) == chosen.max_tokens


def test_the_window_slides_in_strides_and_never_exceeds_the_context() -> None:
    starts = [window_start(length, 64) for length in range(1, 400)]
    assert starts[:64] == [0] * 64
    for length, start in zip(range(1, 400), starts, strict=True):
        assert 0 < length - start <= 64
        assert length <= 64 or length - start > 64 - 16
    assert len(set(starts)) == 1 + -(-(399 - 64) // 16)


@pytest.mark.parametrize("block", [1, 2, 3, 4, 5])
def test_the_smallest_contexts_work(block: int) -> None:
    for length in range(1, 40):
        assert 0 < length - window_start(length, block) <= block


def test_the_same_seed_generates_the_same_text() -> None:
    model = model_of()
    one = list(next_ids(model, [1, 2], SAMPLED, None))
    torch.manual_seed(99)
    assert list(next_ids(model, [1, 2], SAMPLED, None)) == one
    assert list(next_ids(model, [1, 2], SAMPLED.with_(seed=6), None)) != one


def test_two_concurrent_streams_do_not_affect_each_other() -> None:
    model = model_of()
    alone = list(next_ids(model, [1, 2], SAMPLED, None))
    together = list(
        zip(
            next_ids(model, [1, 2], SAMPLED, None),
            next_ids(model, [3], SAMPLED, None),
            strict=True,
        )
    )
    assert [first for first, _ in together] == alone


def test_generation_ends_at_end_of_text_without_emitting_it() -> None:
    model = Scripted([65, 66, 255, 67])
    assert list(next_ids(model, [1], GREEDY, 255)) == [65, 66]


def test_generation_ends_at_the_maximum_length() -> None:
    model = Scripted([65] * 100)
    assert len(list(next_ids(model, [1], GREEDY.with_(max_tokens=7), 255))) == 7
    assert len(model.seen) == 7


def test_stop_takes_effect_within_a_token() -> None:
    stop, tokenizer = Event(), byte_tokenizer()
    model = Scripted([65] * 100, on_step=lambda count: stop.set() if count == 3 else None)
    pieces = list(stream(model, tokenizer, "x", GREEDY, stop=stop))
    assert [piece.id for piece in pieces] == [65, 65, 65]
    assert len(model.seen) == 3


def test_a_stop_before_the_start_computes_nothing() -> None:
    stop, tokenizer = Event(), byte_tokenizer()
    stop.set()
    model = Scripted([65])
    assert list(stream(model, tokenizer, "x", GREEDY, stop=stop)) == []
    assert model.seen == []


def test_an_empty_prompt_starts_with_end_of_text() -> None:
    tokenizer = byte_tokenizer()
    for begin in (True, False):
        model = Scripted([72, 105, tokenizer.end_of_text])
        assert complete(model, tokenizer, "", GREEDY, begin=begin) == "Hi"
        assert model.seen[0] == [tokenizer.end_of_text]
    with pytest.raises(GenerationError, match="prompt is empty"):
        list(next_ids(Scripted([1]), [], GREEDY, None))


def test_begin_prepends_end_of_text_to_the_prompt() -> None:
    tokenizer = byte_tokenizer()
    for begin, first in ((True, [tokenizer.end_of_text, 79, 107]), (False, [79, 107])):
        model = Scripted([tokenizer.end_of_text])
        complete(model, tokenizer, "Ok", GREEDY, begin=begin)
        assert model.seen == [first]


def test_pieces_consist_of_complete_characters() -> None:
    raw = "né 🐻!".encode()
    tokenizer = byte_tokenizer()
    model = Scripted([*raw, tokenizer.end_of_text])
    pieces = list(stream(model, tokenizer, "x", GREEDY))
    assert "".join(piece.text for piece in pieces) == "né 🐻!"
    assert all("\ufffd" not in piece.text for piece in pieces)
    assert [piece.id for piece in pieces] == list(raw)


def test_an_incomplete_character_at_the_end_becomes_the_replacement_character() -> None:
    tokenizer = byte_tokenizer()
    model = Scripted([65, *"🐻".encode()[:2], tokenizer.end_of_text])
    pieces = list(stream(model, tokenizer, "x", GREEDY))
    text = "".join(piece.text for piece in pieces)
    assert text.startswith("A")
    assert "\ufffd" in text
    assert pieces[-1].id == -1


def test_generation_does_not_change_the_model() -> None:
    model = model_of().train()
    list(next_ids(model, [1], SAMPLED, None))
    assert model.training
    model.loss(torch.ones(1, 4, dtype=torch.long), torch.ones(1, 4, dtype=torch.long))
