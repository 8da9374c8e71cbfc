"""H-Net's settings."""

import math
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from slm_tui.config.change import Change
from slm_tui.config.fields import reject, setting
from slm_tui.config.models.hgrn import BlockSettings


class HnetModel(BlockSettings):
    """A hierarchical byte-level model that learns how to chunk its input."""

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
        2.5,
        gt=1,
        le=16,
        help="Target length of a chunk, in positions of the stage before it; typical: 2.5 to 6",
        nudge="+0.5",
    )
    ratio_loss_weight: float = setting(
        0.03,
        ge=0,
        le=1,
        help="Weight of the loss that controls the chunk length; typical: 0.02 to 0.05",
        nudge="125",
    )
    word_loss_weight: float = setting(
        0.0,
        ge=0,
        le=1,
        help="Weight of a loss that teaches the first stage to begin chunks at words; 0: off",
        nudge="125",
        advanced=True,
    )
    learning_rate_multipliers: tuple[float, ...] = setting(
        (),
        help="Learning rate multiplier of each stage; empty: from widths and chunk lengths",
        advanced=True,
    )

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        stages = len(self.d_model)
        if len(self.num_blocks) != stages:
            raise reject("num_blocks", f"{stages} stages need {stages} lists of blocks")
        if any(width < 8 or width > 8192 for width in self.d_model):
            raise reject("d_model", "each width must be from 8 to 8,192")
        if any(wide < narrow for narrow, wide in zip(self.d_model, self.d_model[1:], strict=False)):
            raise reject("d_model", "widths must not shrink inwards", str(sorted(self.d_model)))
        for number, blocks in enumerate(self.num_blocks[:-1], 1):
            if len(blocks) != 3 or blocks[1] != 0 or min(blocks) < 0 or max(blocks) > 96:
                message = f"stage {number} needs [encoder, 0, decoder], from 0 to 96 blocks each"
                raise reject("num_blocks", message, "[1, 0, 1]")
        if len(self.num_blocks[-1]) != 1 or not 1 <= self.num_blocks[-1][0] <= 96:
            message = "the innermost stage needs one number, from 1 to 96 blocks"
            raise reject("num_blocks", message, "[3]")
        rates = self.learning_rate_multipliers
        if rates and len(rates) != stages:
            works = [*rates[:stages], *[1.0] * (stages - len(rates))]
            message = f"{stages} stages need {stages} multipliers"
            raise reject("learning_rate_multipliers", message, str(works))
        if any(not 0 < rate <= 100 for rate in rates):
            raise reject("learning_rate_multipliers", "each must be above 0 and at most 100")
        return self

    @property
    def width(self) -> int:
        """See `ModelSettings.width`."""
        return max(self.d_model)

    @property
    def layers(self) -> int:
        """See `ModelSettings.layers`."""
        return sum(map(sum, self.num_blocks))

    @property
    def targets(self) -> tuple[float, ...]:
        """The target length of a chunk of each stage that cuts, in positions of that stage."""
        return (self.downsampling_factor,) * (len(self.d_model) - 1)

    @property
    def stage_rates(self) -> tuple[float, ...]:
        """The learning rate multiplier of each stage.

        Unless they are set, they grow with the positions that a stage sees and shrink with its
        width: sqrt(positions * innermost width / width), 1 for the innermost stage. Source: Hwang
        et al. 2025 (arXiv:2507.07955).
        """
        if self.learning_rate_multipliers:
            return self.learning_rate_multipliers
        inside = len(self.d_model) - 1
        return tuple(
            math.sqrt(self.downsampling_factor ** (inside - number) * self.width / width)
            for number, width in enumerate(self.d_model)
        )

    @property
    def metric_targets(self) -> dict[str, float]:
        """See `ModelSettings.metric_targets`."""
        return {f"stage{number}_compression": goal for number, goal in enumerate(self.targets, 1)}

    def parameters(self, n_vocab: int) -> tuple[int, int]:
        """See `ModelSettings.parameters`."""
        embedding = 2 * n_vocab * self.d_model[0]
        stages = sum(self._stage_parameters(number) for number in range(len(self.d_model)))
        return embedding + self.d_model[0] + stages, embedding

    def flops(self, n_vocab: int) -> float:
        """Training operations per token; the stages inside work on fewer positions.

        Counted at the target length of chunks, six per weight and position.
        """
        total = 6.0 * 2 * n_vocab * self.d_model[0]
        positions = 1.0
        for number in range(len(self.d_model)):
            total += 6 * self._stage_parameters(number) * positions
            positions /= self.downsampling_factor
        return total

    def activations(self, n_vocab: int) -> int:
        """See `ModelSettings.activations`. At the start half of the positions are boundaries."""
        values, positions = 3.0 * n_vocab, 1.0
        for width, blocks in zip(self.d_model, self.num_blocks, strict=True):
            values += positions * (sum(blocks) * self.block_activations(width) + 12 * width)
            positions *= max(0.55, 1 / self.downsampling_factor)
        return round(values)

    def _stage_parameters(self, number: int) -> int:
        width, blocks = self.d_model[number], self.num_blocks[number]
        innermost = number == len(self.d_model) - 1
        weights = sum(blocks) * self.block_parameters(width)
        # The norms after encoder and decoder, the router, and the residual connection.
        weights += width if innermost else 2 * width + 3 * width * width + width
        return weights + (width - self.d_model[number - 1] if number else 0)

    def stronger_routing(self) -> Change | None:
        """See `ModelSettings.stronger_routing`."""
        weight = min(1.0, max(0.03, 3 * self.ratio_loss_weight))
        if weight <= self.ratio_loss_weight:
            return None
        text = f"a larger weight of the ratio loss: {self.ratio_loss_weight:g} → {weight:g}"
        return Change(text, (f"model.ratio_loss_weight={weight:g}",))


def _spelled(widths: "tuple[int, ...] | list[int]") -> str:
    return ", ".join(map(str, widths))
