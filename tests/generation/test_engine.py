"""Generation: the cache changes nothing, seeds decide everything, stop stops."""

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
from slm_tui.generation.engine import (
    Continuation,
    Engine,
    lay_out,
    texts_at_once,
    window_start,
)
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.generation.texts import complete, stream
from slm_tui.models.base import LanguageModel
from slm_tui.models.build import build
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
    """A model that says what it is told: one id after another."""

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


@pytest.mark.parametrize("switches", SWITCHES, ids=named)
def test_the_cache_changes_no_token(switches: dict[str, object]) -> None:
    model = model_of(**switches)
    for length, chosen in ((1, GREEDY), (BLOCK, PENALISED), (31, SAMPLED)):
        assert_the_cache_changes_nothing(model, length, chosen.with_(max_tokens=20))


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


def test_the_same_seed_writes_the_same_text() -> None:
    model = model_of()
    one = list(next_ids(model, [1, 2], SAMPLED, None))
    torch.manual_seed(99)
    assert list(next_ids(model, [1, 2], SAMPLED, None)) == one
    assert list(next_ids(model, [1, 2], SAMPLED.with_(seed=6), None)) != one


def test_two_streams_side_by_side_do_not_disturb_each_other() -> None:
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


def test_it_ends_at_end_of_text_and_does_not_say_it() -> None:
    model = Scripted([65, 66, 255, 67])
    assert list(next_ids(model, [1], GREEDY, 255)) == [65, 66]


def test_it_ends_at_the_longest_length() -> None:
    model = Scripted([65] * 100)
    assert len(list(next_ids(model, [1], GREEDY.with_(max_tokens=7), 255))) == 7
    assert len(model.seen) == 7


def test_stop_takes_effect_within_a_token() -> None:
    stop, tokenizer = Event(), byte_tokenizer()
    model = Scripted([65] * 100, on_step=lambda count: stop.set() if count == 3 else None)
    pieces = list(stream(model, tokenizer, "x", GREEDY, stop=stop))
    assert [piece.id for piece in pieces] == [65, 65, 65]
    assert len(model.seen) == 3


def test_stopped_before_it_begins_it_computes_nothing() -> None:
    stop, tokenizer = Event(), byte_tokenizer()
    stop.set()
    model = Scripted([65])
    assert list(stream(model, tokenizer, "x", GREEDY, stop=stop)) == []
    assert model.seen == []


def test_a_prompt_of_no_tokens_begins_with_end_of_text() -> None:
    tokenizer = byte_tokenizer()
    for begin in (True, False):
        model = Scripted([72, 105, tokenizer.end_of_text])
        assert complete(model, tokenizer, "", GREEDY, begin=begin) == "Hi"
        assert model.seen[0] == [tokenizer.end_of_text]
    with pytest.raises(GenerationError, match="prompt is empty"):
        list(next_ids(Scripted([1]), [], GREEDY, None))


def test_begin_puts_end_of_text_before_the_prompt() -> None:
    tokenizer = byte_tokenizer()
    for begin, first in ((True, [tokenizer.end_of_text, 79, 107]), (False, [79, 107])):
        model = Scripted([tokenizer.end_of_text])
        complete(model, tokenizer, "Ok", GREEDY, begin=begin)
        assert model.seen == [first]


def test_pieces_join_to_whole_characters() -> None:
    raw = "né 🐻!".encode()
    tokenizer = byte_tokenizer()
    model = Scripted([*raw, tokenizer.end_of_text])
    pieces = list(stream(model, tokenizer, "x", GREEDY))
    assert "".join(piece.text for piece in pieces) == "né 🐻!"
    assert all("\ufffd" not in piece.text for piece in pieces)
    assert [piece.id for piece in pieces] == list(raw)


def test_a_character_cut_at_the_end_is_shown_as_unknown() -> None:
    tokenizer = byte_tokenizer()
    model = Scripted([65, *"🐻".encode()[:2], tokenizer.end_of_text])
    pieces = list(stream(model, tokenizer, "x", GREEDY))
    text = "".join(piece.text for piece in pieces)
    assert text.startswith("A")
    assert "\ufffd" in text
    assert pieces[-1].id == -1


def test_generation_leaves_the_model_as_it_was() -> None:
    model = model_of().train()
    list(next_ids(model, [1], SAMPLED, None))
    assert model.training
    model.loss(torch.ones(1, 4, dtype=torch.long), torch.ones(1, 4, dtype=torch.long))


# Many at once.


