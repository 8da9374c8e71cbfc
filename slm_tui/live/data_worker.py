"""Opens, prepares and measures corpora for the Data screen, in a thread of its own."""

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError, in_words

if TYPE_CHECKING:
    from slm_tui.corpus.documents import Documents
    from slm_tui.corpus.prepare import Corpus
    from slm_tui.corpus.progress import Progress
    from slm_tui.corpus.statistics import Plan, Statistics
    from slm_tui.corpus.verdict import Verdict

State = Literal["idle", "looking", "missing", "preparing", "ready", "failed"]
_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class Snapshot:
    """What is known of one preset's corpus. `version` grows with every change.

    `corpus`, `statistics`, `plan`, `verdicts` and the `documents` of each part that has any are
    there when the state is `ready`; `progress` while it is `preparing`.
    """

    version: int = 0
    state: State = "idle"
    preset: Preset | None = None
    corpus: "Corpus | None" = None
    statistics: "Statistics | None" = None
    plan: "Plan | None" = None
    verdicts: "tuple[Verdict, ...]" = ()
    documents: "dict[str, Documents]" = field(default_factory=dict)
    progress: "Progress | None" = None
    error: SlmTuiError | None = None
    note: str = ""


class _Superseded(Exception):  # noqa: N818 - not an error: something else was asked for
    """The answer is no longer wanted."""


class CorpusWorker:
    """Does one thing at a time, in a daemon thread; whoever asks next ends what is going on.

    `snapshot` is replaced whole and may be read from any thread.
    """

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self._lock = threading.Lock()
        self._cancel = threading.Event()
        self._thread: threading.Thread | None = None
        # What was measured stays, so that coming back to a corpus costs nothing.
        self._measured: dict[str, Statistics] = {}

    @property
    def is_preparing(self) -> bool:
        return self.snapshot.state == "preparing"

    def look(self, preset: Preset) -> None:
        """Open and measure the corpus of `preset` if it is prepared."""
        self._start(preset, prepare=False)

    def prepare(self, preset: Preset) -> None:
        """Prepare the corpus of `preset`, then measure it."""
        self._start(preset, prepare=True)

    def cancel(self) -> None:
        """Stop preparing, as soon as it can be; what was half-made is removed."""
        self._cancel.set()

    def close(self) -> None:
        """End what is going on, and wait a moment for it to clean up."""
        self._cancel.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE_SECONDS)

    def _start(self, preset: Preset, *, prepare: bool) -> None:
        self._cancel.set()
        cancel = threading.Event()
        with self._lock:
            self._cancel = cancel
            before = self.snapshot
            # What is known of a preset stays in view while it is looked at again.
            known = before.preset == preset and before.state in ("ready", "missing", "failed")
            if prepare or not known:
                state: State = "preparing" if prepare else "looking"
                self.snapshot = Snapshot(before.version + 1, state, preset)
        self._thread = threading.Thread(
            target=self._work, args=(preset, prepare, cancel), name="corpus-worker", daemon=True
        )
        self._thread.start()

    def _work(self, preset: Preset, prepare: bool, cancel: threading.Event) -> None:
        try:
            self._publish(self._found(preset, prepare, cancel), cancel)
        except _Superseded:
            self._publish(Snapshot(state="missing", preset=preset, note="cancelled"), cancel, True)
        except SlmTuiError as error:
            self._publish(Snapshot(state="failed", preset=preset, error=error), cancel, True)
        except Exception as error:  # noqa: BLE001 - the thread's last line: nobody else hears it
            told = SlmTuiError("the corpus cannot be read", in_words(error))
            self._publish(Snapshot(state="failed", preset=preset, error=told), cancel, True)

    def _found(self, preset: Preset, prepare: bool, cancel: threading.Event) -> Snapshot:
        from slm_tui.config.built import check_built
        from slm_tui.corpus import prepare as corpora
        from slm_tui.corpus import sources

        check_built(preset)
        if not prepare and corpora.cached(preset) is None:
            sources.fingerprint(preset.data)  # raises what keeps the text from being read
            return Snapshot(state="missing", preset=preset)
        try:
            corpus = corpora.prepare(
                preset,
                progress=lambda progress: self._progress(progress, cancel),
                cancel=cancel,
            )
        except corpora.Cancelled:
            raise _Superseded from None
        return self._measure(preset, corpus, cancel)

    def _measure(self, preset: Preset, corpus: "Corpus", cancel: threading.Event) -> Snapshot:
        from slm_tui.corpus.documents import Documents
        from slm_tui.corpus.statistics import measure, plan
        from slm_tui.corpus.verdict import verdicts

        def step() -> None:
            if cancel.is_set():
                raise _Superseded

        statistics = self._measured.get(corpus.fingerprint)
        if statistics is None:
            statistics = self._measured[corpus.fingerprint] = measure(corpus, step=step)
        end = corpus.tokenizer.end_of_text
        streams = {"train": corpus.train, "val": corpus.val, "test": corpus.test}
        documents = {part: Documents(stream, end) for part, stream in streams.items()}
        planned = plan(preset, corpus)
        return Snapshot(
            state="ready",
            preset=preset,
            corpus=corpus,
            statistics=statistics,
            plan=planned,
            verdicts=tuple(verdicts(preset, statistics, planned)),
            # Asking for the number of documents reads the stream: better here than on the screen.
            documents={part: found for part, found in documents.items() if len(found)},
        )

    def _progress(self, progress: "Progress", cancel: threading.Event) -> None:
        preset = self.snapshot.preset
        self._publish(Snapshot(state="preparing", preset=preset, progress=progress), cancel)

    def _publish(
        self, snapshot: Snapshot, cancel: threading.Event, although_cancelled: bool = False
    ) -> None:
        """Show `snapshot` unless another request has come since."""
        with self._lock:
            if cancel is self._cancel and (although_cancelled or not cancel.is_set()):
                self.snapshot = replace(snapshot, version=self.snapshot.version + 1)
