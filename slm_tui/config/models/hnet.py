"""H-Net's settings."""

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from slm_tui.config.fields import reject, setting
from slm_tui.config.models.hgrn import block_parameters
from slm_tui.config.models.settings import ModelSettings


class HnetModel(ModelSettings):
    """A hierarchical byte-level model that learns how to chunk its input."""

    not_built: ClassVar[str] = "H-Net comes in a later version; use gpt"
    size_settings: ClassVar[tuple[str, ...]] = ("model.d_model", "model.num_blocks")

    kind: Literal["hnet"] = setting("hnet", help="Model family")
    d_model: tuple[int, ...] = setting(
        (64, 96), min_length=2, max_length=4, help="Width of each stage, outermost first"
    )
    num_blocks: tuple[tuple[int, ...], ...] = setting(
        ((1, 0, 1), (3,)), help="Blocks per stage: [encoder, 0, decoder] and [main]"
    )
    block_size: int = setting(
        512, ge=4, le=16_384, help="Length of a training sequence", unit="tokens", nudge="x2"
    )
    downsampling_factor: float = setting(
        2.5, gt=1, le=16, help="Target number of bytes per chunk", nudge="+0.5"
    )
    ratio_loss_weight: float = setting(
        0.03, ge=0, le=1, help="Weight of the loss that controls the chunk length", nudge="125"
    )
    learning_rate_multipliers: tuple[float, ...] = setting(
        (1.5, 1.0), help="Learning rate multiplier of each stage", advanced=True
    )

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        stages = len(self.d_model)
        if len(self.num_blocks) != stages:
            raise reject("num_blocks", f"{stages} stages need {stages} lists of blocks")
        if any(wide < narrow for narrow, wide in zip(self.d_model, self.d_model[1:], strict=False)):
            raise reject("d_model", "widths must not shrink inwards", sorted(self.d_model))
        return self

    @property
    def width(self) -> int:
        """See `ModelSettings.width`."""
        return max(self.d_model)

    @property
    def layers(self) -> int:
        """See `ModelSettings.layers`."""
        return sum(map(sum, self.num_blocks))

    def parameters(self, n_vocab: int) -> tuple[int, int]:
        """See `ModelSettings.parameters`."""
        embedding = 2 * n_vocab * self.d_model[0]
        total = embedding + self.d_model[0]
        for stage, (width, blocks) in enumerate(zip(self.d_model, self.num_blocks, strict=True)):
            total += sum(blocks) * block_parameters(width, 1, 4, 0)
            routed = stage < len(self.d_model) - 1
            total += 2 * width + 3 * width * width + width if routed else width
            if stage:
                total += width - self.d_model[stage - 1]
        return total, embedding