class Counted:
    """Counts the passes of a model, and the tokens in each: `(texts, time)`."""

    def __init__(self, model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passes: list[tuple[int, ...]] = []
        step = model.step

        def counted(ids: Tensor, state: Any, lengths: Sequence[int] | None = None) -> Tensor:
            self.passes.append(tuple(ids.shape))
            return step(ids, state, lengths)

        monkeypatch.setattr(model, "step", counted)


def written(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    settings: SamplingSettings,
    end_of_text: int | None = None,
    **options: Any,
) -> list[Continuation]:
    """Texts with seeds that count up, all at once."""
    texts = [Continuation(list(ids), settings.seed + at) for at, ids in enumerate(prompts)]
    engine = Engine(model, texts, settings, end_of_text, **options)
    while engine.step():
        assert len(engine._rows) <= engine._at_once
    return texts


def prompts_of(*lengths: int) -> list[list[int]]:
    return [[(5 * place + 3 * at) % 61 for place in range(n)] for at, n in enumerate(lengths)]


LENGTHS = (1, 5, BLOCK, BLOCK - 1, 30, 2, 7, BLOCK + 1)


@pytest.mark.parametrize("position", ["learned", "rope"])
@pytest.mark.parametrize("chosen", [GREEDY, SAMPLED, PENALISED], ids=["greedy", "drawn", "penal"])
def test_texts_beside_each_other_are_those_alone(chosen: SamplingSettings, position: str) -> None:
    """Different lengths, so that their windows slide at different times; some end early."""
    model, prompts = model_of(position=position), prompts_of(*LENGTHS)
    # A token that some of them draw, and not at the same time.
    for end in (None, 18):
        alone = [
            written(model, [ids], chosen.with_(seed=chosen.seed + at), end)[0]
            for at, ids in enumerate(prompts)
        ]
        for options in ({"at_once": 8}, {"at_once": 3}, {"at_once": 1}, {}, {"cached": False}):
            assert written(model, prompts, chosen, end, **options) == alone


def test_some_of_those_texts_end_early_and_at_different_times() -> None:
    texts = written(model_of(), prompts_of(*LENGTHS), SAMPLED, 18)
    grown = {len(text.ids) - n for text, n in zip(texts, LENGTHS, strict=True)}
    assert {text.ended for text in texts} == {"end of text", "max tokens"}
    assert len(grown) > 2


@pytest.mark.parametrize("switches", SWITCHES[::3], ids=named)
def test_texts_beside_each_other_are_those_alone_for_every_switch(
    switches: dict[str, object],
) -> None:
    model, prompts = model_of(**switches), prompts_of(1, 9, 14, 4)
    alone = [written(model, [ids], SAMPLED.with_(seed=5 + at))[0] for at, ids in enumerate(prompts)]
    assert written(model, prompts, SAMPLED) == alone


def test_a_prompt_costs_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(block_size=64)
    counted = Counted(model, monkeypatch)
    written(model, prompts_of(40), SAMPLED.with_(max_tokens=10))
    assert counted.passes == [(1, 40), *[(1, 1)] * 9]
    counted.passes.clear()
    written(model, prompts_of(3, 40, 7), SAMPLED.with_(max_tokens=10))
    assert counted.passes == [(3, 40), *[(3, 1)] * 9]


def test_samples_of_one_prompt_read_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(block_size=64)
    counted = Counted(model, monkeypatch)
    prompt, other = prompts_of(40, 41)
    texts = written(model, [prompt, other, prompt, prompt], SAMPLED.with_(max_tokens=10))
    assert counted.passes == [(2, 41), *[(4, 1)] * 9]
    assert len({tuple(text.ids) for text in texts}) == 4


def test_a_window_that_slides_is_read_anew_once_in_a_stride(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = model_of(block_size=16)
    counted = Counted(model, monkeypatch)
    written(model, prompts_of(16), SAMPLED.with_(max_tokens=33))
    # A stride is 4: 13 tokens are read, then one for each that is written.
    assert counted.passes == [(1, 16), *[(1, 13), (1, 1), (1, 1), (1, 1)] * 8]


def test_seeds_reproduce_whatever_the_batch_size() -> None:
    model, (prompt,) = model_of(), prompts_of(5)
    alone = [list(next_ids(model, prompt, SAMPLED.with_(seed=5 + n), None)) for n in range(8)]
    for many in (1, 3, 8):
        for at_once in (1, 2, 8):
            texts = written(model, [prompt] * many, SAMPLED, at_once=at_once)
            assert [text.ids[5:] for text in texts] == alone[:many]


def test_a_text_that_is_gone_on_with_is_the_one_in_one_go() -> None:
    model, (prompt, other) = model_of(), prompts_of(5, 9)
    whole = list(next_ids(model, prompt, SAMPLED, None))
    for cut in (1, 7, 13):
        texts = [Continuation(list(prompt), SAMPLED.seed), Continuation(list(other), 1)]
        while len(texts[0].ids) < len(prompt) + len(whole):
            left = len(prompt) + len(whole) - len(texts[0].ids)
            texts[0].ended = ""
            engine = Engine(model, texts, SAMPLED.with_(max_tokens=min(cut, left)), None)
            while engine.step():
                pass
            assert texts[0].ended == "max tokens"
        assert texts[0].ids[5:] == whole


def test_texts_that_ended_before_they_began_are_passed_over() -> None:
    texts = [Continuation([1], at, ended="stopped" if at < 3 else "") for at in range(5)]
    engine = Engine(model_of(), texts, GREEDY.with_(max_tokens=4), None, at_once=1)
    while engine.step():
        pass
    assert [len(text.ids) for text in texts] == [1, 1, 1, 5, 5]


def test_one_of_the_texts_is_ended_from_outside() -> None:
    model, prompts = model_of(), prompts_of(3, 8, 5)
    whole = written(model, prompts, SAMPLED)
    texts = [Continuation(list(ids), SAMPLED.seed + at) for at, ids in enumerate(prompts)]
    engine = Engine(model, texts, SAMPLED, None)
    for _ in range(4):
        assert engine.step() == texts
    texts[1].ended = "stop string"
    while grown := engine.step():
        assert texts[1] not in grown
    assert texts[1].ids == whole[1].ids[: 8 + 4]
    assert [texts[0], texts[2]] == [whole[0], whole[2]]


def test_as_many_texts_at_once_as_their_states_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    from slm_tui.generation import engine

    model = model_of()
    size = model.start(1).nbytes
    assert texts_at_once(model) == 32
    monkeypatch.setattr(engine, "_MOST_STATE_BYTES", size * 5 + 1)
    assert texts_at_once(model) == 5
    monkeypatch.setattr(engine, "_MOST_STATE_BYTES", 1)
    assert texts_at_once(model) == 1


def test_how_weights_are_stored_changes_no_text() -> None:
    model, prompts = model_of(activation="swiglu"), prompts_of(3, 8, 14)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    texts = written(model, prompts, SAMPLED)
    lay_out(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert written(model, prompts, SAMPLED) == texts


def test_a_draw_that_is_taken_back_is_made_again() -> None:
    whole = written(model_of(), [[4, 9]], SAMPLED)[0].ids
    text = Continuation([4, 9], SAMPLED.seed)
    engine = Engine(model_of(), [text], SAMPLED.with_(max_tokens=10), None)
    for _ in range(5):
        engine.step()
    text.ids.pop()
    text.drawn -= 1
    again = Engine(model_of(), [text], SAMPLED, None)
    while again.step():
        pass
    assert text.ids[: len(whole)] == whole


# The 99.9th percentiles of chi-squared.
CRITICAL = {4: 18.47, 60: 99.61}


@pytest.mark.parametrize(
    ("chosen", "freedom"),
    [
        (SamplingSettings(temperature=3.0), 60),
        (SamplingSettings(temperature=3.0, top_k=5), 4),
        (SamplingSettings(temperature=2.0, top_p=0.5), None),
    ],
    ids=["all", "top-k", "top-p"],
)
def test_many_samples_of_a_prompt_have_the_chances_of_the_model(
    chosen: SamplingSettings, freedom: int | None
) -> None:
    """One token each, in batches, with seeds that count up: against the softmax by definition."""
    model = build(GptModel(n_layer=1, n_head=2, n_embd=16, block_size=BLOCK), 61, CPU, 3).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6)
        logits = model(torch.tensor([[4, 9, 2]]))[0, -1].double() / chosen.temperature
    ranked = logits.argsort(descending=True)
    chances = torch.softmax(logits, 0)
    if chosen.top_k:
        ranked = ranked[: chosen.top_k]
    if chosen.top_p:
        mass = chances[ranked].cumsum(0)
        ranked = ranked[: int((mass < chosen.top_p).sum()) + 1]
    allowed = chances[ranked] / chances[ranked].sum()
    many = 6000
    texts = written(model, [[4, 9, 2]] * many, chosen.with_(max_tokens=1), at_once=500)
    counts = torch.bincount(torch.tensor([text.ids[-1] for text in texts]), minlength=61)
    assert int(counts.sum()) == int(counts[ranked].sum()) == many
    expected = allowed * many
    assert float(expected.min()) > 5
    statistic = float(((counts[ranked] - expected) ** 2 / expected).sum())
    degrees = len(ranked) - 1
    assert freedom is None or degrees == freedom
    # Wilson and Hilferty's approximation of the same percentile.
    limit = degrees * (1 - 2 / (9 * degrees) + 3.09 * (2 / (9 * degrees)) ** 0.5) ** 3
    assert statistic < CRITICAL.get(degrees, limit)
