"""A loaded checkpoint that writes text in a thread of its own, while others poll what it wrote."""

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slm_tui.errors import CheckpointError, GenerationError, SlmTuiError, in_words
from slm_tui.runs import store
from slm_tui.runs.info import is_run
from slm_tui.runs.store import Run
from slm_tui.runs.turns import Turns

if TYPE_CHECKING:
    from slm_tui.corpus.tokenizers import Tokenizer
    from slm_tui.generation.engine import Continuation
    from slm_tui.generation.sampling import SamplingSettings
    from slm_tui.generation.texts import TextDecoder
    from slm_tui.models.base import LanguageModel
    from slm_tui.training.checkpoint import Checkpoint

State = Literal["empty", "loading", "ready", "speaking", "failed"]
Ending = Literal["", "end of text", "stop string", "max tokens", "stopped"]

_CLOSING_SECONDS = 1.0


@dataclass(frozen=True)
class Facts:
    """What is loaded. `block_size` in tokens; losses in nats per token."""

    checkpoint: Path
    run: str
    step: int
    parameters: int
    block_size: int
    tokenizer: str
    n_vocab: int
    begins_documents: bool = True


@dataclass(frozen=True)
class Spoken:
    """The speaker at one instant.

    `answer` counts the answers, so that a new one is told from the one before; `text` is the
    current answer so far, `tokens` how many it has, `context` how many tokens prompt and text
    have together, `invalid_bytes` how many bytes of the text are not UTF-8.
    """

    state: State = "empty"
    answer: int = 0
    text: str = ""
    tokens: int = 0
    tokens_per_second: float = 0.0
    context: int = 0
    invalid_bytes: int = 0
    ended: Ending = ""
    error: SlmTuiError | None = None
    facts: Facts | None = None


@dataclass(frozen=True)
class Tokens:
    """A text as the model sees it: the first `prompt` of the ids were given."""

    ids: tuple[int, ...]
    prompt: int


@dataclass(frozen=True)
class _Request:
    prompt: str
    settings: "SamplingSettings"
    answer: int
    go_on: bool = False
    tokens: Tokens | None = None


@dataclass
class Loaded:
    """A model, and the text that it wrote last.

    `decoder` may hold half a character of it, or half a stop string; `prompt` is how many of its
    ids were given, `told` how many are known outside: one more may just have been drawn.
    """

    checkpoint: Path
    model: "LanguageModel"
    tokenizer: "Tokenizer"
    begins_documents: bool
    # The fingerprint of the corpus that it was trained on.
    corpus: str = ""
    text: "Continuation | None" = None
    decoder: "TextDecoder | None" = None
    prompt: int = 0
    told: int = 0


