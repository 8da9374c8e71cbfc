"""Settings for the optimizer, the schedule, training and sampling."""

from typing import Any, Literal, Self, get_args

from pydantic import model_validator

from slm_tui.config.fields import Settings, reject, setting

# Sequences in one pass, and passes in one step.
MOST_SEQUENCES = 65_536
MOST_DEVICES = 64


class Optimizer(Settings):
    """How gradients become updates."""

    kind: Literal["adamw", "muon"] = setting(
        "adamw", help="Optimizer; muon uses Muon for hidden matrices and AdamW for the rest"
    )
    learning_rate: float = setting(
        1e-3, gt=0, le=1, help="Peak learning rate", unit="per step", nudge="125"
    )
    muon_learning_rate: float | None = setting(
        None,
        gt=0,
        le=1,
        help="Peak learning rate of hidden matrices with muon; unset: learning_rate",
        unit="per step",
        nudge="125",
    )
    beta1: float = setting(
        0.9,
        ge=0,
        lt=1,
        help="Decay rate of the gradient's running mean (β₁)",
        nudge="+0.01",
        advanced=True,
    )
    beta2: float = setting(
        0.95,
        ge=0,
        lt=1,
        help="Decay rate of the squared gradient's running mean (β₂)",
        nudge="+0.01",
        advanced=True,
    )
    eps: float = setting(
        1e-8,
        gt=0,
        le=1,
        help="Small constant that avoids division by zero",
        nudge="125",
        advanced=True,
    )
    muon_momentum: float = setting(
        0.95, ge=0, lt=1, help="Momentum of Muon", nudge="+0.01", advanced=True
    )
    weight_decay: float = setting(
        0.1, ge=0, le=10, help="Weight decay: shrinks weights at every update", nudge="125"
    )
    weight_decay_on: Literal["matrices", "hidden", "all"] = setting(
        "matrices",
        help="Which weights decay; hidden: no embeddings; all: norms and biases too",
        advanced=True,
    )
    gradient_clip: float = setting(
        1.0, ge=0, help="Largest gradient norm allowed; 0 means no limit", nudge="125"
    )


class Schedule(Settings):
    """How the learning rate changes over the steps."""

    alternatives = (
        frozenset({"warmup_steps", "warmup_fraction"}),
        frozenset({"minimum", "minimum_ratio"}),
    )

    kind: Literal["constant", "linear", "cosine", "wsd"] = setting(
        "cosine", help="Shape of the schedule after warm-up"
    )
    warmup_steps: int | None = setting(
        None, ge=0, help="Warm-up steps to the peak learning rate", unit="steps", nudge="125"
    )
    warmup_fraction: float | None = setting(
        None, ge=0, le=1, help="Warm-up as a fraction of all steps", nudge="+0.05"
    )
    warmup_start_ratio: float = setting(
        0.0, ge=0, le=1, help="Start of warm-up, as a fraction of the peak", advanced=True
    )
    length_warmup_fraction: float = setting(
        0.0,
        ge=0,
        le=1,
        help="Fraction of the steps, at the start, with windows of half the length",
        nudge="+0.1",
        advanced=True,
    )
    decay_fraction: float = setting(
        0.2, gt=0, le=1, help="Final fraction of the steps in which wsd decays", nudge="+0.05"
    )
    plateau_factor: float | None = setting(
        None,
        gt=0,
        lt=1,
        help="Multiplies the learning rate when validation loss plateaus; unset: off",
        nudge="+0.1",
        advanced=True,
    )
    plateau_patience: int = setting(
        500,
        ge=1,
        help="Steps without improvement that count as a plateau",
        unit="steps",
        nudge="125",
        advanced=True,
    )
    plateau_cooldown: int = setting(
        500, ge=0, help="Steps to wait after a reduction", unit="steps", nudge="125", advanced=True
    )
    plateau_floor: float = setting(
        0.1, ge=0, le=1, help="Lowest learning rate after reductions, as a fraction", advanced=True
    )
    minimum: float | None = setting(
        None, ge=0, help="Final learning rate", unit="per step", nudge="125", advanced=True
    )
    minimum_ratio: float | None = setting(
        None, ge=0, le=1, help="Final learning rate as a fraction of the peak", nudge="+0.05"
    )

    @model_validator(mode="after")
    def _check_alternatives(self) -> Self:
        for group in self.alternatives:
            chosen = sorted(name for name in group if getattr(self, name) is not None)
            if len(chosen) > 1:
                raise reject(chosen[0], f"set only one of {' and '.join(chosen)}")
        return self


LogTo = Literal["tensorboard", "wandb", "mlflow"]


