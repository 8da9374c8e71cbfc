"""Resuming a run: which settings may change, and which corpus it needs."""

from collections.abc import Sequence
from pathlib import Path
from threading import Event as ThreadEvent
from typing import TYPE_CHECKING

from slm_tui import paths, safe_files
from slm_tui.config import overrides, text_location
from slm_tui.config.preset import Preset
from slm_tui.errors import (
    CheckpointError,
    CorpusError,
    PresetError,
    RunError,
    SlmTuiError,
    TrainingError,
)
from slm_tui.runs.info import PRESET
from slm_tui.runs.store import Run
from slm_tui.training import checkpoint_dir
from slm_tui.training.extension import decays, final_rate, move_end

if TYPE_CHECKING:
    from slm_tui.corpus.prepare import Corpus
    from slm_tui.corpus.progress import Report
    from slm_tui.training.checkpoint import Checkpoint
    from slm_tui.training.trainer import Trainer

# Settings that do not affect what a step computes from a batch: where the text is (its content is
# compared), device and threads, what is shown, logged and saved.
_PERMITTED = frozenset(
    {
        "data.path",
        "data.dataset",
        "data.cache_dir",
        "training.device",
        "training.devices",
        "training.threads",
        "training.compile",
        "training.log_every",
        "training.gradient_norms",
        "training.log_to",
        "training.wandb_mode",
        "training.wandb_project",
        "training.evaluate_every",
        "training.evaluate_batches",
        "training.sample_every",
        "training.checkpoint_every",
        "training.keep_checkpoints",
        "training.keep_every",
        "title",
        "description",
    }
)
_OF_SAMPLES = "sampling."
# If set, the learning rate or the end of the run depends on the evaluations.
_EVALUATION = ("training.evaluate_every", "training.evaluate_batches")


def changed(run: Run, assignments: Sequence[str] = (), text: str = "") -> Preset:
    """The preset of `run` with changes that do not affect its losses.

    Args:
        assignments: `PATH=VALUE`, as for a new run.
        text: the new location of the same text.

    Raises:
        PresetError: a setting cannot change when a run is resumed, or its value is invalid.
    """
    preset = run.preset()
    if not assignments and not text:
        return preset
    after = overrides.apply(preset, list(assignments))
    if text:
        after = _with_text(after, text)
    check(preset, after, run.id)
    return after


def _with_text(preset: Preset, text: str) -> Preset:
    if not preset.data.location_setting:
        raise PresetError(
            "--text does not apply to this run", "it was trained on the built-in stories"
        )
    section = text_location.source_of(text)
    if section["kind"] != preset.data.kind:
        raise PresetError(
            f"{text} cannot replace the text of this run",
            f"it is a {section['kind']}, the run was trained on a {preset.data.kind}",
            "give the location of the same text",
        )
    return overrides.apply(preset, [f"data.{preset.data.location_setting}={text}"])


def check(before: Preset, after: Preset, run: str) -> None:
    """Raise if `after` would change the training of `before`.

    Raises:
        PresetError: naming the first such setting.
    """
    if before.name != after.name:
        raise PresetError(
            "name cannot change when a run is resumed",
            "",
            f"slm-tui runs rename {run} {after.name}",
        )
    follows = bool(before.schedule.plateau_factor or before.training.early_stop_patience)
    for path, old, new in overrides.difference(after.to_dict(), before.to_dict()):
        if path in _EVALUATION and follows:
            raise PresetError(
                f"{path} cannot change when a run is resumed",
                "its learning rate or its end depends on the evaluations",
                f"leave it at {old}",
            )
        if path not in _PERMITTED and not path.startswith(_OF_SAMPLES):
            raise PresetError(
                f"{path} cannot change when a run is resumed",
                f"{old} → {new} would change the training",
                f"start a new run: slm-tui train --from {run} --set {path}={new}",
            )


def missing_text(run: Run) -> str:
    """The location of the text of `run` if it is needed and missing; else empty."""
    try:
        missing = run.preset().data.missing()
        if not missing:
            return ""
        state = checkpoint_dir.newest_state(run.checkpoints)
    except SlmTuiError:
        return ""
    corpus = paths.corpora_dir() / state.corpus if state is not None and state.corpus else None
    if corpus is not None and safe_files.is_file(corpus / "manifest.json"):
        return ""
    return missing