class Speaker:
    """Owns a model. All methods return at once and may be called from any thread.

    Its thread computes with one CPU thread, so that a training beside it keeps its own, and
    draws nothing from torch's global generator. Speakers with the same `turns` write a token
    each in turn.
    """

    def __init__(self, turns: Turns | None = None) -> None:
        self._turns = turns or Turns()
        self._changed = threading.Condition()
        self._spoken = Spoken()
        self._path: Path | None = None
        self._request: _Request | None = None
        self._loads = 0
        self._stop = threading.Event()
        self._closed = False
        self._loaded: Loaded | None = None
        self._thread = threading.Thread(target=self._main, name="speaker", daemon=True)

    # Asked from outside

    def load(self, checkpoint: Path) -> None:
        """Load a checkpoint, or the best one of a run directory; what is spoken ends first."""
        with self._changed:
            self._loads += 1
            self._path, self._request = checkpoint, None
            self._stop.set()
            self._spoken = Spoken("loading", self._spoken.answer)
            self._wake()

    def say(self, prompt: str, settings: "SamplingSettings") -> None:
        """Continue `prompt`; an answer that is being spoken ends first."""
        self._ask(_Request(prompt, settings, 0))

    def go_on(self, text: str, settings: "SamplingSettings") -> None:
        """Continue the last answer from where it stopped, as if it had not.

        `text` is that answer with its prompt: used if another model is loaded by now.
        """
        self._ask(_Request(text, settings, 0, go_on=True))

    def go_on_from(self, tokens: Tokens, settings: "SamplingSettings") -> None:
        """Continue these very tokens; what is spoken is all that follows the prompt."""
        self._ask(_Request("", settings, 0, tokens=tokens))

    def loaded(self) -> Loaded | None:
        """The model, once it is there; for reading alone, and for as long as it is needed."""
        return self._loaded

    def tokens(self) -> Tokens | None:
        """The tokens of the answer so far, with those of its prompt."""
        with self._changed:
            loaded = self._loaded
            if loaded is None or loaded.text is None:
                return None
            return Tokens(tuple(loaded.text.ids[: loaded.told]), loaded.prompt)

    def _ask(self, request: _Request) -> None:
        with self._changed:
            before = self._spoken
            self._stop.set()
            if before.state != "loading" and before.facts is None:
                error = GenerationError("no model is loaded", "", "choose a checkpoint first")
                self._spoken = replace(before, state="failed", error=before.error or error)
                return
            self._request = replace(request, answer=before.answer + 1)
            self._spoken = Spoken(
                "loading" if before.state == "loading" else "speaking",
                before.answer + 1,
                facts=before.facts,
            )
            self._wake()

    def stop(self) -> None:
        """End the answer. What comes of the token being computed is dropped."""
        with self._changed:
            self._request = None
            self._stop.set()
            if self._spoken.state == "speaking":
                self._spoken = replace(self._spoken, state="ready", ended="stopped")

    def poll(self) -> Spoken:
        """The state now."""
        return self._spoken

    def close(self) -> None:
        """End the thread and let go of the model."""
        with self._changed:
            self._closed, self._request, self._path = True, None, None
            self._stop.set()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(_CLOSING_SECONDS)

    def _wake(self) -> None:
        if self._thread.ident is None and not self._closed:
            self._thread.start()
        self._changed.notify_all()

    # In the thread

    def _main(self) -> None:
        try:
            import torch

            torch.set_num_threads(1)
        except Exception as error:  # noqa: BLE001 - a broken install fails in many ways
            with self._changed:
                self._spoken = Spoken("failed", error=_worded(error, "PyTorch cannot be loaded"))
            return
        while True:
            with self._changed:
                while not (self._closed or self._path or self._request):
                    self._changed.wait()
                if self._closed:
                    break
                path, number = self._path, self._loads
                request = None if path else self._request
                self._path = None
                if request is not None:
                    self._request, self._stop = None, threading.Event()
                stop = self._stop
            if path is not None:
                self._load(path, number)
            elif request is not None:
                self._speak(request, stop)
        self._loaded = None

    def _load(self, path: Path, number: int) -> None:
        self._loaded = None
        loaded, facts, problem = None, None, None
        try:
            loaded, facts = _open(path)
        except Exception as error:  # noqa: BLE001 - told to whoever polls
            problem = _worded(error, f"checkpoint {path.name} cannot be loaded")
        with self._changed:
            if number != self._loads:
                return
            self._loaded = loaded
            if problem is not None:
                self._request = None
                self._spoken = Spoken("failed", self._spoken.answer, error=problem)
            else:
                state: State = "speaking" if self._request else "ready"
                self._spoken = replace(self._spoken, state=state, facts=facts)

    def _speak(self, request: _Request, stop: threading.Event) -> None:
        loaded = self._loaded
        if loaded is None:
            return
        try:
            # A training in this process makes room meanwhile: both would be slow otherwise.
            with self._turns.computing():
                self._write(loaded, request, stop)
        except Exception as error:  # noqa: BLE001 - told to whoever polls
            problem = _worded(error, "the text cannot be continued")
            self._update(request, stop, state="failed", error=problem)

    def _write(self, loaded: Loaded, request: _Request, stop: threading.Event) -> None:
        from slm_tui.generation.engine import Engine

        with self._changed:
            text, continuation, decoder = _begin(loaded, request)
        end = loaded.tokenizer.end_of_text
        engine = Engine(loaded.model, [continuation], request.settings, end)
        began, before = time.monotonic(), len(continuation.ids)
        while not continuation.ended and not stop.is_set():
            length, drawn = len(continuation.ids), continuation.drawn
            with self._turns:
                # What comes of a token that is computed when a stop is asked for is dropped.
                made = engine.step()
            with self._changed:
                if stop.is_set():
                    # Also of an end of text: it is drawn again if the text goes on.
                    del continuation.ids[length:]
                    continuation.drawn = drawn
                    return
                if made:
                    text += decoder.feed(continuation.ids[-1])
                if decoder.stopped:
                    continuation.ended = "stop string"
                tokens, loaded.told = len(continuation.ids) - before, len(continuation.ids)
                self._update(
                    request,
                    stop,
                    text=text,
                    tokens=tokens,
                    tokens_per_second=tokens / max(time.monotonic() - began, 1e-9),
                    context=len(continuation.ids),
                    invalid_bytes=decoder.invalid_bytes,
                )
        with self._changed:
            if continuation.ended == "end of text":
                text += decoder.finish()
                continuation.ids.append(end)
                loaded.told = len(continuation.ids)
            self._update(
                request,
                stop,
                state="ready",
                text=text,
                ended=continuation.ended or "stopped",
                invalid_bytes=decoder.invalid_bytes,
            )

    def _update(self, request: _Request, stop: threading.Event, **changes: Any) -> None:
        with self._changed:
            if not stop.is_set() and self._spoken.answer == request.answer:
                self._spoken = replace(self._spoken, **changes)