class Training(Settings):
    """How long to train, on what device, and how often to evaluate and save."""

    max_steps: int = setting(
        1000, ge=1, le=10**12, help="Number of optimizer updates", unit="steps", nudge="125"
    )
    max_minutes: float | None = setting(
        None,
        gt=0,
        le=1e6,
        help="End after so much training time; the schedule follows the clock; unset: off",
        unit="minutes",
        nudge="125",
        advanced=True,
    )
    micro_batch: int = setting(
        16,
        ge=1,
        le=MOST_SEQUENCES,
        help="Sequences in one forward pass",
        unit="sequences",
        nudge="x2",
    )
    accumulation: int = setting(
        1, ge=1, le=MOST_SEQUENCES, help="Forward passes per step", unit="passes", nudge="+1"
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = setting(
        "auto", help="Number format of the forward pass; auto: best for the device"
    )
    device: str = setting("auto", help="Device: auto, cpu, cuda, cuda:1 or mps")
    devices: int = setting(
        1,
        ge=0,
        le=MOST_DEVICES,
        help="GPUs that share each step; 0: all. On a CPU: processes, which seldom pay off",
        unit="",
        nudge="+1",
        advanced=True,
    )
    threads: int = setting(
        0,
        ge=0,
        le=1024,
        help="CPU threads; 0: all cores, or 1 for a very small model",
        unit="threads",
        nudge="+1",
        advanced=True,
    )
    adapt_threads: bool = setting(
        False,
        help="Use fewer threads while other programs are busy; runs then do not repeat exactly",
        advanced=True,
    )
    compile: Literal["off", "on", "auto"] = setting(
        "off",
        help="torch.compile; auto: only if it shortens the whole run",
        advanced=True,
    )
    seed: int = setting(
        42, ge=0, lt=2**31, help="Random seed for initialization and batches", nudge="+1"
    )
    log_every: int = setting(
        1, ge=1, help="Steps between log rows", unit="steps", nudge="125", advanced=True
    )
    gradient_norms: bool = setting(
        False,
        help="Also log the gradient norm of each block, or of each stage of an H-Net",
        advanced=True,
    )
    evaluate_every: int = setting(
        50, ge=1, help="Steps between evaluations", unit="steps", nudge="125"
    )
    evaluate_batches: int = setting(
        20, ge=1, help="Maximum batches per evaluation", unit="batches", nudge="125", advanced=True
    )
    sample_every: int = setting(200, ge=1, help="Steps between samples", unit="steps", nudge="125")
    checkpoint_every: int = setting(
        250, ge=1, help="Steps between checkpoints", unit="steps", nudge="125"
    )
    keep_checkpoints: int = setting(
        5,
        ge=1,
        help="Periodic checkpoints to keep; best, last and manual ones stay",
        unit="",
        nudge="+1",
        advanced=True,
    )
    keep_every: int | None = setting(
        None,
        ge=1,
        help="Also keep periodic checkpoints at multiples of this step; unset: none",
        unit="steps",
        nudge="125",
        advanced=True,
    )
    early_stop_patience: int | None = setting(
        None,
        ge=1,
        help="Stop after this long without a better validation loss; unset: off",
        unit="steps",
        nudge="125",
    )
    early_stop_min_delta: float = setting(
        0.0,
        ge=0,
        help="Smallest decrease that counts as an improvement",
        unit="nats",
        nudge="125",
        advanced=True,
    )
    early_stop_restore: bool = setting(
        True, help="Restore the best weights when stopping early", advanced=True
    )
    log_to: tuple[LogTo, ...] = setting(
        (), help="Also log to tensorboard, wandb or mlflow, or several of them", advanced=True
    )
    wandb_mode: Literal["auto", "online", "offline"] = setting(
        "auto", help="Weights & Biases; auto: WANDB_MODE, else online if it works", advanced=True
    )
    wandb_project: str = setting(
        "", help="Weights & Biases project; empty: WANDB_PROJECT, else slm-tui", advanced=True
    )

    @model_validator(mode="after")
    def _check_devices(self) -> Self:
        sequences = self.micro_batch * self.accumulation
        if self.devices > sequences:
            raise reject(
                "devices",
                f"{self.devices} devices cannot share a step of {sequences} sequences",
                sequences,
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _parse_log_to(cls, values: Any) -> Any:
        """`log_to` may be one name, or several separated by commas."""
        if not isinstance(values, dict) or "log_to" not in values:
            return values
        value = values["log_to"]
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, (list, tuple)):
            return values
        names = [part.strip() for one in listed for part in str(one).split(",")]
        names = list(dict.fromkeys(name for name in names if name))
        choices = get_args(LogTo)
        for name in names:
            if name not in choices:
                raise reject("log_to", f"{name!r} is not a supported logger", list(choices))
        return {**values, "log_to": names}


class Sampling(Settings):
    """How text is sampled from the model."""

    prompts: tuple[str, ...] = setting(
        ("Once upon a time",), min_length=1, max_length=64, help="Prompts that samples start with"
    )
    max_tokens: int = setting(
        60, ge=1, le=100_000, help="Maximum length of a sample", unit="tokens", nudge="+20"
    )
    temperature: float = setting(
        0.8, ge=0, le=10, help="Randomness; 0 always picks the most likely token", nudge="+0.1"
    )
    top_k: int | None = setting(
        None,
        ge=1,
        help="Sample from the k most likely tokens; unset: off",
        unit="tokens",
        nudge="+10",
    )
    top_p: float | None = setting(
        None,
        gt=0,
        le=1,
        help="Sample from the most likely tokens up to this probability; unset: off",
        nudge="+0.05",
    )
    repetition_penalty: float = setting(
        1.0,
        ge=1,
        le=10,
        help="Above 1 makes repeated tokens less likely",
        nudge="+0.1",
        advanced=True,
    )
    stop: tuple[str, ...] = setting(
        (), max_length=16, help="Stop before the first of these strings", advanced=True
    )
    seed: int = setting(7, ge=0, lt=2**63, help="Random seed for sampling", nudge="+1")
