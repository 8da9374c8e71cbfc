"""Finished runs with the same settings, text and file formats."""

from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import fingerprint
from slm_tui.errors import SlmTuiError
from slm_tui.experiments.plan import digest
from slm_tui.runs.index import RunIndex
from slm_tui.runs.info import FORMAT
from slm_tui.runs.store import Run

_ENDED = ("done", "stopped early")
_digests: dict[str, str] = {}


def run_like(preset: Preset, index: RunIndex) -> Run | None:
    """A finished run of the same settings on the same text, newest first; `None` if none is.

    Raises:
        CorpusError: the text of `preset` cannot be read.
    """
    wanted = digest(preset)
    runs = sorted(index.read().values(), key=lambda one: one.info.created, reverse=True)
    corpus = ""
    for one in runs:
        info = one.info
        is_whole = info.state in _ENDED and info.format == FORMAT.version and not info.parent
        by_time = preset.training.max_minutes is not None
        if not is_whole or (not by_time and info.max_steps != preset.training.max_steps):
            continue
        if _digest_of(Run(one.path)) != wanted:
            continue
        corpus = corpus or fingerprint(preset)
        if info.facts.get("corpus") == corpus:
            return Run(one.path)
    return None


def _digest_of(run: Run) -> str:
    """The digest of a finished run, whose preset no longer changes."""
    key = str(run.path)
    if key not in _digests:
        try:
            _digests[key] = digest(run.preset())
        except SlmTuiError:
            _digests[key] = ""
    return _digests[key]
