"""The speaker: it loads, writes, stops at once, and leaves the process's random state alone."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import pytest
import torch

from slm_tui.errors import SlmTuiError
from slm_tui.generation.sampling import SamplingSettings
from slm_tui.generation.texts import complete
from slm_tui.runs.speaker import Speaker, Spoken
from slm_tui.runs.turns import Turns
from slm_tui.training import checkpoint
from tests.conftest import make_tiny
from tests.tui.made_runs import add_checkpoints, add_run

SHORT = SamplingSettings(max_tokens=12)
ENDLESS = SamplingSettings(max_tokens=100_000, temperature=0.0)


@pytest.fixture
def speaker() -> Iterator[Speaker]:
    made = Speaker()
    yield made
    made.close()


def wait(speaker: Speaker, holds: Callable[[Spoken], object]) -> Spoken:
    for _ in range(6000):
        spoken = speaker.poll()
        if holds(spoken):
            return spoken
        time.sleep(0.01)
    raise AssertionError(f"never came: {speaker.poll()}")


def ready(spoken: Spoken) -> bool:
    return spoken.state == "ready"


@pytest.fixture
def saved() -> Path:
    return add_run("talker", checkpoints=[10, 20], best=10).checkpoints / "step-000010"


def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Greedy tiny models end soon: here the end of text is never drawn."""
    from slm_tui.generation import engine

    real = engine.draw

    def draw(logits: torch.Tensor, *rest: object) -> torch.Tensor:
        logits = logits.clone()
        logits[:, 128:] = -torch.inf
        return real(logits, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "draw", draw)


def test_nothing_is_loaded_at_first(speaker: Speaker) -> None:
    assert speaker.poll() == Spoken("empty")
    speaker.say("Once", SHORT)
    spoken = speaker.poll()
    assert spoken.state == "failed"
    assert spoken.error is not None
    assert spoken.error.remedy


def test_it_tells_what_it_loaded(speaker: Speaker, saved: Path) -> None:
    speaker.load(saved)
    facts = wait(speaker, ready).facts
    assert facts is not None
    assert facts.checkpoint == saved
    assert facts.run == saved.parent.parent.name
    assert (facts.step, facts.block_size, facts.tokenizer) == (10, 16, "bytes")
    weights = checkpoint.read(saved).weights()
    assert facts.parameters == sum(one.numel() for one in weights.values())


def test_it_writes_what_the_engine_writes(speaker: Speaker, saved: Path) -> None:
    found = checkpoint.read(saved)
    model, tokenizer = found.model(torch.device("cpu")), found.tokenizer()
    expected = complete(model, tokenizer, "Once", SHORT, begin=found.state.begins_documents)
    speaker.load(saved)
    wait(speaker, ready)
    speaker.say("Once", SHORT)
    spoken = wait(speaker, lambda one: one.ended)
    assert expected.startswith(spoken.text)
    assert len(expected) - len(spoken.text) <= 1  # half a character may wait for its rest
    assert spoken.tokens <= SHORT.max_tokens
    assert spoken.tokens_per_second > 0


def test_a_prompt_said_while_loading_is_not_lost(speaker: Speaker, saved: Path) -> None:
    speaker.load(saved)
    speaker.say("Once", SHORT)
    spoken = wait(speaker, lambda one: one.ended)
    assert spoken.answer == 1
    assert spoken.facts is not None


def test_a_run_directory_loads_its_best_checkpoint(speaker: Speaker, saved: Path) -> None:
    speaker.load(saved.parent.parent)
    facts = wait(speaker, ready).facts
    assert facts is not None
    assert facts.step == 10


