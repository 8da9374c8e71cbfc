"""AdamW on one flat buffer.

All weights are views of one tensor and all gradients views of another, so that the update,
the norm, the clipping and the clearing are single operations whatever the number of layers.
Matrices decay; norms and biases do not.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from slm_tui.config.built import NotBuiltYet
from slm_tui.config.training import Optimizer as OptimizerConfig
from slm_tui.models.base import LanguageModel

MOMENTS = ("exp_avg", "exp_avg_sq")


class FlatAdamW:
    """Loshchilov and Hutter 2019 (arXiv:1711.05101), fused, over the flat buffers of a model.

    Raises:
        NotBuiltYet: the update rule comes in a later version.
    """

    def __init__(self, model: LanguageModel, config: OptimizerConfig) -> None:
        if config.kind != "adamw":
            raise NotBuiltYet(f"the optimizer {config.kind}", "it comes later; use adamw")
        self._clip = config.gradient_clip
        groups = model.parameter_groups()
        self._slots = [slot for group in groups for slot in group.parameters]
        total = sum(parameter.numel() for _, parameter in self._slots)
        device = self._slots[0][1].device
        self.weights = torch.empty(total, device=device)
        self.gradients = torch.zeros(total, device=device)
        self._parts: list[nn.Parameter] = []
        described = []
        start = 0
        for group in groups:
            end = start + sum(parameter.numel() for _, parameter in group.parameters)
            if end > start:
                self._adopt(group.parameters, start)
                part = nn.Parameter(self.weights[start:end])
                part.grad = self.gradients[start:end]
                decay = config.weight_decay if group.weight_decay else 0.0
                self._parts.append(part)
                described.append({"params": [part], "weight_decay": decay})
            start = end
        self._adamw = torch.optim.AdamW(
            described,
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            fused=device.type in ("cpu", "cuda"),
        )

    def _adopt(self, parameters: list[tuple[str, nn.Parameter]], start: int) -> None:
        for _, parameter in parameters:
            end = start + parameter.numel()
            self.weights[start:end].copy_(parameter.data.flatten())
            parameter.data = self.weights[start:end].view(parameter.shape)
            parameter.grad = self.gradients[start:end].view(parameter.shape)
            start = end

    def gradient_norm(self) -> Tensor:
        """Euclidean norm of the whole gradient, 0-dimensional."""
        norm: Tensor = torch.linalg.vector_norm(self.gradients)
        return norm

    def clip(self, norm: float) -> None:
        """Scale the gradient down to the configured norm, given its present one."""
        if self._clip and norm > self._clip:
            self.gradients.mul_(self._clip / (norm + 1e-6))

    def update(self, learning_rate: float) -> None:
        """One update of all weights at `learning_rate`."""
        for group in self._adamw.param_groups:
            group["lr"] = learning_rate
        self._adamw.step()

    def clear(self) -> None:
        """Set all gradients to zero."""
        self.gradients.zero_()

    def state(self) -> dict[str, Tensor]:
        """Copies of the moments, `name.exp_avg` and `name.exp_avg_sq`, and `step`."""
        found: dict[str, Tensor] = {}
        flat = {moment: self._moments(moment) for moment in MOMENTS}
        for name, start, shape in self._places():
            for moment, values in flat.items():
                found[f"{name}.{moment}"] = values[start : start + shape.numel()].view(shape)
        first = self._adamw.state.get(self._parts[0], {}).get("step", 0.0)
        found["step"] = torch.tensor(float(first))
        return found

    def _moments(self, moment: str) -> Tensor:
        parts = []
        for part in self._parts:
            kept = self._adamw.state.get(part, {}).get(moment)
            parts.append(torch.zeros_like(part.data) if kept is None else kept)
        return torch.cat([part.detach() for part in parts]).cpu()

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over moments as `state` gave them.

        Raises:
            KeyError: a moment is missing.
        """
        device = self.weights.device
        starts = {}
        at = 0
        for part in self._parts:
            starts[at] = part
            step = torch.tensor(float(state["step"]), device=device)
            kept = {moment: torch.zeros_like(part.data) for moment in MOMENTS}
            self._adamw.state[part] = {"step": step, **kept}
            at += part.numel()
        for name, start, shape in self._places():
            begin = max(first for first in starts if first <= start)
            kept = self._adamw.state[starts[begin]]
            inside = slice(start - begin, start - begin + shape.numel())
            for moment in MOMENTS:
                kept[moment][inside].copy_(state[f"{name}.{moment}"].flatten())

    def _places(self) -> Iterator[tuple[str, int, torch.Size]]:
        start = 0
        for name, parameter in self._slots:
            yield name, start, parameter.shape
            start += parameter.numel()

    def weights_by_name(self) -> dict[str, Tensor]:
        """A copy of all weights on the CPU, by parameter name."""
        copy = self.weights.detach().to("cpu", copy=True)
        return {
            name: copy[start : start + shape.numel()].view(shape)
            for name, start, shape in self._places()
        }
