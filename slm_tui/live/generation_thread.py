"""A thread that loads a checkpoint and generates completions, which others poll."""

import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slm_tui.errors import CheckpointError, GenerationError, SlmTuiError, in_words
from slm_tui.live.fair_lock import FairLock
from slm_tui.runs import store
from slm_tui.runs.info import is_run
from slm_tui.runs.store import Run

if TYPE_CHECKING:
    from slm_tui.corpus.tokenizers import Tokenizer
    from slm_tui.generation.completions import TextDecoder
    from slm_tui.generation.engine import Continuation
    from slm_tui.generation.sampling import SamplingSettings
    from slm_tui.models.base import LanguageModel
    from slm_tui.training.checkpoint import Checkpoint

State = Literal["empty", "loading", "ready", "generating", "failed"]
Ending = Literal["", "end of text", "stop string", "max tokens", "stopped"]

_CLOSING_SECONDS = 1.0


@dataclass(frozen=True)
class ModelFacts:
    """The loaded model. `context` is the number of tokens that it looks back at; `None` if it has
    no limit."""

    checkpoint: Path
    run: str
    step: int
    parameters: int
    context: int | None
    tokenizer: str
    n_vocab: int
    begins_documents: bool = True


@dataclass(frozen=True)
class GenerationStatus:
    """The current state of the generation thread.

    `completion` numbers the completions; `text` is the current one so far, `tokens` its number of
    tokens, `context` the number of tokens of prompt and text together, `invalid_bytes` how many
    bytes of the text are not UTF-8. `notice` says what makes generation slower than it could be.
    """

    state: State = "empty"
    completion: int = 0
    text: str = ""
    tokens: int = 0
    tokens_per_second: float = 0.0
    context: int = 0
    invalid_bytes: int = 0
    ended: Ending = ""
    error: SlmTuiError | None = None
    facts: ModelFacts | None = None
    notice: str = ""


@dataclass(frozen=True)
class PromptedTokens:
    """A text as the model sees it: the first `prompt` ids are the prompt."""

    ids: tuple[int, ...]
    prompt: int


@dataclass(frozen=True)
class _Request:
    prompt: str
    settings: "SamplingSettings"
    completion: int
    continues: bool = False
    tokens: PromptedTokens | None = None


@dataclass
class LoadedModel:
    """A model and its last completion.

    `decoder` may hold part of a character or of a stop string; `prompt` is how many of the ids
    are the prompt, `published` how many have been published: one more may just have been sampled.
    """

    checkpoint: Path
    model: "LanguageModel"
    tokenizer: "Tokenizer"
    begins_documents: bool
    # The fingerprint of its training corpus.
    corpus: str = ""
    text: "Continuation | None" = None
    decoder: "TextDecoder | None" = None
    prompt: int = 0
    published: int = 0