def test_stop_takes_effect_at_once_and_nothing_comes_after_it(
    speaker: Speaker, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless(monkeypatch)
    speaker.load(saved)
    wait(speaker, ready)
    speaker.say("Once", ENDLESS)
    wait(speaker, lambda one: one.tokens > 5)
    speaker.stop()
    stopped = speaker.poll()
    assert (stopped.state, stopped.ended) == ("ready", "stopped")
    speaker.say("Twice", SHORT)
    wait(speaker, lambda one: one.ended)
    assert speaker.poll().answer == stopped.answer + 1


def test_going_on_continues_token_by_token(
    speaker: Speaker, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless(monkeypatch)
    greedy = SamplingSettings(temperature=0.0, max_tokens=6)
    speaker.load(saved)
    wait(speaker, ready)
    speaker.say("Once", greedy)
    first = wait(speaker, lambda one: one.ended).text
    speaker.go_on("Once" + first, greedy)
    second = wait(speaker, lambda one: one.answer == 2 and one.ended).text
    speaker.say("Once", greedy.with_(max_tokens=12))
    assert wait(speaker, lambda one: one.answer == 3 and one.ended).text == first + second


def test_half_a_character_is_counted_only_when_it_stays_half(
    speaker: Speaker, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slm_tui.generation import engine

    # `é`, a byte that begins nothing, `€` cut by the end of the answer.
    feed = iter([0xC3, 0xA9, 0x80, 0xE2, 0x82])
    monkeypatch.setattr(engine, "draw", lambda *_: torch.tensor([next(feed)]))
    speaker.load(saved)
    wait(speaker, ready)
    speaker.say("Once", SamplingSettings(max_tokens=5))
    spoken = wait(speaker, lambda one: one.ended)
    assert spoken.text == "é\ufffd"
    assert spoken.invalid_bytes == 1


def test_loading_another_checkpoint_ends_what_is_spoken(
    speaker: Speaker, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless(monkeypatch)
    speaker.load(saved)
    wait(speaker, ready)
    speaker.say("Once", ENDLESS)
    wait(speaker, lambda one: one.tokens > 3)
    speaker.load(saved.with_name("step-000020"))
    assert speaker.poll().state == "loading"
    facts = wait(speaker, ready).facts
    assert facts is not None
    assert facts.step == 20


def test_the_last_of_many_loads_wins(speaker: Speaker, saved: Path) -> None:
    for step in (10, 20, 10, 20):
        speaker.load(saved.with_name(f"step-0000{step}"))
    facts = wait(speaker, ready).facts
    assert facts is not None
    assert facts.step == 20


def test_a_damaged_checkpoint_is_refused_and_another_still_loads(
    speaker: Speaker, saved: Path
) -> None:
    weights = saved / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    speaker.load(saved)
    failed = wait(speaker, lambda one: one.state == "failed")
    assert failed.facts is None
    assert isinstance(failed.error, SlmTuiError)
    assert "damaged" in str(failed.error)
    speaker.load(saved.with_name("step-000020"))
    assert wait(speaker, ready).error is None


def test_a_run_without_checkpoints_says_what_to_do(speaker: Speaker) -> None:
    speaker.load(add_run("empty").path)
    error = wait(speaker, lambda one: one.state == "failed").error
    assert error is not None
    assert "train it further" in error.remedy
    speaker.load(Path("/nowhere/step-000001"))
    assert wait(speaker, lambda one: one.state == "failed").error is not None


def test_the_global_random_state_and_the_threads_of_others_stay(
    speaker: Speaker, saved: Path
) -> None:
    torch.set_num_threads(2)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    speaker.load(saved)
    speaker.say("Once", SHORT)
    wait(speaker, lambda one: one.ended)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_closing_ends_the_thread(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless(monkeypatch)
    speaker = Speaker()
    speaker.load(saved)
    wait(speaker, ready)
    speaker.say("Once", ENDLESS)
    wait(speaker, lambda one: one.tokens)
    speaker.close()
    assert speaker._thread not in threading.enumerate()


def test_a_wide_model_of_another_run_takes_its_place(speaker: Speaker, saved: Path) -> None:
    wide = make_tiny(model__n_embd=32)
    run = add_run("wide", preset=wide)
    add_checkpoints(run, wide, [30])
    speaker.load(saved)
    first = wait(speaker, ready).facts
    speaker.load(run.path)
    second = wait(speaker, lambda one: one.facts and one.facts.step == 30).facts
    assert first is not None
    assert second is not None
    assert second.parameters > first.parameters


class HookedTurns(Turns):
    """Turns at whose end, before anything of the new token is told, something happens."""

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


def test_tokens_are_those_of_the_text_that_is_told(saved: Path) -> None:
    turns = HookedTurns()
    speaker = Speaker(turns)
    speaker.load(saved)
    wait(speaker, ready)
    seen: list[tuple[int, int]] = []

    def look() -> None:
        tokens = speaker.tokens()
        assert tokens is not None
        seen.append((len(tokens.ids) - tokens.prompt, speaker.poll().tokens))

    turns.then = look
    speaker.say("Once", SHORT)
    wait(speaker, lambda one: one.ended)
    speaker.close()
    assert seen
    assert all(have == told for have, told in seen)


def test_an_end_of_text_that_a_stop_dropped_is_drawn_again(
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
    turns = HookedTurns()
    speaker = Speaker(turns)
    speaker.load(saved)
    wait(speaker, ready)
    turns.then = lambda: speaker.stop() if len(numbers) == 3 else None
    speaker.say("Once", SHORT)
    wait(speaker, lambda one: one.ended == "stopped")
    turns.then = lambda: None
    speaker.go_on("", SHORT)
    wait(speaker, lambda one: one.ended == "end of text")
    speaker.close()
    assert numbers == [*noise(SHORT.seed, 0, 3), *noise(SHORT.seed, 2)]


def test_a_text_goes_on_with_the_seed_that_is_asked_for(speaker: Speaker, saved: Path) -> None:
    speaker.load(saved)
    wait(speaker, ready)
    texts = []
    for seed in (1, 1, 2):
        speaker.say("Once", SHORT.with_(seed=1, temperature=2.0))
        wait(speaker, lambda one: one.ended)
        speaker.go_on("", SHORT.with_(seed=seed, temperature=2.0))
        wait(speaker, lambda one: one.ended)
        texts.append(speaker.tokens())
    assert texts[0] == texts[1] != texts[2]
