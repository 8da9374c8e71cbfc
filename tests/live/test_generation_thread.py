"""The generator: it loads, generates, stops immediately, and leaves global state unchanged."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import pytest
import torch

from slm_tui.errors import SlmTuiError
from slm_tui.generation.completions import complete
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.live.fair_lock import FairLock
from slm_tui.live.generation_thread import GenerationStatus, GenerationThread
from slm_tui.training import checkpoint
from tests.conftest import make_tiny
from tests.tui.made_runs import add_checkpoints, add_run

SHORT = SamplingSettings(max_tokens=12)
ENDLESS = SamplingSettings(max_tokens=100_000, temperature=0.0)


@pytest.fixture
def generator() -> Iterator[GenerationThread]:
    thread = GenerationThread()
    yield thread
    thread.close()


def wait(
    generator: GenerationThread, holds: Callable[[GenerationStatus], object]
) -> GenerationStatus:
    for _ in range(6000):
        generation = generator.poll()
        if holds(generation):
            return generation
        time.sleep(0.01)
    raise AssertionError(f"never came: {generator.poll()}")


def ready(generation: GenerationStatus) -> bool:
    return generation.state == "ready"


@pytest.fixture
def saved() -> Path:
    return add_run("talker", checkpoints=[10, 20], best=10).checkpoints / "step-000010"


def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Greedy tiny models end early, so end of text is never sampled here."""
    from slm_tui.generation import engine

    real = engine.draw

    def draw(logits: torch.Tensor, *rest: object) -> torch.Tensor:
        logits = logits.clone()
        logits[:, 128:] = -torch.inf
        return real(logits, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "draw", draw)


def test_nothing_is_loaded_at_first(generator: GenerationThread) -> None:
    assert generator.poll() == GenerationStatus("empty")
    generator.complete("Once", SHORT)
    generation = generator.poll()
    assert generation.state == "failed"
    assert generation.error is not None
    assert generation.error.remedy


def test_it_reports_what_it_loaded(generator: GenerationThread, saved: Path) -> None:
    generator.load(saved)
    facts = wait(generator, ready).facts
    assert facts is not None
    assert facts.checkpoint == saved
    assert facts.run == saved.parent.parent.name
    assert (facts.step, facts.context, facts.tokenizer) == (10, 16, "bytes")
    weights = checkpoint.read(saved).weights()
    assert facts.parameters == sum(one.numel() for one in weights.values())


def test_it_generates_the_same_text_as_the_engine(generator: GenerationThread, saved: Path) -> None:
    loaded = checkpoint.read(saved)
    model, tokenizer = loaded.model(torch.device("cpu")), loaded.tokenizer()
    expected = complete(model, tokenizer, "Once", SHORT, begin=loaded.state.begins_documents)
    generator.load(saved)
    wait(generator, ready)
    generator.complete("Once", SHORT)
    generation = wait(generator, lambda one: one.ended)
    assert expected.startswith(generation.text)
    assert len(expected) - len(generation.text) <= 1  # half a character may wait for its rest
    assert generation.tokens <= SHORT.max_tokens
    assert generation.tokens_per_second > 0


def test_a_prompt_sent_while_loading_is_not_lost(generator: GenerationThread, saved: Path) -> None:
    generator.load(saved)
    generator.complete("Once", SHORT)
    generation = wait(generator, lambda one: one.ended)
    assert generation.completion == 1
    assert generation.facts is not None


def test_a_run_directory_loads_its_best_checkpoint(
    generator: GenerationThread, saved: Path
) -> None:
    generator.load(saved.parent.parent)
    facts = wait(generator, ready).facts
    assert facts is not None
    assert facts.step == 10