class GenerationThread:
    """Owns a model. All methods return immediately and may be called from any thread.

    It computes with one CPU thread, so that a concurrent training keeps its own, and does not
    use torch's global random generator. Threads with the same `lock` take turns, one token
    each.
    """

    def __init__(self, lock: FairLock | None = None) -> None:
        self._lock = lock or FairLock()
        self._changed = threading.Condition()
        self._status = GenerationStatus()
        self._path: Path | None = None
        self._request: _Request | None = None
        self._loads = 0
        self._stop = threading.Event()
        self._closed = False
        self._loaded: LoadedModel | None = None
        self._thread = threading.Thread(target=self._main, name="generator", daemon=True)

    # Public interface

    def load(self, checkpoint: Path) -> None:
        """Load a checkpoint, or the best one of a run directory.

        A completion in progress ends first.
        """
        with self._changed:
            self._loads += 1
            self._path, self._request = checkpoint, None
            self._stop.set()
            self._status = GenerationStatus("loading", self._status.completion)
            self._wake()

    def complete(self, prompt: str, settings: "SamplingSettings") -> None:
        """Continue `prompt`; a completion in progress ends first."""
        self._ask(_Request(prompt, settings, 0))

    def continue_last(self, text: str, settings: "SamplingSettings") -> None:
        """Continue the last completion from where it stopped, as if it had never stopped.

        `text` is that completion with its prompt; it is used if another model has been loaded.
        """
        self._ask(_Request(text, settings, 0, continues=True))

    def continue_tokens(self, tokens: PromptedTokens, settings: "SamplingSettings") -> None:
        """Continue exactly these tokens; the completion is everything after the prompt."""
        self._ask(_Request("", settings, 0, tokens=tokens))

    def loaded(self) -> LoadedModel | None:
        """The model, once loaded. Read-only; do not keep it longer than needed."""
        return self._loaded

    def tokens(self) -> PromptedTokens | None:
        """The tokens of the completion so far, with those of its prompt."""
        with self._changed:
            loaded = self._loaded
            if loaded is None or loaded.text is None:
                return None
            return PromptedTokens(tuple(loaded.text.ids[: loaded.published]), loaded.prompt)

    def _ask(self, request: _Request) -> None:
        with self._changed:
            before = self._status
            self._stop.set()
            if before.state != "loading" and before.facts is None:
                error = GenerationError("no model is loaded", "", "choose a checkpoint first")
                self._status = replace(before, state="failed", error=before.error or error)
                return
            self._request = replace(request, completion=before.completion + 1)
            self._status = GenerationStatus(
                "loading" if before.state == "loading" else "generating",
                before.completion + 1,
                facts=before.facts,
            )
            self._wake()

    def stop(self) -> None:
        """Stop the completion. The token being computed is dropped."""
        with self._changed:
            self._request = None
            self._stop.set()
            if self._status.state == "generating":
                self._status = replace(self._status, state="ready", ended="stopped")

    def poll(self) -> GenerationStatus:
        """The current state."""
        return self._status

    def close(self) -> None:
        """Stop the thread and release the model."""
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
                self._status = GenerationStatus(
                    "failed", error=_worded(error, "PyTorch cannot be loaded")
                )
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
                self._generate(request, stop)
        self._loaded = None

    def _load(self, path: Path, number: int) -> None:
        self._loaded = None
        loaded, facts, problem = None, None, None
        try:
            loaded, facts = _open(path)
        except Exception as error:  # noqa: BLE001 - reported by poll()
            problem = _worded(error, f"checkpoint {path.name} cannot be loaded")
        with self._changed:
            if number != self._loads:
                return
            self._loaded = loaded
            if problem is not None:
                self._request = None
                self._status = GenerationStatus("failed", self._status.completion, error=problem)
            else:
                state: State = "generating" if self._request else "ready"
                self._status = replace(self._status, state=state, facts=facts)

    def _generate(self, request: _Request, stop: threading.Event) -> None:
        loaded = self._loaded
        if loaded is None:
            return
        try:
            # A training in this process gives up a thread meanwhile, or both would be slow.
            with self._lock.computing():
                self._write(loaded, request, stop)
        except Exception as error:  # noqa: BLE001 - reported by poll()
            problem = _worded(error, "the text cannot be continued")
            self._update(request, stop, state="failed", error=problem)

    def _write(self, loaded: LoadedModel, request: _Request, stop: threading.Event) -> None:
        from slm_tui.generation.engine import Engine
        from slm_tui.generation.replayed_steps import problem_of

        with self._changed:
            text, continuation, decoder = _begin(loaded, request)
        end = loaded.tokenizer.end_of_text
        engine = Engine(loaded.model, [continuation], request.settings, end)
        began, before = time.monotonic(), len(continuation.ids)
        while not continuation.ended and not stop.is_set():
            length, draws = len(continuation.ids), continuation.draws
            with self._lock:
                # A token that is being computed when a stop is requested is dropped.
                written = engine.step()
            with self._changed:
                if stop.is_set():
                    # Also for end of text: it is sampled again if the text is continued.
                    del continuation.ids[length:]
                    continuation.draws = draws
                    return
                if written:
                    text += decoder.feed(continuation.ids[-1])
                if decoder.stopped:
                    continuation.ended = "stop string"
                tokens, loaded.published = len(continuation.ids) - before, len(continuation.ids)
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
                loaded.published = len(continuation.ids)
            problem = problem_of(loaded.model)
            self._update(
                request,
                stop,
                state="ready",
                text=text,
                ended=continuation.ended or "stopped",
                invalid_bytes=decoder.invalid_bytes,
                notice=f"Generation does not use CUDA graphs: {problem}" if problem else "",
            )

    def _update(self, request: _Request, stop: threading.Event, **changes: Any) -> None:
        with self._changed:
            if not stop.is_set() and self._status.completion == request.completion:
                self._status = replace(self._status, **changes)


def _open(path: Path) -> tuple[LoadedModel, ModelFacts]:
    """Load and verify.

    Raises:
        CheckpointError: the checkpoint is missing or damaged, or the run has none.
    """
    import torch

    from slm_tui.models.build import count_parameters
    from slm_tui.training import checkpoint

    if is_run(path):
        path = store.checkpoint_of(Run(path))
    if not path.is_dir():
        raise CheckpointError(
            f"checkpoint {path.name} not found", f"{path} is missing", "choose another one"
        )
    opened = checkpoint.read(path.resolve())
    model, tokenizer = opened.model(torch.device("cpu")), opened.tokenizer()
    state = opened.state
    loaded = LoadedModel(opened.path, model, tokenizer, state.begins_documents, state.corpus)
    return loaded, _facts(opened, model.context, count_parameters(model))


def _facts(loaded: "Checkpoint", context: int | None, parameters: int) -> ModelFacts:
    return ModelFacts(
        checkpoint=loaded.path,
        run=loaded.path.parent.parent.name,
        step=loaded.state.step,
        parameters=parameters,
        context=context,
        tokenizer=loaded.preset.tokenizer.kind,
        n_vocab=loaded.state.n_vocab,
        begins_documents=loaded.state.begins_documents,
    )


def _begin(loaded: LoadedModel, request: _Request) -> "tuple[str, Continuation, TextDecoder]":
    """Set `loaded.text` to what is to be continued; return the text to publish immediately."""
    from slm_tui.generation.completions import TextDecoder, prompt_ids
    from slm_tui.generation.engine import Continuation

    stop = request.settings.stop
    if request.continues and loaded.text is not None and loaded.decoder is not None:
        loaded.text.ended, loaded.published = "", len(loaded.text.ids)
        loaded.text.seed = request.settings.seed
        return loaded.decoder.resume(stop), loaded.text, loaded.decoder
    decoder, text = TextDecoder(loaded.tokenizer, stop), ""
    if request.tokens is not None:
        ids, loaded.prompt = list(request.tokens.ids), request.tokens.prompt
        text = "".join(decoder.feed(id) for id in ids[loaded.prompt :])
    else:
        ids = prompt_ids(loaded.tokenizer, request.prompt, begin=loaded.begins_documents)
        loaded.prompt = len(ids)
    loaded.text = Continuation(ids, request.settings.seed, draws=len(ids) - loaded.prompt)
    loaded.decoder, loaded.published = decoder, len(ids)
    return text, loaded.text, decoder


def _worded(error: Exception, what: str) -> SlmTuiError:
    if isinstance(error, SlmTuiError):
        return error
    return GenerationError(what, in_words(error), "choose another checkpoint")