def corpus_of(
    run: Run,
    preset: Preset,
    saved: "Checkpoint",
    progress: "Report | None" = None,
    cancel: ThreadEvent | None = None,
) -> "Corpus":
    """The corpus that the checkpoint `saved` was trained on, cached or prepared again.

    Raises:
        TrainingError: the text is missing or has changed.
        CorpusError: it cannot be prepared.
        Cancelled: `cancel` was set.
    """
    from slm_tui.corpus import prepare as preparing

    fingerprint = saved.state.corpus
    cached = preparing.reopen(fingerprint)
    if cached is not None:
        return cached
    try:
        preparing.fingerprint(preset)
    except CorpusError as error:
        raise TrainingError(
            f"the text of {run.id} cannot be read", _reason(error), _how_to_name_it(run, preset)
        ) from None
    corpus = preparing.prepare_again(
        preset, fingerprint, saved.tokenizer(), progress=progress, cancel=cancel
    )
    if corpus is None:
        raise TrainingError(
            f"the text of {run.id} has changed since it was trained",
            f"{preset.data.location or preset.data.kind} differs from the text at "
            f"step {saved.state.step:,}",
            f"{_how_to_name_it(run, preset)}; or train on the new text from these weights: "
            f"slm-tui train --from {run.id}@last{_text_option(preset)}",
        )
    return corpus


def _reason(error: SlmTuiError) -> str:
    return f"{error.what}: {error.why}" if error.why else error.what


def _text_option(preset: Preset) -> str:
    where = preset.data.location
    return f" --text {where}" if where else ""


def _how_to_name_it(run: Run, preset: Preset) -> str:
    if not preset.data.location_setting:
        return "the built-in stories differ in this version: use the version that trained it"
    place = f"data.{preset.data.location_setting}=…"
    return f"restore it, or give its location: slm-tui train --resume {run.id} --set {place}"


def check_end(run: Run, preset: Preset, more_steps: int, *, rewarm: bool) -> None:
    """Raise if there is nothing to resume, or if more steps would change nothing.

    Raises:
        RunError: saying what to do instead.
    """
    info = run.info()
    origin = next((one for one in ("exported", "imported") if info.facts.get(one)), None)
    if origin is not None:
        raise RunError(
            f"run {run.id} was {origin} without optimizer state",
            "",
            f"start a new run from its weights: slm-tui train --from {run.path}",
        )
    if info.state == "done" and not more_steps:
        raise RunError(
            f"run {run.id} is finished",
            f"it completed all {info.max_steps} steps",
            "add more steps (--steps N), or fork a new run from it",
        )
    if info.state == "done" and not rewarm and not final_rate(preset):
        raise RunError(
            f"more steps would not change run {run.id}",
            "its learning rate has decayed to 0",
            f"let it warm up again: slm-tui train --resume {run.id} --steps {more_steps} --rewarm",
        )
    if rewarm and not decays(preset.schedule):
        raise RunError(
            f"the learning rate of run {run.id} cannot warm up again",
            "its schedule is constant",
            "omit --rewarm",
        )


def extend(
    trainer: "Trainer", end: int, more_steps: int, *, rewarm: bool, stopped_early: bool
) -> str:
    """Move the end of a resumed run by `more_steps`; return how its learning rate continues.

    Args:
        end: the end of the run as last recorded; one that was moved after the checkpoint is kept.
        stopped_early: its patience was used up. It is reset, and steps add to where it stopped,
            not to an end that it was far from.
    """
    state = trainer.state
    before = (state.max_steps, state.patience_from)
    end = max(state.max_steps, end) + more_steps
    if stopped_early:
        state.patience_from = state.step
        if more_steps:
            end = state.step + more_steps
    note = move_end(trainer.preset, state, end, rewarm=rewarm)
    trainer.saves_first = (state.max_steps, state.patience_from) != before
    return note


def write_preset(run: Run, preset: Preset) -> None:
    """Save changed settings with the run.

    Raises:
        OSError: the disk is full or cannot be written.
    """
    path = run.path / PRESET
    safe_files.write_atomically(path, preset.to_toml(), parents=False)


def set_aside_later(directory: Path, step: int) -> None:
    """Set aside checkpoints after `step`, which new ones would overwrite: nothing is lost."""
    for path in checkpoint_dir.later_than(directory, step):
        try:
            checkpoint_dir.read_manifest(path)
        except checkpoint_dir.RenamedError:
            why = "copied"
        except CheckpointError:
            why = "damaged"
        else:
            why = "damaged"
        checkpoint_dir.set_aside([path], why)


def nothing_to_resume(run: Run, wrong: list[str]) -> CheckpointError:
    """The error for a run without a usable checkpoint; `wrong` says why others are not."""
    steps = run.info().step
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    why = f"{wrong[0]}{more}" if wrong else "it has no checkpoint"
    return CheckpointError(
        f"run {run.id} cannot be resumed",
        f"it has {steps:,} steps, but {why}" if steps else why,
        f"restore its checkpoints, or start again: slm-tui train {run.path / 'preset.toml'}",
    )
