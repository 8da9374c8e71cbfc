"""Whether a text is large enough for a preset, whether it leaks, and what to do about it."""

from dataclasses import dataclass

from slm_tui.config.estimate import (
    COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER,
    MANY_EPOCHS,
    few_tokens_per_parameter,
)
from slm_tui.config.preset import Preset
from slm_tui.corpus.overlap import WARN_ABOVE, WORDS
from slm_tui.corpus.statistics import Plan, Statistics
from slm_tui.formatting import ratio_text
from slm_tui.text import one_line

_FILES_NAMED = 2
_NOTES_SHOWN = 4
_PART = {"val": "validation", "test": "test"}


@dataclass(frozen=True)
class DataVerdict:
    """One finding. `is_fine` means nothing needs to be done; `why` gives details."""

    topic: str
    is_fine: bool
    text: str
    why: str = ""

    def to_dict(self) -> dict[str, object]:
        """Plain values."""
        return {"topic": self.topic, "fine": self.is_fine, "text": self.text, "why": self.why}


def verdicts(preset: Preset, statistics: Statistics, plan: Plan) -> list[DataVerdict]:
    """All findings; what prevents training comes first."""
    few = few_tokens_per_parameter(preset)
    findings = [
        _window(plan),
        _enough(plan, few),
        *_leaks(preset, statistics),
        *_left_out(statistics),
    ]
    return [one for one in findings if one is not None]


def _window(plan: Plan) -> DataVerdict | None:
    if not plan.problem:
        return None
    return DataVerdict("validation", False, plan.problem, plan.remedy)


def _enough(plan: Plan, few: float) -> DataVerdict:
    ratio = ratio_text(plan.tokens_per_parameter)
    if plan.epochs is None:
        return DataVerdict(
            "size", False, "the training text is shorter than a window", "use more text"
        )
    epochs = f"seen {ratio_text(plan.epochs)} times"
    if plan.epochs > MANY_EPOCHS and plan.tokens_per_parameter < few:
        return DataVerdict(
            "size",
            False,
            f"too little text: {ratio} tokens/param, {epochs}",
            "expect overfitting: more text, a smaller model, more dropout, or fewer steps",
        )
    if plan.epochs > MANY_EPOCHS:
        text = f"the text is {epochs}"
        return DataVerdict("size", False, text, f"beyond {MANY_EPOCHS} passes little is gained")
    if plan.tokens_per_parameter < few:
        return DataVerdict(
            "size",
            False,
            f"{ratio} tokens per parameter, about {COMPUTE_OPTIMAL_TOKENS_PER_PARAMETER} is ideal",
            "use a smaller model, which would learn as much in this time, or more text",
        )
    return DataVerdict("size", True, f"enough text: {ratio} tokens per parameter, {epochs}")


def _leaks(preset: Preset, statistics: Statistics) -> list[DataVerdict]:
    findings = []
    for part, overlap in statistics.leakage.items():
        share, name = f"{overlap['share']:.1%}", _PART[part]
        if preset.data.is_endless:
            text = f"{share} of {name}'s {WORDS}-grams are in training, as expected"
            why = "all stories come from the same grammar, and the floor takes that into account"
            findings.append(DataVerdict("leakage", True, text, why))
        elif overlap["share"] > WARN_ABOVE:
            text = f"leak: {share} of {name}'s {WORDS}-grams are in training"
            why = "its loss looks better than it is: remove near-duplicates, or split differently"
            findings.append(DataVerdict("leakage", False, text, why))
        elif overlap["runs"]:
            text = f"no leak: {share} of {name}'s {WORDS}-grams are in training"
            findings.append(DataVerdict("leakage", True, text))
    removed = statistics.duplicates_removed
    if removed:
        text = f"{_many(removed, 'copy', 'copies')} of training documents removed"
        why = "they were in validation or test; near-duplicates may remain"
        findings.append(DataVerdict("duplicates", False, text, why))
    return findings


def _how_read(statistics: Statistics) -> list[DataVerdict]:
    """How the files were read, and how many characters were lost."""
    out, findings = statistics.left_out, []
    replaced = out.get("replaced", 0)
    if replaced:
        share = replaced / max(1, out.get("decoded", 0))
        many = _many(replaced, "character was", "characters were")
        text = f"{many} replaced by U+FFFD ({share:.2%} of the text)"
        why = "if letters are missing, set data.encoding to the encoding of the text"
        findings.append(DataVerdict("encoding", False, text, why))
    notes = out.get("notes", [])
    findings += [DataVerdict("reading", True, one_line(note, 160)) for note in notes[:_NOTES_SHOWN]]
    if len(notes) > _NOTES_SHOWN:
        text = f"{_many(len(notes) - _NOTES_SHOWN, 'more note', 'more notes')} like this"
        findings.append(DataVerdict("reading", True, text))
    return findings


def _left_out(statistics: Statistics) -> list[DataVerdict]:
    out, findings = statistics.left_out, [*_how_read(statistics)]
    if out.get("skipped"):
        named = ", ".join(
            f"{one_line(name, 40)} ({one_line(why, 60)})"
            for name, why in out["skipped_files"][:_FILES_NAMED]
        )
        more = out["skipped"] - min(_FILES_NAMED, len(out["skipped_files"]))
        named += f" and {more:,} more" if more else ""
        text = f"{_many(out['skipped'], 'file was', 'files were')} skipped"
        findings.append(DataVerdict("skipped", False, text, named))
    if out.get("splits"):
        text = f"unused splits of the dataset: {one_line(', '.join(out['splits']), 60)}"
        why = "to use them, set data.validation_split and data.test_split"
        findings.append(DataVerdict("splits", True, text, why))
    if out.get("null"):
        text = f"{_many(out['null'], 'row has', 'rows have')} no text"
        findings.append(DataVerdict("rows", False, text))
    if out.get("blank"):
        text = f"{_many(out['blank'], 'blank document was', 'blank documents were')} left out"
        findings.append(DataVerdict("rows", True, text))
    if out.get("short") or out.get("long"):
        short, long = out.get("short", 0), out.get("long", 0)
        text = f"{short:,} documents were too short and {long:,} too long"
        findings.append(DataVerdict("lengths", True, text))
    return findings


def _many(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"
