"""The input and output of a diagnosis: evidence and verdicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slm_tui.config.estimate import FEW_TOKENS_PER_PARAMETER
from slm_tui.config.usual import UsualRate
from slm_tui.evaluation.diagnosis.explanations import AFTER_THE_END, EXPLANATIONS
from slm_tui.evaluation.diagnosis.remedy import Remedy

if TYPE_CHECKING:
    from slm_tui.evaluation.diagnosis.remedies import Remedies
    from slm_tui.evaluation.memorisation import Copying

CERTAIN = 0.97
LIKELY = 0.8


@dataclass(frozen=True)
class Verdict:
    """One finding: `sign` and `word` for a status line, `evidence` in numbers with units.

    `confidence` is 0 to 1, and `reason` says what it is based on. `severity` orders findings of
    equal confidence. The first of `remedies` is the one to try first. `has_ended` says that the
    run is no longer being trained.
    """

    sign: str
    word: str
    since: int | None = None
    evidence: str = ""
    confidence: float = 1.0
    reason: str = ""
    severity: float = 1.0
    remedies: tuple[Remedy, ...] = ()
    hint: str = ""
    has_ended: bool = False

    @property
    def short(self) -> str:
        """`▲ overfitting`, for a single cell or label."""
        return f"{self.sign} {self.word}".strip()

    @property
    def advice(self) -> str:
        """What to try, in one line; empty if nothing needs to be done."""
        return self.remedies[0].text if self.remedies else self.hint

    @property
    def remedy(self) -> tuple[str, ...]:
        """The overrides of the first remedy."""
        return self.remedies[0].changes if self.remedies else ()

    @property
    def explanation(self) -> str:
        """What it means, why it happens and how to recognise it, for a first-time reader."""
        text = AFTER_THE_END.get(self.word, "") if self.has_ended else ""
        return text or EXPLANATIONS.get(self.word, "")

    @property
    def certainty(self) -> str:
        """The confidence as a word."""
        if self.confidence >= CERTAIN:
            return "certain"
        return "likely" if self.confidence >= LIKELY else "possible"

    @property
    def rank(self) -> float:
        """Verdicts of a higher rank come first; half of the severity counts at any confidence."""
        return self.severity * (1 + self.confidence) / 2

    def to_dict(self) -> dict[str, object]:
        """Plain values."""
        return {
            "verdict": self.word,
            "sign": self.sign,
            "since_step": self.since,
            "evidence": self.evidence,
            "confidence": round(self.confidence, 3),
            "confidence_reason": self.reason,
            "explanation": self.explanation,
            "remedies": [{"text": one.text, "changes": list(one.changes)} for one in self.remedies],
        }


@dataclass
class CurveBlock:
    """Consecutive logged steps. `loss` is their mean in nats per token, `rates` the sum of their
    learning rates times the steps they represent, `norm` their mean gradient norm."""

    last: int
    count: int
    loss: float
    rates: float
    norm: float


@dataclass(frozen=True)
class Evidence:
    """What is known of a run. Losses in nats per token.

    `val_losses` and `train_losses` have one entry for each of `val_steps`: the validation loss,
    and the mean training loss of the steps just before (NaN if there are none). `blocks` are the
    training losses between evaluations, a few hundred at most.
    """

    val_steps: Sequence[int] = ()
    val_losses: Sequence[float] = ()
    train_losses: Sequence[float] = ()
    val_bits_per_byte: Sequence[float] = ()
    blocks: Sequence[CurveBlock] = ()
    step: int = 0
    max_steps: int = 0
    # `is_over`: all steps are done. `has_ended`: training has ended, complete or not.
    is_over: bool = False
    has_ended: bool = False
    floor_bits_per_byte: float | None = None
    n_vocab: int = 0
    parameters: int = 0
    train_tokens: int = 0
    val_tokens: int = 0
    tokens_per_step: int = 0
    # Below this, the text is little for the model.
    few_tokens_per_parameter: float = FEW_TOKENS_PER_PARAMETER
    learning_rate: float = 0.0
    # Its rates, with the range that is usual for a model of this size; none if that is unknown.
    usual_rates: Sequence[UsualRate] = ()
    gradient_clip: float = 0.0
    dropout: float = 0.0
    warmup_steps: int = 0
    evaluated_tokens: int = 0
    early_stop_patience: int | None = None
    skipped: Sequence[int] = ()
    went_back: Sequence[int] = ()
    spikes: Sequence[int] = ()
    failed_non_finite: bool = False
    is_forked: bool = False
    copying: "Copying | None" = None
    # Metrics of the model by name, one entry for each of `metric_steps`; and what some aim at.
    metric_steps: Sequence[int] = ()
    metrics: Mapping[str, Sequence[float]] = field(default_factory=dict)
    metric_targets: Mapping[str, float] = field(default_factory=dict)
    is_ternary: bool = False
    remedies: "Remedies | None" = field(default=None, compare=False)
    # The unit in which the texts give losses, and what a loss in nats per token is in it.
    unit: str = "nats"
    per_nat: float = 1.0

    def loss(self, nats: float) -> str:
        """A loss, or a difference of losses, as text in the unit of this evidence."""
        value = nats * self.per_nat
        size = abs(value)
        return f"{value:.3f}" if size < 1000 else f"{value:,.0f}" if size < 1e9 else f"{value:.3g}"
