"""Muon for the matrices inside a model, Adam for the rest of it."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Muon, Optimizer

VOCABULARY = ("table.weight", "output.weight", "positions.weight")
"""Ends of names of matrices whose rows are looked up or compared one by one: no maps from a vector to a vector."""


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
            decay = weight_decay
            self._parts.append(
                Muon(matrices, lr=lr, momentum=momentum, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
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
