"""Inspects a text with a model: a thread computes, the screen polls the results."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slm_tui.errors import in_words
from slm_tui.live.fair_lock import FairLock
from slm_tui.live.generation_thread import LoadedModel, PromptedTokens

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from slm_tui.corpus.subwords import SubwordCut, SubwordSplitter
    from slm_tui.generation.chunks import Chunks
    from slm_tui.generation.inspect import Candidates, TokenSurprise
    from slm_tui.generation.sampling import SamplingSettings

# This many other checkpoints of the run read the text too, spread over its steps.
MOST_OTHERS = 6
_MOST_LOGITS = 64


# Compared by identity: arrays have no truth value, and each object is replaced as a whole.
@dataclass(frozen=True, eq=False)
class OtherCheckpoint:
    """The result of another checkpoint of the run for the same text; `chunks` if it makes any."""

    step: int
    heat: "TokenSurprise"
    chunks: "Chunks | None" = None


@dataclass(frozen=True, eq=False)
class InspectionStatus:
    """The results so far for the current text.

    `heat` comes first, with `chunks` if the model cuts the text, at `step`; then `candidates` for
    the token in focus, `others` by ascending step, `counts`, the training count of each token
    `(n_vocab,)`, and `subwords`, for a model that cuts. `reading_others` and `counting` tell what
    is still pending; `error` is what failed.
    """

    tokens: PromptedTokens | None = None
    heat: "TokenSurprise | None" = None
    chunks: "Chunks | None" = None
    step: int = 0
    subwords: "SubwordCut | None" = None
    candidates: "Candidates | None" = None
    others: tuple[OtherCheckpoint, ...] = ()
    counts: "NDArray[np.int64] | None" = None
    reading_others: bool = False
    counting: bool = False
    error: str = ""


@dataclass(frozen=True)
class _Subject:
    loaded: LoadedModel
    tokens: PromptedTokens


@dataclass(frozen=True)
class _Focus:
    place: int
    settings: "SamplingSettings"


class _Unwanted(Exception):  # noqa: N818 - not an error: there is a newer request
    """Another text was requested, or none."""


class Inspector:
    """Reads a text with a loaded model. All methods return immediately, from any thread.

    The token in focus is computed before anything else. It shares `lock`, token by token, with
    the generation threads of the same screen.
    """

    def __init__(self, lock: FairLock) -> None:
        self._lock = lock
        self._changed = threading.Condition()
        self._subject: _Subject | None = None
        self._focus: _Focus | None = None
        self._seen = InspectionStatus()
        self._fresh = self._moved = self._closed = False
        # Whether the token in focus is being computed.
        self._computing = False
        self._logits: dict[int, Tensor] = {}
        self._others: list[Path] = []
        # For the last counted corpus: (fingerprint, counts).
        self._counted: tuple[str, Any] = ("", None)
        self._splitter: SubwordSplitter | None = None
        self._thread = threading.Thread(target=self._main, name="inspector", daemon=True)

    def look(self, loaded: LoadedModel, tokens: PromptedTokens) -> None:
        """Inspect this text."""
        with self._changed:
            self._subject, self._fresh = _Subject(loaded, tokens), True
            self._focus = None
            self._seen = InspectionStatus(tokens, reading_others=True, counting=True)
            if self._thread.ident is None and not self._closed:
                self._thread.start()
            self._changed.notify_all()

    def focus(self, place: int, settings: "SamplingSettings") -> None:
        """Compute the candidates at `place`, 1 to the length of the text, with these settings."""
        with self._changed:
            requested = _Focus(place, settings)
            if requested != self._focus and self._subject is not None:
                self._focus, self._moved = requested, True
                self._changed.notify_all()

    @property
    def is_answered(self) -> bool:
        """Whether `poll` has the result of the last request."""
        with self._changed:
            return not self._moved and not self._computing

    def poll(self) -> InspectionStatus:
        """The current results."""
        return self._seen

    def leave(self) -> None:
        """Stop inspecting: release the model and drop pending work."""
        with self._changed:
            self._subject = self._focus = None
            self._fresh = self._moved = False
            self._seen = InspectionStatus()

    def close(self) -> None:
        """Release the model; the thread exits after its current computation."""
        with self._changed:
            self._closed, self._subject = True, None
            self._changed.notify_all()

    # In the thread

    def _main(self) -> None:
        import torch

        torch.set_num_threads(1)
        while True:
            with self._changed:
                while not (self._closed or self._work_is_left()):
                    self._changed.wait()
                if self._closed:
                    self._logits.clear()
                    return
                subject, focus = self._subject, self._focus
                fresh, moved = self._fresh, self._moved
                self._fresh = self._moved = False
                self._computing = fresh or moved
            if subject is None:
                continue
            try:
                with self._lock.computing():
                    self._do(subject, focus, fresh=fresh, moved=moved)
            except _Unwanted:
                pass
            except Exception as error:  # noqa: BLE001 - reported by poll()
                message = in_words(error)
                self._publish(subject, error=message, reading_others=False, counting=False)
            # While waiting, the thread must not hold a model.
            subject = focus = None
            with self._changed:
                self._computing = False
                if self._subject is None:
                    self._logits.clear()

    def _work_is_left(self) -> bool:
        seen = self._seen
        return self._subject is not None and (
            self._fresh or self._moved or seen.reading_others or seen.counting
        )

    def _do(self, subject: _Subject, focus: _Focus | None, *, fresh: bool, moved: bool) -> None:
        """Do one task, the most urgent first, so that the focus never waits for long."""
        from slm_tui.generation.chunks import chunks
        from slm_tui.generation.inspect import heat
        from slm_tui.training.checkpoint_dir import step_of

        if fresh:
            self._logits.clear()
            self._others = others_of(subject.loaded.checkpoint)
            model, ids = subject.loaded.model, subject.tokens.ids
            cut = chunks(model, ids, lambda: self._turn(subject))
            self._publish(subject, chunks=cut, step=step_of(subject.loaded.checkpoint))
            self._publish(subject, heat=heat(model, ids, lambda: self._turn(subject)))
        if focus is not None and (moved or fresh):
            self._publish(subject, candidates=self._candidates(subject, focus))
        elif not fresh and self._seen.reading_others:
            self._read_other(subject)
        elif not fresh and self._seen.counting:
            counts = self._count(subject.loaded)
            if self._seen.chunks is not None:
                self._publish(subject, subwords=self._split(subject))
            self._publish(subject, counts=counts, counting=False)

    @contextmanager
    def _turn(self, subject: _Subject) -> Iterator[None]:
        """Hold the lock for one pass over a text: generation waits no longer than that."""
        if self._subject is not subject:
            raise _Unwanted
        with self._lock:
            yield

    def _candidates(self, subject: _Subject, focus: _Focus) -> "Candidates":
        from slm_tui.generation.inspect import candidates, logits_at

        model, ids = subject.loaded.model, subject.tokens.ids
        if focus.place not in self._logits:
            with self._lock:
                self._logits[focus.place] = logits_at(model, ids, focus.place)
            while len(self._logits) > _MOST_LOGITS:
                del self._logits[next(iter(self._logits))]
        return candidates(
            self._logits[focus.place],
            ids,
            focus.place,
            focus.settings,
            context=model.context,
            prompt=subject.tokens.prompt,
        )

    def _read_other(self, subject: _Subject) -> None:
        """Read the text with the next checkpoint of the run; damaged ones are skipped."""
        from slm_tui.errors import SlmTuiError
        from slm_tui.generation.chunks import chunks
        from slm_tui.generation.inspect import heat
        from slm_tui.training import checkpoint

        if not self._others:
            self._publish(subject, reading_others=False)
            return
        path = self._others.pop(0)
        try:
            opened = checkpoint.read(path)
            if opened.state.n_vocab != subject.loaded.model.n_vocab:
                return
            device = next(subject.loaded.model.parameters()).device
            model = opened.model(device)
        except SlmTuiError:
            return
        ids = subject.tokens.ids
        other = OtherCheckpoint(
            opened.state.step,
            heat(model, ids, lambda: self._turn(subject)),
            chunks(model, ids, lambda: self._turn(subject)),
        )
        others = sorted((*self._seen.others, other), key=lambda one: one.step)
        self._publish(subject, others=tuple(others), reading_others=bool(self._others))

    def _count(self, loaded: LoadedModel) -> Any:
        """The count of each token in the train split; `None` if the corpus no longer exists."""
        from slm_tui.corpus.prepare import reopen
        from slm_tui.corpus.statistics import token_counts

        if self._counted[0] != loaded.corpus:
            corpus = reopen(loaded.corpus)
            counts = None if corpus is None else token_counts(corpus.train, loaded.model.n_vocab)
            self._counted = (loaded.corpus, counts)
        return self._counted[1]

    def _split(self, subject: _Subject) -> "SubwordCut | None":
        """How subwords would split the text; `None` if no such tokenizer is at hand."""
        from slm_tui.corpus.subwords import SubwordSplitter

        self._splitter = self._splitter or SubwordSplitter()
        loaded = subject.loaded
        text = loaded.tokenizer.decode_bytes(subject.tokens.ids)
        return self._splitter.split(loaded.corpus, text)

    def _publish(self, subject: _Subject, **changes: Any) -> None:
        with self._changed:
            if self._subject is subject:
                self._seen = replace(self._seen, **changes)


def others_of(path: Path) -> list[Path]:
    """Other checkpoints of the run of `path`: at most `MOST_OTHERS`, spread over its steps."""

    from slm_tui.training import checkpoint_dir

    there = [one for one in checkpoint_dir.all_in(path.parent) if one.name != path.name]
    if len(there) <= MOST_OTHERS:
        return there
    last = len(there) - 1
    return [there[round(at * last / (MOST_OTHERS - 1))] for at in range(MOST_OTHERS)]
