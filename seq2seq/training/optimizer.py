"""Muon for the matrices inside a model, Adam for the rest of it."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Muon, Optimizer

from seq2seq.training.precision import bfloat16_speed

VOCABULARY = ("table.weight", "output.weight", "positions.weight")
"""Ends of names of matrices whose rows are looked up or compared one by one: no maps from a vector to a vector."""

ADJUSTMENT = "match_rms_adamw"


class MuonAdam(Optimizer):
    """Muon (Jordan et al. 2024) where a matrix maps hidden vectors, Adam where it does not.

    Muon's step is the momentum with all its singular values made 1, scaled to the size that Adam's has (Liu et al.
    2025, eq. 4): one learning rate and one schedule serve both. Its products are in bfloat16, as PyTorch makes them,
    but on a CPU that is slower in that than in float32.

    Args:
        named_parameters: of the model.
        lr: learning rate of both.
        momentum: of Muon.
        weight_decay: of Muon's matrices, decoupled.
        betas: of Adam.
        eps: of Adam.
        fused: whether Adam's update is one kernel.
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Tensor]],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        betas: tuple[float, float],
        eps: float,
        fused: bool,
    ) -> None:
        matrices: list[tuple[str, Tensor]] = []
        others: list[tuple[str, Tensor]] = []
        for name, parameter in named_parameters:
            # A matrix of one row or column, such as the last of an additive score, is a vector.
            hidden = parameter.ndim == 2 and min(parameter.shape) > 1 and not name.endswith(VOCABULARY)
            (matrices if hidden else others).append((name, parameter))
        self._parts: list[Optimizer] = []
        if matrices:
            on_cpu = matrices[0][1].device.type == "cpu"
            made = Float32Muon if on_cpu and bfloat16_speed() < 1 else Muon
            self._parts.append(
                made(matrices, lr=lr, momentum=momentum, weight_decay=weight_decay, adjust_lr_fn=ADJUSTMENT)
            )
        if others:
            self._parts.append(Adam(others, lr=lr, betas=betas, eps=eps, fused=fused))
        super().__init__([group for part in self._parts for group in part.param_groups], {})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters; with a closure, compute their gradients by it first and return what it returns."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for part, group in zip(self._parts, self.param_groups, strict=True):
            part.param_groups, part.state = [group], self.state
            part.step()
        return loss


class Float32Muon(Muon):
    """PyTorch's Muon with its products in float32.

    Where a CPU has no bfloat16 units, PyTorch's took 5 to 50 times as long as these, and most of a training step.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters that have gradients; with a closure, as PyTorch's."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)
        return loss

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, momentum = self.state[parameter], group["momentum"]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        mean = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        update = _orthogonal(gradient.lerp(mean, momentum), group["ns_coefficients"], group["ns_steps"], group["eps"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-0.2 * math.sqrt(max(parameter.shape)) * group["lr"])


def _orthogonal(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Return a matrix (rows, columns) with its singular values made about 1, by Newton and Schulz's iteration."""
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).float()
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x
