"""Whether a corpus fits a preset: its validation split must fill a window.

A validation loss over less than one window is almost meaningless; such a corpus is rejected, and
the error gives the smallest ratio that works.
"""

import tempfile
from pathlib import Path

from slm_tui.config.preset import Preset
from slm_tui.corpus import build
from slm_tui.corpus.documents import Documents
from slm_tui.corpus.prepare import Corpus
from slm_tui.corpus.progress import Meter
from slm_tui.corpus.split import PARTS, SplitDocuments, split, without_duplicates
from slm_tui.corpus.staging import DocumentSpans, staged
from slm_tui.corpus.tokenizers import Tokenizer
from slm_tui.errors import CorpusError

_SMALLEST_BLOCK = 4
# Ratios are tried in hundredths, below one hundredth in thousandths.
_RATIOS = tuple(n / 1000 for n in range(1, 10)) + tuple(n / 100 for n in range(1, 51))


def check(preset: Preset, corpus: Corpus) -> None:
    """Reject a validation split that does not fill a window of the preset.

    Raises:
        CorpusError: it is too small; gives the smallest `data.split.validation` that works.
    """
    error = problem(preset, corpus)
    if error is not None:
        raise error


def problem(preset: Preset, corpus: Corpus) -> CorpusError | None:
    """What `check` would raise, or `None`."""
    needed = preset.model.block_size + 1
    own = "val" in corpus.own_splits
    if len(corpus.val) >= needed or not (own or preset.data.split.validation):
        return None
    what = f"validation has {len(corpus.val):,} tokens"
    why = f"a window of {preset.model.block_size:,} needs {needed:,}"
    if own:
        return CorpusError(what, why, f"use another split{_or_smaller(corpus)}")
    ratio = smallest_ratio(preset, corpus)
    if ratio is not None:
        return CorpusError(what, why, f"set data.split.validation to {ratio:g} or more")
    if preset.data.is_endless:
        return CorpusError(what, why, "increase data.documents")
    return CorpusError(what, why, _more_text(corpus))


def _or_smaller(corpus: Corpus) -> str:
    """Suggest a block size that would be filled, if models can have one that small."""
    fitting = len(corpus.val) - 1
    return f", or set model.block_size to {fitting} or less" if fitting >= _SMALLEST_BLOCK else ""


def _more_text(corpus: Corpus) -> str:
    duplicates = int(corpus.manifest["duplicates_removed"])
    if duplicates:
        return f"use more text: {duplicates:,} of its documents were verbatim copies from training"
    return f"use more text{_or_smaller(corpus)}"


def smallest_ratio(preset: Preset, corpus: Corpus) -> float | None:
    """The smallest `data.split.validation` that fills a window; `None` if none does."""
    needed = preset.model.block_size + 1
    counts = preset.data.generated_documents()
    if counts is not None:
        return _ratio_of_endless(counts["train"], corpus, needed)
    most = 0.9 - preset.data.split.test
    ratios = [one for one in _RATIOS if one <= most]
    with tempfile.TemporaryDirectory() as directory:
        documents = staged(_texts(corpus), Path(directory) / "text")
        low, high = 0, len(ratios)
        while low < high:
            middle = (low + high) // 2
            if _held_out(preset, documents, corpus, ratios[middle]) >= needed:
                high = middle
            else:
                low = middle + 1
        # A slightly larger ratio may move a boundary and give less: the suggestion must work.
        for ratio in ratios[low:]:
            if _held_out(preset, documents, corpus, ratio) >= needed:
                return ratio
    return None


def _ratio_of_endless(trained: int, corpus: Corpus, needed: int) -> float | None:
    """The ratio of `trained` documents that has `needed` tokens, if they are newly generated."""
    written = max(1, int(corpus.manifest["parts"]["train"]["documents"]))
    # Held-out documents differ in length: add a small margin.
    documents = needed / max(1.0, len(corpus.train) / written) * 1.1
    return next((one for one in _RATIOS if round(one * trained) >= documents), None)


def _texts(corpus: Corpus) -> list[str]:
    """All documents of a small corpus, in order."""
    end, texts = corpus.tokenizer.end_of_text, []
    for part in PARTS:
        documents = Documents(getattr(corpus, part), end)
        for number in range(len(documents)):
            data = corpus.tokenizer.decode_bytes(documents.ids(number))
            texts.append(data.decode("utf-8", "replace"))
    return texts


def _held_out(preset: Preset, documents: DocumentSpans, corpus: Corpus, ratio: float) -> int:
    """How many tokens validation would have."""
    ratios = preset.data.split.model_copy(update={"validation": ratio})
    parts = without_duplicates(split(documents, ratios))
    tokenizer = _tokenizer_of(preset, parts, corpus)
    tokens = 1 if len(parts.documents["val"]) else 0
    for text in parts.documents["val"].texts():
        tokens += len(tokenizer.encode_array(text)) + 1
    data = preset.data.model_copy(update={"split": ratios})
    most = build.most_tokens(preset.model_copy(update={"data": data}), "val", corpus.own_splits)
    return tokens if most is None else min(most, tokens)


def _tokenizer_of(preset: Preset, parts: SplitDocuments, corpus: Corpus) -> Tokenizer:
    if preset.tokenizer.is_trained:
        return build.tokenizer(preset, parts.documents["train"], Meter())
    return corpus.tokenizer
