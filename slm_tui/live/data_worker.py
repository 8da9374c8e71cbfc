"""Opens, prepares and measures corpora for the Data screen, in a thread."""

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from slm_tui.config.preset import Preset
from slm_tui.errors import SlmTuiError
from slm_tui.live.background import Background

if TYPE_CHECKING:
    from slm_tui.corpus.data_verdict import DataVerdict
    from slm_tui.corpus.documents import Documents
    from slm_tui.corpus.prepare import Corpus
    from slm_tui.corpus.progress import Progress
    from slm_tui.corpus.statistics import Plan, Statistics

State = Literal["idle", "looking", "missing", "preparing", "ready", "failed"]
_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True)
class CorpusSnapshot:
    """What is known of one preset's corpus. `version` grows with every change.

    `corpus`, `statistics`, `plan`, `verdicts` and the `documents` of each nonempty split are
    set when the state is `ready`; `progress` while it is `preparing`.
    """

    version: int = 0
    state: State = "idle"
    preset: Preset | None = None
    corpus: "Corpus | None" = None
    statistics: "Statistics | None" = None
    plan: "Plan | None" = None
    verdicts: "tuple[DataVerdict, ...]" = ()
    documents: "dict[str, Documents]" = field(default_factory=dict)
    progress: "Progress | None" = None
    error: SlmTuiError | None = None
    note: str = ""


class _Superseded(Exception):  # noqa: N818 - not an error: there is a newer request
    """The result is no longer needed."""


class CorpusWorker:
    """Runs one task at a time; a new request cancels the current one."""

    def __init__(self) -> None:
        self._background = Background("corpus-worker", CorpusSnapshot())
        # Measurements are cached, so that returning to a corpus is free.
        self._measured: dict[str, Statistics] = {}

    @property
    def snapshot(self) -> CorpusSnapshot:
        """The current snapshot."""
        return self._background.snapshot

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
        """Stop preparing as soon as possible; partial results are removed."""
        self._background.cancel()

    def close(self) -> None:
        """Cancel the current task, and wait a moment for it to clean up."""
        self._background.close(_PATIENCE_SECONDS)

    def _start(self, preset: Preset, *, prepare: bool) -> None:
        before = self.snapshot
        # Keep showing what is known of a preset while it is checked again.
        is_known = before.preset == preset and before.state in ("ready", "missing", "failed")
        first = None
        if prepare or not is_known:
            state: State = "preparing" if prepare else "looking"
            first = self._next(CorpusSnapshot(state=state, preset=preset))

        def work(cancel: threading.Event) -> CorpusSnapshot:
            try:
                return self._next(self._snapshot_of(preset, prepare, cancel))
            except _Superseded:
                return self._next(CorpusSnapshot(state="missing", preset=preset, note="cancelled"))

        def failed(error: SlmTuiError) -> CorpusSnapshot:
            return self._next(CorpusSnapshot(state="failed", preset=preset, error=error))

        self._background.start(work, failed, "the corpus cannot be read", first)

    def _next(self, snapshot: CorpusSnapshot) -> CorpusSnapshot:
        return replace(snapshot, version=self.snapshot.version + 1)

    def _snapshot_of(
        self, preset: Preset, prepare: bool, cancel: threading.Event
    ) -> CorpusSnapshot:
        from slm_tui.corpus import prepare as corpora
        from slm_tui.corpus import sources

        if not prepare and corpora.cached(preset) is None:
            sources.fingerprint(preset.data)  # raises the error that prevents reading the text
            return CorpusSnapshot(state="missing", preset=preset)
        try:
            corpus = corpora.prepare(
                preset,
                progress=lambda progress: self._progress(progress, cancel),
                cancel=cancel,
            )
        except corpora.Cancelled:
            raise _Superseded from None
        return self._measure(preset, corpus, cancel)

    def _measure(self, preset: Preset, corpus: "Corpus", cancel: threading.Event) -> CorpusSnapshot:
        from slm_tui.corpus.data_verdict import verdicts
        from slm_tui.corpus.documents import Documents
        from slm_tui.corpus.statistics import measure, plan

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
        return CorpusSnapshot(
            state="ready",
            preset=preset,
            corpus=corpus,
            statistics=statistics,
            plan=planned,
            verdicts=tuple(verdicts(preset, statistics, planned)),
            # Counting documents reads the stream: better here than in the UI thread.
            documents={
                part: part_documents
                for part, part_documents in documents.items()
                if len(part_documents)
            },
        )

    def _progress(self, progress: "Progress", cancel: threading.Event) -> None:
        preset = self.snapshot.preset
        if not cancel.is_set():
            snapshot = self._next(
                CorpusSnapshot(state="preparing", preset=preset, progress=progress)
            )
            self._background.publish(snapshot, cancel)
