"""Muon for the matrices inside a model, Adam for the rest of it."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from seq2seq.training.precision import bfloat16_speed

VOCABULARY = ("table.weight", "output.weight", "positions.weight")
"""Ends of names of matrices whose rows are looked up or compared one by one: no maps from a vector to a vector.

`output.weight` is meant as the model's projection to the vocabulary. But W_O of each multi-head attention is called so
too, `decoder.layers.0.cross_attention.output.weight`, and so Adam moves it: of a Transformer's matrices Muon has W_Q,
W_K, W_V and the feed-forward ones. Jordan et al. and Liu et al. give W_O to Muon as well. It is left so on purpose:
every figure that names Muon was measured so, and a run that was stopped has Adam's state for W_O, so that with another
share it could not go on. Which of both learns better has not been measured here.
"""

COEFFICIENTS, ITERATIONS, EPSILON = (3.4445, -4.7750, 2.0315), 5, 1e-7
"""Of Newton and Schulz's iteration, as Jordan et al. chose them."""

ADAMS_SIZE = 0.2
"""The root mean square of an element in Adam's steps (Liu et al. 2025, eq. 4)."""


class MuonAdam(Optimizer):
    """Muon (Jordan et al. 2024) where a matrix maps hidden vectors, Adam where it does not.

    Muon's step is the momentum with all its singular values made 1, scaled to the size that Adam's has (Liu et al.
    2025, eq. 4): one learning rate and one schedule serve both.

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
            self._parts.append(Muon(matrices, lr=lr, momentum=momentum, weight_decay=weight_decay))
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


class Muon(Optimizer):
    """Momentum with all its singular values made 1 (Jordan et al. 2024), scaled to the size of Adam's steps.

    PyTorch's takes the same steps, matrix by matrix. Here all matrices of one shape are one product: a step of a
    Transformer of 4 + 4 layers is 100 operations instead of 1,600, which counts on a GPU.

    Args:
        parameters: matrices.
        lr: learning rate.
        momentum: share of the mean of earlier gradients in the new one; Nesterov's.
        weight_decay: decoupled.
    """

    def __init__(self, parameters: Iterable[Any], *, lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters that have gradients; with a closure, compute these by it and return what it returns."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            of_shape = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    of_shape[parameter.shape].append(parameter)
            for parameters in of_shape.values():
                self._move(parameters, **{key: group[key] for key in ("lr", "momentum", "weight_decay")})
        return loss

    def _move(self, parameters: list[Tensor], *, lr: float, momentum: float, weight_decay: float) -> None:
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        means = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        torch._foreach_lerp_(means, gradients, 1 - momentum)
        updates = _orthogonal(torch.stack(torch._foreach_lerp(gradients, means, momentum)))
        torch._foreach_mul_(parameters, 1 - lr * weight_decay)
        size = ADAMS_SIZE * math.sqrt(max(parameters[0].shape))
        torch._foreach_add_(parameters, updates.to(parameters[0].dtype).unbind(), alpha=-size * lr)


def _orthogonal(matrices: Tensor) -> Tensor:
    """Return matrices (n, rows, columns) with their singular values made about 1, by Newton and Schulz's iteration."""
    a, b, c = COEFFICIENTS
    x = matrices.to(_fast_dtype(matrices.device))
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=EPSILON)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def _fast_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16, which is exact enough; but a CPU without units for it takes 5 to 50 times as long as float32."""
    return torch.float32 if device.type == "cpu" and bfloat16_speed() < 1 else torch.bfloat16
