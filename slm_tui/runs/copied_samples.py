"""Checks in a thread whether a run's samples copy its training text."""

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from slm_tui.errors import SlmTuiError
from slm_tui.evaluation.memorisation import (
    Copying,
    Index,
    IndexingStopped,
    Reference,
    copying,
    reference,
)
from slm_tui.runs.curves import Sample

if TYPE_CHECKING:
    from slm_tui.corpus.prepare import Corpus

_KEPT = 2
_TrainingIndex = tuple["Corpus", Index, Reference]
_indexes: "OrderedDict[str, _TrainingIndex]" = OrderedDict()
_making = threading.Lock()


def training_index(
    fingerprint: str, cancel: threading.Event | None = None
) -> _TrainingIndex | None:
    """The corpus, its index and its natural share; built once per process. `None` if it is gone.

    Takes about a second per ten million tokens, and 8 bytes of memory per token.
    """
    from slm_tui.corpus.prepare import reopen

    with _making:
        if fingerprint in _indexes:
            _indexes.move_to_end(fingerprint)
            return _indexes[fingerprint]
        corpus = reopen(fingerprint)
        if corpus is None:
            return None
        index = Index(corpus.train, cancel=cancel)
        _indexes[fingerprint] = corpus, index, reference(index, corpus.val)
        while len(_indexes) > _KEPT:
            _indexes.popitem(last=False)
        return _indexes[fingerprint]


def of_samples(
    fingerprint: str, samples: list[Sample], cancel: threading.Event | None = None
) -> Copying | None:
    """What the newest samples copied; `None` without samples or if the corpus is gone."""
    if not samples or not fingerprint:
        return None
    try:
        training = training_index(fingerprint, cancel)
    except (SlmTuiError, IndexingStopped, OSError, MemoryError):
        return None
    if training is None:
        return None
    corpus, index, natural = training
    step = samples[-1].step
    texts = [one.prompt + one.text for one in samples if one.step == step]
    tokenizer = corpus.tokenizer
    ids = [tokenizer.encode(text) for text in texts]
    return copying(index, ids, step, natural, lambda some: _text(tokenizer, some))


def _text(tokenizer: Any, ids: Any) -> str:
    data: bytes = tokenizer.decode_bytes(ids)
    return data.decode("utf-8", "replace")
