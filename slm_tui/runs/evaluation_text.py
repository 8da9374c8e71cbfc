"""The text that checkpoints are evaluated on: its source, floor and leaks."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slm_tui.config.data import Limit
from slm_tui.config.preset import Preset
from slm_tui.config.text_location import reading
from slm_tui.corpus import prepare, sources
from slm_tui.corpus.prepare import Corpus
from slm_tui.corpus.progress import Meter
from slm_tui.corpus.split import text_of as texts_of
from slm_tui.corpus.tokenizers import Tokenizer
from slm_tui.errors import CorpusError
from slm_tui.evaluation.compare import ComparisonData
from slm_tui.evaluation.scored_text import ScoredText, StreamDocuments, decoded
from slm_tui.runs.evaluation_results import PARTS, EvaluationSettings
from slm_tui.training.checkpoint import Checkpoint

_READ_ANEW = "its tables are read more carefully than when the first checkpoint was trained on them"
# Parsing a story takes half a millisecond.
_MOST_PARSED = 4_000
# Passages of a long text that are searched for in the training text.
_PROBES, _PROBE_BYTES, _MOST_SEARCHED = 100, 160, 64_000_000


def text_of(
    first: Checkpoint, settings: EvaluationSettings, scratch: Path, meter: Meter
) -> tuple[ScoredText, Corpus | None, list[str]]:
    """The text to score, the corpus that baselines learn from, and notes on them.

    Raises:
        CorpusError: the text or the split does not exist.
        SlmTuiError: it cannot be read.
        Cancelled: cancelled through `meter`.
    """
    if settings.text:
        corpus = prepare.reopen(first.state.corpus)
        notes = [] if corpus else ["the training text is missing: no unigram or bigram baseline"]
        return _named(first.preset, settings, scratch, meter), corpus, notes
    corpus, notes = _corpus(first, meter)
    part = PARTS[settings.split]
    text = ScoredText.of_corpus(corpus, part, settings.documents)
    if not len(text.documents):
        raise CorpusError(
            f"there is no {settings.split} split",
            f"the corpus {corpus.fingerprint[:8]} was split without it",
            "choose another split, or give a text with --text",
        )
    return text, corpus, notes


def _corpus(first: Checkpoint, meter: Meter) -> tuple[Corpus, list[str]]:
    """The corpus that the checkpoint was trained on, rebuilt if it is gone."""
    corpus = prepare.reopen(first.state.corpus) if first.state.corpus else None
    if corpus is not None:
        return corpus, []
    try:
        if first.state.corpus:
            again = prepare.prepare_again(
                first.preset,
                first.state.corpus,
                first.tokenizer(),
                progress=meter.report,
                cancel=meter.cancel,
            )
            if again is not None:
                return again, [] if again.fingerprint == first.state.corpus else [_READ_ANEW]
        rebuilt = prepare.prepare(first.preset, progress=meter.report, cancel=meter.cancel)
    except CorpusError as error:
        raise CorpusError(
            f"the text of {first.path.parent.parent.name} is not available: {error.what}",
            error.why,
            f"{error.remedy + ', or ' if error.remedy else ''}give a text with --text",
        ) from None
    if first.state.corpus:
        return rebuilt, ["the text has changed since the first checkpoint was trained on it"]
    return rebuilt, []


def _named(preset: Preset, settings: EvaluationSettings, scratch: Path, meter: Meter) -> ScoredText:
    """The documents of the text that the user named."""
    data = reading(preset, settings.text).data
    data = data.model_copy(update={"limit": Limit()})
    staged = sources.stage(data, scratch, meter)
    # A text with splits of its own has the one that was asked for.
    spans = staged.parts.get(PARTS[settings.split], staged.parts["train"])
    whole = len(spans)
    chosen = spans if settings.documents is None else spans.chosen(slice(0, settings.documents))
    documents = [text.encode("utf-8", "surrogatepass") for text in texts_of(chosen)]
    return ScoredText(data.label, documents, whole)


def comparison_data_of(text: ScoredText, corpus: Corpus | None, meter: Meter) -> ComparisonData:
    """The training text for the baselines, and the floor if the source knows it."""
    training = decoded(corpus.train, corpus.tokenizer) if corpus is not None else ()
    if text.corpus is None:
        return ComparisonData(training)
    part = text.corpus.manifest["parts"][text.part]
    whole = len(text.documents) == text.whole
    bits = _story_bits(text, meter)
    return ComparisonData(
        training, bits, part.get("bits_per_byte") if whole and bits is None else None
    )


def _story_bits(text: ScoredText, meter: Meter) -> NDArray[np.float64] | None:
    """The exact information of each document that the built-in grammar wrote."""
    from slm_tui.corpus.stories import StoryError, StoryGenerator

    assert text.corpus is not None
    source = text.corpus.manifest.get("identity", {}).get("source", {})
    if source.get("kind") != "stories" or len(text.documents) > _MOST_PARSED:
        return None
    generator = StoryGenerator(source["richness"], source["seed"])
    bits = np.zeros(len(text.documents))
    for number, document in enumerate(text.documents):
        meter("computing the floor", number, len(text.documents), "documents")
        try:
            bits[number] = generator.parse(document.decode("utf-8"))
        except (StoryError, UnicodeDecodeError):
            # Truncated by a limit: its information is unknown.
            return None
    return bits


def gap_text(
    text: ScoredText, corpus: Corpus | None, settings: EvaluationSettings
) -> tuple[ScoredText | None, str]:
    """The other side of the gap, with at most as many documents and bytes as `text`.

    It is the training split, or validation if the training split itself was evaluated.
    """
    if corpus is None or settings.text:
        return None, ""
    where = "validation" if settings.split == "train" else "train"
    other = ScoredText.of_corpus(corpus, PARTS[where])
    if not len(other.documents):
        return None, ""
    most = sum(len(document) for document in text.documents)
    return other.spread(len(text.documents), most), where


class OverlapCheck:
    """Whether a checkpoint was trained on the text that it is scored on."""

    def __init__(self, text: ScoredText, meter: Meter) -> None:
        self._text, self._meter = text, meter

    def of(self, checkpoint: Checkpoint, tokenizer: Tokenizer) -> str:
        """A warning; empty if nothing was found."""
        text, state = self._text, checkpoint.state
        if text.corpus is not None and text.part == "train":
            if text.corpus.fingerprint == state.corpus:
                return "this is its training text"
        elif text.corpus is not None and text.corpus.fingerprint == state.corpus:
            return ""
        corpus = prepare.reopen(state.corpus) if state.corpus else None
        if corpus is None:
            return ""
        self._meter("looking for leaks", 0, None, "share")
        warning = self._documents(corpus, tokenizer)
        total = len(text.documents)
        if warning:
            return f"{warning:,} of {total:,} documents occur in its training text"
        share = self._passages(corpus)
        if share > 0.02:
            return f"{share:.0%} of its passages occur in its training text"
        return ""

    def _documents(self, corpus: Corpus, tokenizer: Tokenizer) -> int:
        """How many of the documents occur in the training split, token for token."""
        mine = self._text.encoded(tokenizer)
        keys: dict[bytes, int] = {}
        for number in range(len(mine)):
            self._meter.check()
            key = _key(mine[number], corpus)
            keys[key] = keys.get(key, 0) + 1
        matches = 0
        training = StreamDocuments(corpus.train, corpus.tokenizer.end_of_text)
        for number in range(len(training)):
            if number % 256 == 0:
                self._meter.check()
            matches += keys.pop(_key(training[number], corpus), 0)
        return matches

    def _passages(self, corpus: Corpus) -> float:
        """The share of passages of long documents that occur in the training split."""
        long = [one for one in self._text.documents[:1000] if len(one) > 50 * _PROBE_BYTES]
        if not long:
            return 0.0
        each = max(1, _PROBES // len(long))
        probes = [
            document[at : at + _PROBE_BYTES]
            for document in long[:_PROBES]
            for at in np.linspace(0, len(document) - _PROBE_BYTES, each).astype(int)
        ]
        missing, left = set(probes), _MOST_SEARCHED
        for document in decoded(corpus.train, corpus.tokenizer):
            self._meter.check()
            missing -= {probe for probe in missing if probe in document}
            left -= len(document)
            if left <= 0:
                break
        return sum(probe not in missing for probe in probes) / len(probes)


def _key(ids: NDArray[np.unsignedinteger], corpus: Corpus) -> bytes:
    raw = ids.astype(corpus.train.dtype).tobytes()
    return hashlib.blake2b(raw, digest_size=12).digest()