def test_stop_takes_effect_immediately_and_nothing_follows(
    generator: GenerationThread, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless(monkeypatch)
    generator.load(saved)
    wait(generator, ready)
    generator.complete("Once", ENDLESS)
    wait(generator, lambda one: one.tokens > 5)
    generator.stop()
    stopped = generator.poll()
    assert (stopped.state, stopped.ended) == ("ready", "stopped")
    generator.complete("Twice", SHORT)
    wait(generator, lambda one: one.ended)
    assert generator.poll().completion == stopped.completion + 1


def test_continuing_is_exact_token_by_token(
    generator: GenerationThread, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless(monkeypatch)
    greedy = SamplingSettings(temperature=0.0, max_tokens=6)
    generator.load(saved)
    wait(generator, ready)
    generator.complete("Once", greedy)
    first = wait(generator, lambda one: one.ended).text
    generator.continue_last("Once" + first, greedy)
    second = wait(generator, lambda one: one.completion == 2 and one.ended).text
    generator.complete("Once", greedy.with_(max_tokens=12))
    assert wait(generator, lambda one: one.completion == 3 and one.ended).text == first + second


def test_an_incomplete_character_counts_only_if_it_stays_incomplete(
    generator: GenerationThread, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slm_tui.generation import engine

    # `é`, an invalid start byte, and `€` truncated by the end of the completion.
    feed = iter([0xC3, 0xA9, 0x80, 0xE2, 0x82])
    monkeypatch.setattr(engine, "draw", lambda *_: torch.tensor([next(feed)]))
    generator.load(saved)
    wait(generator, ready)
    generator.complete("Once", SamplingSettings(max_tokens=5))
    generation = wait(generator, lambda one: one.ended)
    assert generation.text == "é\ufffd"
    assert generation.invalid_bytes == 1


def test_loading_another_checkpoint_ends_the_completion(
    generator: GenerationThread, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless(monkeypatch)
    generator.load(saved)
    wait(generator, ready)
    generator.complete("Once", ENDLESS)
    wait(generator, lambda one: one.tokens > 3)
    generator.load(saved.with_name("step-000020"))
    assert generator.poll().state == "loading"
    facts = wait(generator, ready).facts
    assert facts is not None
    assert facts.step == 20


def test_the_last_of_many_loads_wins(generator: GenerationThread, saved: Path) -> None:
    for step in (10, 20, 10, 20):
        generator.load(saved.with_name(f"step-0000{step}"))
    facts = wait(generator, ready).facts
    assert facts is not None
    assert facts.step == 20


def test_a_damaged_checkpoint_is_rejected_and_another_still_loads(
    generator: GenerationThread, saved: Path
) -> None:
    weights = saved / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    generator.load(saved)
    failed = wait(generator, lambda one: one.state == "failed")
    assert failed.facts is None
    assert isinstance(failed.error, SlmTuiError)
    assert "damaged" in str(failed.error)
    generator.load(saved.with_name("step-000020"))
    assert wait(generator, ready).error is None


def test_a_run_without_checkpoints_shows_what_to_do(generator: GenerationThread) -> None:
    generator.load(add_run("empty").path)
    error = wait(generator, lambda one: one.state == "failed").error
    assert error is not None
    assert "train it further" in error.remedy
    generator.load(Path("/nowhere/step-000001"))
    assert wait(generator, lambda one: one.state == "failed").error is not None


def test_global_random_state_and_thread_count_are_unchanged(
    generator: GenerationThread, saved: Path
) -> None:
    torch.set_num_threads(2)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    generator.load(saved)
    generator.complete("Once", SHORT)
    wait(generator, lambda one: one.ended)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_closing_ends_the_thread(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless(monkeypatch)
    generator = GenerationThread()
    generator.load(saved)
    wait(generator, ready)
    generator.complete("Once", ENDLESS)
    wait(generator, lambda one: one.tokens)
    generator.close()
    assert generator._thread not in threading.enumerate()


def test_a_wide_model_of_another_run_takes_its_place(
    generator: GenerationThread, saved: Path
) -> None:
    wide = make_tiny(model__n_embd=32)
    run = add_run("wide", preset=wide)
    add_checkpoints(run, wide, [30])
    generator.load(saved)
    first = wait(generator, ready).facts
    generator.load(run.path)
    second = wait(generator, lambda one: one.facts and one.facts.step == 30).facts
    assert first is not None
    assert second is not None
    assert second.parameters > first.parameters


class HookedTurns(FairLock):
    """A lock that calls a hook on release, before the new token is published."""

    def __init__(self) -> None:
        super().__init__()
        self.then: Callable[[], None] = lambda: None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self.then()


def test_tokens_match_the_published_text(saved: Path) -> None:
    lock = HookedTurns()
    generator = GenerationThread(lock)
    generator.load(saved)
    wait(generator, ready)
    seen: list[tuple[int, int]] = []

    def look() -> None:
        tokens = generator.tokens()
        assert tokens is not None
        seen.append((len(tokens.ids) - tokens.prompt, generator.poll().tokens))

    lock.then = look
    generator.complete("Once", SHORT)
    wait(generator, lambda one: one.ended)
    generator.close()
    assert seen
    assert all(have == message for have, message in seen)


def test_an_end_of_text_dropped_by_a_stop_is_sampled_again(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slm_tui.generation import engine
    from slm_tui.generation.sampling import noise

    numbers: list[float] = []

    def draw(logits: torch.Tensor, _: object, noises: torch.Tensor, *rest: object) -> torch.Tensor:
        numbers.append(float(noises[0]))
        # The third token is the end of text.
        return torch.tensor([65 if len(numbers) < 3 else logits.shape[1] - 1])

    monkeypatch.setattr(engine, "draw", draw)
    lock = HookedTurns()
    generator = GenerationThread(lock)
    generator.load(saved)
    wait(generator, ready)
    lock.then = lambda: generator.stop() if len(numbers) == 3 else None
    generator.complete("Once", SHORT)
    wait(generator, lambda one: one.ended == "stopped")
    lock.then = lambda: None
    generator.continue_last("", SHORT)
    wait(generator, lambda one: one.ended == "end of text")
    generator.close()
    assert numbers == [*noise(SHORT.seed, 0, 3), *noise(SHORT.seed, 2)]


def test_a_text_continues_with_the_requested_seed(generator: GenerationThread, saved: Path) -> None:
    generator.load(saved)
    wait(generator, ready)
    texts = []
    for seed in (1, 1, 2):
        generator.complete("Once", SHORT.with_(seed=1, temperature=2.0))
        wait(generator, lambda one: one.ended)
        generator.continue_last("", SHORT.with_(seed=seed, temperature=2.0))
        wait(generator, lambda one: one.ended)
        texts.append(generator.tokens())
    assert texts[0] == texts[1] != texts[2]
