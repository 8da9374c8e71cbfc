"""A loaded checkpoint that writes text in a thread of its own, while others poll what it wrote."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from slm_tui.errors import CheckpointError, GenerationError, SlmTuiError
from slm_tui.runs import store
from slm_tui.runs.store import Run

if TYPE_CHECKING:
    from slm_tui.corpus.tokenizers import StreamDecoder, Tokenizer
    from slm_tui.generation.sampling import SamplingSettings
    from slm_tui.models.base import LanguageModel
    from slm_tui.training.checkpoint import Checkpoint

State = Literal["empty", "loading", "ready", "speaking", "failed"]
Ending = Literal["", "end of text", "max tokens", "stopped"]

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
class _Request:
    prompt: str
    settings: "SamplingSettings"
    go_on: bool
    answer: int


@dataclass
class _Loaded:
    """The model, and the text that it wrote last: ids, and a decoder that may hold half a
    character."""

    model: "LanguageModel"
    tokenizer: "Tokenizer"
    begins_documents: bool
    decoder: "StreamDecoder"
    ids: list[int]


class Speaker:
    """Owns a model. All methods return at once and may be called from any thread.

    Its thread computes with one CPU thread, so that a training beside it keeps its own, and
    draws nothing from torch's global generator.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._spoken = Spoken()
        self._path: Path | None = None
        self._request: _Request | None = None
        self._loads = 0
        self._stop = threading.Event()
        self._closed = False
        self._loaded: _Loaded | None = None
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
        self._ask(prompt, settings, go_on=False)

    def go_on(self, text: str, settings: "SamplingSettings") -> None:
        """Continue the last answer from where it stopped, token by token.

        `text` is that answer with its prompt: used if another model is loaded by now.
        """
        self._ask(text, settings, go_on=True)

    def _ask(self, prompt: str, settings: "SamplingSettings", *, go_on: bool) -> None:
        with self._changed:
            before = self._spoken
            self._stop.set()
            if before.state != "loading" and before.facts is None:
                error = GenerationError("no model is loaded", "", "choose a checkpoint first")
                self._spoken = replace(before, state="failed", error=before.error or error)
                return
            self._request = _Request(prompt, settings, go_on, before.answer + 1)
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
        from slm_tui.training.threads import sharing

        try:
            # A training in this process makes room meanwhile: both would be slow otherwise.
            with sharing():
                self._write(loaded, request, stop)
        except Exception as error:  # noqa: BLE001 - told to whoever polls
            problem = _worded(error, "the text cannot be continued")
            self._update(request, stop, state="failed", error=problem)

    def _write(self, loaded: _Loaded, request: _Request, stop: threading.Event) -> None:
        from slm_tui.generation.engine import next_ids

        _begin(loaded, request)
        end = loaded.tokenizer.end_of_text
        prompt, began, tokens = len(loaded.ids), time.monotonic(), 0
        invalid, text = _InvalidBytes(loaded), ""
        for chosen in next_ids(loaded.model, loaded.ids, request.settings, end, stop=stop):
            tokens += 1
            with self._changed:
                if stop.is_set():
                    return
                loaded.ids.append(chosen)
                text += loaded.decoder.feed(chosen)
                self._update(
                    request,
                    stop,
                    text=text,
                    tokens=tokens,
                    tokens_per_second=tokens / max(time.monotonic() - began, 1e-9),
                    context=prompt + tokens,
                    invalid_bytes=invalid.feed(chosen),
                )
        ended: Ending = "max tokens"
        if tokens < request.settings.max_tokens:
            ended = "end of text"
            text += loaded.decoder.finish()
            with self._changed:
                loaded.ids.append(end)
        self._update(
            request,
            stop,
            state="ready",
            text=text,
            context=prompt + tokens,
            ended=ended,
            invalid_bytes=invalid.count + (invalid.pending if ended == "end of text" else 0),
        )

    def _update(self, request: _Request, stop: threading.Event, **changes: Any) -> None:
        with self._changed:
            if not stop.is_set() and self._spoken.answer == request.answer:
                self._spoken = replace(self._spoken, **changes)


class _InvalidBytes:
    """Counts the bytes of a growing text that are not UTF-8."""

    def __init__(self, loaded: _Loaded) -> None:
        self._bytes_of = loaded.tokenizer.token_bytes
        self._rest = b""
        self.count = 0

    @property
    def pending(self) -> int:
        """Bytes at the end that may yet become a character."""
        return len(self._rest)

    def feed(self, token: int) -> int:
        data = self._rest + self._bytes_of(token)
        self._rest = b""
        while data:
            try:
                data.decode()
                break
            except UnicodeDecodeError as error:
                if error.reason == "unexpected end of data":
                    self._rest = data[error.start :]
                    break
                self.count += error.end - error.start
                data = data[error.end :]
        return self.count


def _open(path: Path) -> tuple[_Loaded, Facts]:
    """Load and verify.

    Raises:
        CheckpointError: it is missing or damaged, or the run has none.
    """
    import torch

    from slm_tui.corpus.tokenizers import StreamDecoder
    from slm_tui.models.build import count_parameters
    from slm_tui.training import checkpoint

    if (path / "run.json").is_file():
        path = store.checkpoint_of(Run(path))
    if not path.is_dir():
        raise CheckpointError(
            f"checkpoint {path.name} is not there", f"{path} is missing", "choose another one"
        )
    found = checkpoint.read(path.resolve())
    model, tokenizer = found.model(torch.device("cpu")), found.tokenizer()
    loaded = _Loaded(model, tokenizer, found.state.begins_documents, StreamDecoder(tokenizer), [])
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


def _begin(loaded: _Loaded, request: _Request) -> None:
    """Make `loaded.ids` what is to be continued, as `generation.engine.stream` does."""
    from slm_tui.corpus.tokenizers import StreamDecoder

    if request.go_on and loaded.ids:
        return
    encoded: Sequence[int] = loaded.tokenizer.encode(request.prompt)
    loaded.ids = [int(one) for one in encoded]
    if loaded.begins_documents or not loaded.ids:
        loaded.ids.insert(0, loaded.tokenizer.end_of_text)
    loaded.decoder = StreamDecoder(loaded.tokenizer)


def _worded(error: Exception, what: str) -> SlmTuiError:
    if isinstance(error, SlmTuiError):
        return error
    return GenerationError(what, f"{type(error).__name__}: {error}", "choose another checkpoint")
