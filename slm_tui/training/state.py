"""The state for an exact resume, besides weights and optimizer moments."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, Strict

from slm_tui import records
from slm_tui.config.preset import Preset
from slm_tui.records import Count, Finite, Flag, Loss, Name, Seconds, Step
from slm_tui.training.schedule import Course
from slm_tui.versions import Format

if TYPE_CHECKING:
    from slm_tui.corpus.prepare import Corpus

# Versions of `state.json`; append a migration to change the meaning of an entry.
FORMAT = Format("format", migrations=[])

# Becomes a directory name in the corpus cache.
Fingerprint = Annotated[str, Strict(), Field(pattern=r"^[0-9a-f]{0,64}$")]
_Factor = Annotated[float, Strict(), Field(ge=0, le=1e9, allow_inf_nan=False)]
_Scale = Annotated[float, Strict(), Field(gt=0, le=2.0**40, allow_inf_nan=False)]
_Look = Annotated[int, Strict(), Field(ge=-1, le=records.LARGEST)]


@dataclass
class TrainingState:
    """Everything needed for an exact resume besides weights and optimizer."""

    step: Step = 0
    max_steps: Step = 0
    # Training ends after this time, not counting evaluations; 0 means no limit.
    max_seconds: Seconds = 0.0
    elapsed_seconds: Seconds = 0.0
    tokens_seen: Count = 0
    learning_rate_multiplier: _Factor = 1.0
    best_step: Step | None = None
    best_loss: Loss | None = None
    evaluated_step: _Look = -1
    sampled_step: _Look = -1
    train_loss: Loss | None = None
    val_loss: Loss | None = None
    val_bits_per_byte: Loss | None = None
    # How the learning rate continues after the end of the run was moved.
    course: Course = field(default_factory=Course)
    skipped_steps: Count = 0
    # Early stopping counts from here: set when a run that stopped early is extended.
    patience_from: Step = 0
    plateau_multiplier: _Factor = 1.0
    plateau_loss: Loss | None = None
    plateau_step: Step = 0
    loss_scale: _Scale = 1.0
    loss_scale_calm: Count = 0
    # The output of `Guard.state`.
    guard: dict[str, Finite] = field(default_factory=dict)
    # Sequences per forward pass.
    micro_batch: Count = 0
    threads: Annotated[int, Strict(), Field(ge=0, le=65_536)] = 0
    # The number format of the forward pass; empty in states of older versions.
    precision: Name = ""
    n_vocab: Annotated[int, Strict(), Field(ge=0, le=2**24)] = 0
    begins_documents: Flag = True
    corpus: Fingerprint = ""
    # As stored in a file; read it with `preset.from_stored`.
    preset: dict[str, Any] = field(default_factory=dict)
    torch_version: Name = ""

    @classmethod
    def fresh(cls, preset: Preset, corpus: "Corpus", torch_version: Name) -> "TrainingState":
        """Before the first step."""
        return cls(
            max_steps=preset.training.max_steps,
            max_seconds=60 * (preset.training.max_minutes or 0.0),
            n_vocab=corpus.tokenizer.n_vocab,
            begins_documents=corpus.begins_documents,
            corpus=corpus.fingerprint,
            preset=preset.to_stored(),
            torch_version=torch_version,
        )

    def to_stored(self) -> dict[str, Any]:
        """The values of a `state.json`."""
        return FORMAT.stamp(asdict(self))

    @classmethod
    def parse(cls, values: Any) -> "TrainingState":
        """The state in the values of a `state.json` of any version.

        Raises:
            NewerVersionError: a newer version wrote it.
            ValueError: an entry has the wrong type or is out of range.
        """
        if isinstance(values, Mapping):
            values = FORMAT.migrate(values, "state.json")
        return records.record(cls, values, "state.json")
