"""The exact sizes of a preset's corpus, once it is prepared, and the cost that follows from them.

Every screen and command that shows parameters, epochs or tokens per parameter before a run takes
them from here, so that they agree.
"""

from dataclasses import dataclass

from slm_tui.config.estimate import Calibration, Estimate, estimate
from slm_tui.config.preset import Preset
from slm_tui.corpus.prepare import cached
from slm_tui.records import Count, record


@dataclass(frozen=True)
class CorpusSize:
    """The vocabulary of a prepared corpus, and the tokens of its training split."""

    n_vocab: Count
    train_tokens: Count


def size_of(preset: Preset) -> CorpusSize | None:
    """The sizes of the prepared corpus of `preset`; `None` if it is not prepared.

    Reads the whole source file once, for its checksum, if the preset has one.
    """
    manifest = cached(preset)
    if manifest is None:
        return None
    try:
        tokens = manifest["parts"]["train"]["tokens"]
        values = {"n_vocab": manifest["n_vocab"], "train_tokens": tokens}
        size = record(CorpusSize, values, "manifest.json")
    except (KeyError, TypeError, ValueError):
        return None
    return size if size.n_vocab and size.train_tokens else None


def cost_of(preset: Preset, calibration: Calibration | None = None) -> Estimate:
    """The estimate for `preset`, with the actual sizes of its corpus if it is prepared."""
    size = size_of(preset)
    if size is None:
        return estimate(preset, calibration=calibration)
    return estimate(
        preset, n_vocab=size.n_vocab, train_tokens=size.train_tokens, calibration=calibration
    )