def _open(path: Path) -> tuple[Loaded, Facts]:
    """Load and verify.

    Raises:
        CheckpointError: it is missing or damaged, or the run has none.
    """
    import torch

    from slm_tui.models.build import count_parameters
    from slm_tui.training import checkpoint

    if is_run(path):
        path = store.checkpoint_of(Run(path))
    if not path.is_dir():
        raise CheckpointError(
            f"checkpoint {path.name} is not there", f"{path} is missing", "choose another one"
        )
    found = checkpoint.read(path.resolve())
    model, tokenizer = found.model(torch.device("cpu")), found.tokenizer()
    state = found.state
    loaded = Loaded(found.path, model, tokenizer, state.begins_documents, state.corpus)
    return loaded, _facts(found, model.block_size, count_parameters(model))


def _facts(found: "Checkpoint", block_size: int, parameters: int) -> Facts:
    return Facts(
        checkpoint=found.path,
        run=found.path.parent.parent.name,
        step=found.state.step,
        parameters=parameters,
        block_size=block_size,
        tokenizer=found.preset.tokenizer.kind,
        n_vocab=found.state.n_vocab,
        begins_documents=found.state.begins_documents,
    )


def _begin(loaded: Loaded, request: _Request) -> "tuple[str, Continuation, TextDecoder]":
    """Make `loaded.text` what is to be continued; what of it is told at once."""
    from slm_tui.generation.engine import Continuation
    from slm_tui.generation.texts import TextDecoder, prompt_ids

    stop = request.settings.stop
    if request.go_on and loaded.text is not None and loaded.decoder is not None:
        loaded.text.ended, loaded.told = "", len(loaded.text.ids)
        loaded.text.seed = request.settings.seed
        return loaded.decoder.go_on(stop), loaded.text, loaded.decoder
    decoder, text = TextDecoder(loaded.tokenizer, stop), ""
    if request.tokens is not None:
        ids, loaded.prompt = list(request.tokens.ids), request.tokens.prompt
        text = "".join(decoder.feed(id) for id in ids[loaded.prompt :])
    else:
        ids = prompt_ids(loaded.tokenizer, request.prompt, begin=loaded.begins_documents)
        loaded.prompt = len(ids)
    loaded.text = Continuation(ids, request.settings.seed, drawn=len(ids) - loaded.prompt)
    loaded.decoder, loaded.told = decoder, len(ids)
    return text, loaded.text, decoder


def _worded(error: Exception, what: str) -> SlmTuiError:
    if isinstance(error, SlmTuiError):
        return error
    return GenerationError(what, in_words(error), "choose another checkpoint")
