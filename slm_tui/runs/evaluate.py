"""Evaluations of checkpoints: from paths to a report of plain JSON values."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from slm_tui import __version__
from slm_tui.errors import CheckpointError
from slm_tui.formatting import finite
from slm_tui.runs.evaluation_results import EvaluationSettings, digest_of, key_of
from slm_tui.runs.info import run_of

if TYPE_CHECKING:
    from slm_tui.corpus.prepare import Corpus
    from slm_tui.corpus.progress import Meter, Report
    from slm_tui.corpus.tokenizers import Tokenizer
    from slm_tui.evaluation.compare import Comparison, ComparisonData, ComparisonRow, ScoredModel
    from slm_tui.evaluation.scored_text import ScoredText
    from slm_tui.models.base import LanguageModel
    from slm_tui.training.checkpoint import Checkpoint

_SHOWN_SAMPLES = 5


@dataclass
class _Opened:
    """A checkpoint, with its model while that is in use."""

    checkpoint: "Checkpoint"
    tokenizer: "Tokenizer"
    name: str
    digest: str
    device: Any
    loaded: "LanguageModel | None" = None

    def model(self) -> "LanguageModel":
        if self.loaded is None:
            self.loaded = self._fresh()
        return self.loaded

    def _fresh(self) -> "LanguageModel":
        """The current weights: minutes may have passed while other models were scored.

        Raises:
            CheckpointError: they are gone, damaged or different.
        """
        from slm_tui.training import checkpoint

        path = self.checkpoint.path
        opened = checkpoint.read(path)
        if digest_of(path) == self.digest:
            return opened.model(self.device)
        raise CheckpointError(
            f"checkpoint {self.name} has changed", "it was overwritten meanwhile", "evaluate again"
        )

    def subject(self, *, keep: bool) -> "ScoredModel":
        """The subject for `compare`; `keep` keeps the model for later stages."""
        from slm_tui.evaluation.compare import ScoredModel

        load = self.model if keep else self._fresh
        block = self.checkpoint.preset.model.block_size
        return ScoredModel(self.name, self.tokenizer, block, load)


def evaluate(
    checkpoints: Sequence[Path],
    settings: EvaluationSettings,
    *,
    progress: "Report | None" = None,
    cancel: Event | None = None,
) -> tuple[dict[str, Any], str]:
    """The report on one checkpoint or the comparison of several, and the generations as text.

    Raises:
        SlmTuiError: a checkpoint or the text cannot be read, or the split does not exist.
        Cancelled: `cancel` was set.
    """
    from slm_tui.corpus.progress import Meter
    from slm_tui.evaluation.compare import compare
    from slm_tui.runs.evaluation_text import OverlapCheck, comparison_data_of, text_of
    from slm_tui.training.device import choose_device

    settings.check()
    meter = Meter(progress, cancel)
    began = time.monotonic()
    device = choose_device(settings.device)
    unique = dict.fromkeys(path.resolve() for path in checkpoints)
    opened = [_open(path, device, meter) for path in unique]
    _make_names_unique(opened)
    alone = len(opened) == 1
    with tempfile.TemporaryDirectory(prefix="slm-tui-") as scratch:
        first = opened[0].checkpoint
        text, corpus, notes = text_of(first, settings, Path(scratch), meter)
        data = comparison_data_of(text, corpus, meter)
        leaks = OverlapCheck(text, meter)
        comparison = compare(
            [one.subject(keep=alone) for one in opened],
            text,
            data,
            meter,
            context_bytes=settings.context_bytes,
            stride=settings.stride,
        )
        warnings = {one.name: leaks.of(one.checkpoint, one.tokenizer) for one in opened}
        report = _report(opened, settings, text, comparison, warnings)
        report["notes"] = [*notes, *_training_text_notes(opened, text), *_too_few(comparison)]
        generations = ""
        if alone:
            generations = _alone(report, opened[0], settings, text, corpus, data, comparison, meter)
    report["seconds"] = time.monotonic() - began
    values: dict[str, Any] = finite(report)
    return values, generations


def _open(path: Path, device: Any, meter: "Meter") -> _Opened:
    from slm_tui.training import checkpoint

    meter("opening checkpoints", 0, None, "share")
    saved = checkpoint.read(path.resolve())
    run = run_of(saved.path)
    name = f"{run.name if run else saved.path.parent.name}@{saved.state.step}"
    return _Opened(saved, saved.tokenizer(), name, digest_of(saved.path), device)


def _make_names_unique(opened: list[_Opened]) -> None:
    """Number duplicate names: runs in different directories may have the same name."""
    seen: dict[str, int] = {}
    for one in opened:
        seen[one.name] = seen.get(one.name, 0) + 1
        if seen[one.name] > 1:
            one.name = f"{one.name} ({seen[one.name]})"


def _training_text_notes(opened: list[_Opened], text: "ScoredText") -> list[str]:
    data = opened[0].checkpoint.preset.data
    if text.corpus is None or all(one.checkpoint.preset.data == data for one in opened):
        return []
    return [f"they were trained on different texts; this one is from {opened[0].name}"]


def _too_few(comparison: "Comparison") -> list[str]:
    if comparison.units and not comparison.resamples:
        return ["there is too little text for intervals: differences may be noise"]
    if comparison.unit.startswith("blocks"):
        few = f"{comparison.documents} document{'s' * (comparison.documents != 1)}"
        return [
            f"the text is only {few}: intervals are over {comparison.unit} and only approximate"
        ]
    return []


def _report(
    opened: Sequence[_Opened],
    settings: EvaluationSettings,
    text: "ScoredText",
    comparison: "Comparison",
    leaks: dict[str, str],
) -> dict[str, Any]:
    from slm_tui.evaluation.bootstrap import SEED

    named = {one.name: one for one in opened}
    return {
        "kind": "evaluation" if len(opened) == 1 else "comparison",
        "key": key_of([one.digest for one in opened], settings),
        "version": __version__,
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "device": str(opened[0].device),
        "text": {
            "name": text.name,
            "split": settings.split if not settings.text else "",
            "corpus": text.corpus.fingerprint if text.corpus else "",
            "documents": comparison.documents,
            "of_documents": text.whole,
            "bytes": comparison.bytes,
        },
        "context_bytes": comparison.context_bytes,
        "resampling": {
            "unit": comparison.unit,
            "units": comparison.units,
            "resamples": comparison.resamples,
            "seed": SEED,
        },
        "models": [
            _model(row, named[row.name], leaks[row.name]) for row in comparison.rows if row.scores
        ],
        "baselines": [_row(row) for row in comparison.rows if row.scores is None],
    }


def _row(row: "ComparisonRow") -> dict[str, Any]:
    return {
        "name": row.name,
        "kind": row.kind,
        "bits_per_byte": row.bits_per_byte,
        "interval": list(row.interval) if row.interval else None,
        "difference": row.difference,
        "difference_interval": list(row.difference_interval) if row.difference_interval else None,
        "is_noise": row.is_noise,
        "note": row.note,
    }


def _model(row: "ComparisonRow", one: _Opened, leak: str) -> dict[str, Any]:
    checkpoint = one.checkpoint
    total, embedding = checkpoint.preset.model.parameters(checkpoint.state.n_vocab)
    run = run_of(checkpoint.path)
    is_evaluated = checkpoint.state.evaluated_step == checkpoint.state.step
    return {
        **_row(row),
        "rank": row.rank,
        "checkpoint": str(checkpoint.path),
        "digest": one.digest,
        "run": run.name if run else "",
        "step": checkpoint.state.step,
        "val_loss_in_training": checkpoint.state.val_loss if is_evaluated else None,
        "model_type": checkpoint.preset.model.kind,
        "tokenizer": one.tokenizer.kind,
        "n_vocab": checkpoint.state.n_vocab,
        "block_size": checkpoint.preset.model.block_size,
        "parameters": total,
        "non_embedding_parameters": total - embedding,
        "leak": leak,
        **_metrics(row),
    }


def _metrics(row: "ComparisonRow") -> dict[str, Any]:
    scores = row.scores
    assert scores is not None
    return {
        "loss": scores.loss,
        "perplexity": scores.perplexity,
        "accuracy": scores.accuracy,
        "top5_accuracy": scores.top5_accuracy,
        "num_tokens": int(scores.tokens.sum()),
        "num_bytes": int(scores.bytes.sum()),
    }


def _alone(
    report: dict[str, Any],
    one: _Opened,
    settings: EvaluationSettings,
    text: "ScoredText",
    corpus: "Corpus | None",
    data: "ComparisonData",
    comparison: "Comparison",
    meter: "Meter",
) -> str:
    """Add what only a report on one checkpoint has; return its generations as text."""
    from slm_tui.evaluation import chunking, speed
    from slm_tui.runs.evaluation_text import gap_text
    from slm_tui.training.cpu_load import peak_bytes

    model, state = one.model(), one.checkpoint.state
    total = report["models"][0]["parameters"]
    tokens = len(corpus.train) if corpus is not None and corpus.fingerprint == state.corpus else 0
    report["data"] = {
        "train_tokens": tokens or None,
        "tokens_per_parameter": tokens / total if tokens else None,
        "tokens_seen": state.tokens_seen,
        "tokens_seen_per_parameter": state.tokens_seen / total,
    }
    other, where = gap_text(text, corpus, settings)
    if other is not None:
        report["gap"] = _gap(one, other, where, comparison, settings, meter)
    cuts = chunking.measure(model, one.tokenizer, text.documents, meter.check)
    if cuts:
        report["chunks"] = [asdict(stage) for stage in cuts]
    generations = ""
    if settings.samples:
        generations = _generations(report, one, settings, meter)
    meter("timing", 0, None, "share")
    report["efficiency"] = {
        **speed.measure(model, one.tokenizer.end_of_text, meter.check),
        "peak_process_bytes": peak_bytes(),
    }
    return generations


def _gap(
    one: _Opened,
    other: "ScoredText",
    where: str,
    comparison: "Comparison",
    settings: EvaluationSettings,
    meter: "Meter",
) -> dict[str, Any]:
    """How much worse the model is on unseen text."""
    from slm_tui.evaluation.metrics import Units, score

    stage = f"scoring {where} for the gap"
    there = score(
        one.model(),
        one.tokenizer,
        other.encoded(one.tokenizer),
        Units.documents(len(other.documents)),
        context_bytes=settings.context_bytes,
        stride=settings.stride,
        step=lambda done: meter(stage, done, len(other.documents), "documents"),
    )
    here = comparison.models[0].scores
    assert here is not None
    sign = -1 if settings.split == "train" else 1
    return {
        "split": where,
        "documents": len(other.documents),
        "loss": there.loss,
        "bits_per_byte": there.bits_per_byte,
        "gap": sign * (here.loss - there.loss),
        "gap_bits_per_byte": sign * (here.bits_per_byte - there.bits_per_byte),
    }


def _generations(
    report: dict[str, Any], one: _Opened, settings: EvaluationSettings, meter: "Meter"
) -> str:
    from slm_tui.evaluation import generations
    from slm_tui.generation.sampling import SamplingSettings

    sampling = one.checkpoint.preset.sampling
    prompts = tuple(dict.fromkeys([*sampling.prompts, *generations.USUAL_PROMPTS]))
    how = SamplingSettings.of(sampling).with_(max_tokens=settings.max_tokens)
    began = time.monotonic()
    written = generations.generate(
        one.model(),
        one.tokenizer,
        prompts,
        how,
        settings.samples,
        begin=one.checkpoint.state.begins_documents,
        step=lambda done: meter("writing", done, settings.samples, "texts"),
    )
    summary = generations.summary(written, time.monotonic() - began)
    report["generation"] = {**summary, "settings": asdict(how)}
    report["sample_generations"] = [
        {"prompt": each.prompt, "text": each.text, "seed": each.seed, "is_valid": each.is_valid}
        for each in written[:_SHOWN_SAMPLES]
    ]
    return generations.as_text(f"{one.name}, {report['timestamp']}", written)
