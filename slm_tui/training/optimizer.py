"""AdamW and Muon on one flat buffer.

All weights are views of one tensor and all gradients views of another, so that update,
norm, clipping and zeroing are single operations for any number of layers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from slm_tui.config.training import Optimizer as OptimizerConfig
from slm_tui.errors import CheckpointError
from slm_tui.models.base import LanguageModel, ParameterGroup
from slm_tui.training.muon import Muon


@dataclass(frozen=True)
class _Slot:
    """The position of a parameter in the flat buffers."""

    name: str
    parameter: nn.Parameter
    start: int

    @property
    def end(self) -> int:
        return self.start + self.parameter.numel()

    def cut(self, flat: Tensor) -> Tensor:
        return flat[self.start : self.end].view(self.parameter.shape)


class FlatOptimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101), fused; with `muon`, hidden matrices
    are updated by Muon instead. Both act on the flat buffers of a model, whose parameters become
    views of them.
    """

    def __init__(self, model: LanguageModel, config: OptimizerConfig) -> None:
        self._config = config
        self._clip = config.gradient_clip
        # Whether an update failed midway, so that weights and moments are inconsistent.
        self.is_torn = False
        groups = [group for group in model.parameter_groups() if group.parameters]
        if config.kind == "muon":
            # First the matrices for Muon, grouped by shape: one product updates all of a shape.
            groups.sort(key=lambda group: group.role != "hidden")
            groups = [_by_shape(group) if group.role == "hidden" else group for group in groups]
        self._slots: list[_Slot] = []
        total = sum(value.numel() for group in groups for _, value in group.parameters)
        device = groups[0].parameters[0][1].device
        self.weights = torch.empty(total, device=device)
        self.gradients = torch.zeros(total, device=device)
        self._muon: list[Muon] = []
        self._adamw: list[_AdamW] = []
        # Momentum for Muon; the first moment for AdamW.
        self._first = torch.zeros(total, device=device)
        self._second = torch.zeros(total, device=device)
        self._steps = torch.zeros((), device=device)
        for group in groups:
            self._add(group)

    def _add(self, group: ParameterGroup) -> None:
        start = self._slots[-1].end if self._slots else 0
        slots: list[_Slot] = []
        for name, parameter in group.parameters:
            slots.append(_Slot(name, parameter, slots[-1].end if slots else start))
            self._adopt(slots[-1])
        self._slots += slots
        inside = slice(start, slots[-1].end)
        decay = self._config.weight_decay if self._decays(group.role) else 0.0
        weights, gradients = self.weights[inside], self.gradients[inside]
        if self._config.kind == "muon" and group.role == "hidden":
            shapes = [(slot.name, slot.parameter.shape) for slot in slots]
            first = self._first[inside]
            multiplier = group.learning_rate_multiplier
            self._muon.append(
                Muon(weights, gradients, first, shapes, self._config, decay, multiplier)
            )
        else:
            self._adamw.append(
                _AdamW(
                    nn.Parameter(weights),
                    gradients,
                    self._first[inside],
                    self._second[inside],
                    torch.zeros((), device=weights.device),
                    decay,
                    group.learning_rate_multiplier,
                )
            )

    def _decays(self, role: str) -> bool:
        on = self._config.weight_decay_on
        return on == "all" or role == "hidden" or (on == "matrices" and role != "vector")

    def _adopt(self, slot: _Slot) -> None:
        slot.cut(self.weights).copy_(slot.parameter.data)
        slot.parameter.data = slot.cut(self.weights)
        slot.parameter.grad = slot.cut(self.gradients)

    def gradient_norm(self) -> Tensor:
        """Euclidean norm of the whole gradient, 0-dimensional."""
        norm: Tensor = torch.linalg.vector_norm(self.gradients)
        return norm

    def gradient_norms(self, part_of: Callable[[str], str]) -> dict[str, Tensor]:
        """Euclidean norm of the gradient of each part, 0-dimensional; `part_of` names the part
        of a parameter."""
        norms = torch._foreach_norm([slot.cut(self.gradients) for slot in self._slots])
        squares: dict[str, Tensor] = {}
        for slot, norm in zip(self._slots, norms, strict=True):
            part = part_of(slot.name)
            squares[part] = squares.get(part, 0) + norm.square()
        return {part: square.sqrt() for part, square in squares.items()}

    def is_finite(self) -> bool:
        """Whether all weights are finite; takes almost no memory."""
        return bool(torch.isfinite(self.weights.sum(dtype=torch.float64)))

    def clip(self, norm: float) -> None:
        """Scale the gradient down to the configured norm, given its current one."""
        if self._clip and norm > self._clip:
            self.gradients.mul_(self._clip / (norm + 1e-6))

    def update(self, learning_rate: float) -> None:
        """One update of all weights at `learning_rate`."""
        self.is_torn = True
        self._steps += 1
        config = self._config
        ratio = (config.muon_learning_rate or config.learning_rate) / config.learning_rate
        for part in self._muon:
            part.update(learning_rate * ratio)
        for group in self._adamw:
            group.update(learning_rate, config)
        self.is_torn = False

    def update_on_device(self, learning_rate: Tensor, norm: Tensor, finite: Tensor) -> None:
        """Clip and update as `clip` and `update` do, without a look at any value from the host.

        Args:
            learning_rate: 0-dimensional, on the device.
            norm: that of the gradient.
            finite: bool, 0-dimensional; if false, no weight and no moment changes.
        """
        self.is_torn = True
        if self._clip:
            self.gradients.mul_((self._clip / (norm + 1e-6)).clamp(max=1.0))
        self._steps += finite
        config = self._config
        ratio = (config.muon_learning_rate or config.learning_rate) / config.learning_rate
        for part in self._muon:
            part.update_on_device(learning_rate * ratio, finite)
        skipped = (~finite).float()
        for group in self._adamw:
            group.update(learning_rate, config, skipped)
        self.is_torn = False

    def snapshot(self) -> dict[str, Tensor]:
        """Copies of the weights and moments, on the device, for `restore`."""
        steps = torch.stack([self._steps, *(group.step for group in self._adamw)])
        values = {"weights": self.weights, "first": self._first, "second": self._second}
        return {name: value.detach().clone() for name, value in values.items()} | {"steps": steps}

    def restore(self, values: dict[str, Tensor]) -> None:
        """Set weights and moments to those of a snapshot, and all gradients to zero."""
        with torch.no_grad():
            self.weights.copy_(values["weights"])
            self._first.copy_(values["first"])
            self._second.copy_(values["second"])
            for own, saved in zip(
                [self._steps, *(group.step for group in self._adamw)], values["steps"], strict=True
            ):
                own.copy_(saved)
        self.clear()

    def clear(self) -> None:
        """Set all gradients to zero."""
        self.gradients.zero_()

    def state(self) -> dict[str, Tensor]:
        """Copies of the moments on the CPU: `name.exp_avg` and `name.exp_avg_sq` for AdamW,
        `name.momentum` for Muon, and `step`."""
        first = self._first.detach().to("cpu", copy=True)
        second = self._second.detach().to("cpu", copy=True)
        moments: dict[str, Tensor] = {"step": self._steps.detach().to("cpu", copy=True)}
        for slot, is_muon in self._ruled():
            if is_muon:
                moments[f"{slot.name}.momentum"] = slot.cut(first)
            else:
                moments[f"{slot.name}.exp_avg"] = slot.cut(first)
                moments[f"{slot.name}.exp_avg_sq"] = slot.cut(second)
        return moments

    def everything(self) -> list[Tensor]:
        """All weights and moments, in place: what makes two optimizers of a model the same."""
        steps = [self._steps, *(group.step for group in self._adamw)]
        return [self.weights, self._first, self._second, *steps]

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore moments returned by `state`.

        Raises:
            CheckpointError: a moment is missing or of another shape.
        """
        self._check(state)
        self._steps.fill_(float(state["step"]))
        for group in self._adamw:
            group.step.fill_(float(state["step"]))
        for slot, is_muon in self._ruled():
            if is_muon:
                slot.cut(self._first).copy_(state[f"{slot.name}.momentum"])
            else:
                slot.cut(self._first).copy_(state[f"{slot.name}.exp_avg"])
                slot.cut(self._second).copy_(state[f"{slot.name}.exp_avg_sq"])

    def _check(self, state: dict[str, Tensor]) -> None:
        shapes: dict[str, torch.Size] = {"step": torch.Size()}
        for slot, is_muon in self._ruled():
            names = ("momentum",) if is_muon else ("exp_avg", "exp_avg_sq")
            shapes |= {f"{slot.name}.{name}": slot.cut(self._first).shape for name in names}
        for name, shape in shapes.items():
            if name not in state or state[name].shape != shape:
                what = "is missing" if name not in state else "has another shape"
                raise CheckpointError(
                    "the optimizer's state belongs to another model", f"{name} {what}"
                )

    def _ruled(self) -> Iterator[tuple[_Slot, bool]]:
        border = sum(part.size for part in self._muon)
        for slot in self._slots:
            yield slot, slot.start < border

    def weights_by_name(self) -> dict[str, Tensor]:
        """A copy of all weights on the CPU, by parameter name."""
        copy = self.weights.detach().to("cpu", copy=True)
        return {slot.name: slot.cut(copy) for slot in self._slots}


@dataclass(frozen=True)
class _AdamW:
    """A range of the flat buffers with one weight decay."""

    weights: nn.Parameter
    gradients: Tensor
    first: Tensor
    second: Tensor
    step: Tensor
    decay: float
    rate_multiplier: float

    @torch.no_grad()
    def update(
        self,
        learning_rate: float | Tensor,
        config: OptimizerConfig,
        skipped: Tensor | None = None,
    ) -> None:
        """One update; `skipped` is 1.0 on the device if nothing shall change."""
        # The function behind torch.optim.AdamW: for a small model the class takes longer than
        # the arithmetic.
        adamw(
            [self.weights],
            [self.gradients],
            [self.first],
            [self.second],
            [],
            [self.step],
            fused=self.weights.device.type in ("cpu", "cuda"),
            amsgrad=False,
            beta1=config.beta1,
            beta2=config.beta2,
            lr=learning_rate * self.rate_multiplier,
            weight_decay=self.decay,
            eps=config.eps,
            maximize=False,
            found_inf=skipped,
        )


def _by_shape(group: ParameterGroup) -> ParameterGroup:
    ordered = sorted(group.parameters, key=lambda named: tuple(named[1].shape))
    return ParameterGroup(ordered, group.role, group.learning_rate_multiplier)
