"""What the additive score sums over, (..., query, key, d_attention), without ever holding all of it."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SUMS = {"cpu": 1 << 20}
"""Elements of the additive score's sums of queries and keys at hand at once, by the device's type: near its cores."""

MANY_SUMS = 1 << 26
"""On other devices: a part of their memory, yet large operations."""


def energies(query: Tensor, keys: Tensor, energy: Tensor) -> Tensor:
    """Return vᵀ tanh(query + key) for every pair, (..., query, key).

    Where the sums are many they exist for a few queries at a time only, and are made again in the backward pass.

    Args:
        query: (..., query, d_attention), projected.
        keys: (..., key, d_attention), projected.
        energy: v, (..., d_attention, 1), one a head where there are heads.
    """
    at_once = max(1, SUMS.get(keys.device.type, MANY_SUMS) // keys.numel())
    if query.shape[-2] <= at_once:
        return _whole(query, keys, energy)
    return _InParts.apply(query, keys, energy, at_once)


def _whole(query: Tensor, keys: Tensor, energy: Tensor) -> Tensor:
    hidden = torch.tanh(query[..., :, None, :] + keys[..., None, :, :])
    return (hidden @ energy[..., None, :, :]).squeeze(-1)


class _InParts(torch.autograd.Function):
    """The same, with the sums of a few queries at hand at once in the backward pass too."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, keys: Tensor, energy: Tensor, at_once: int) -> Tensor:  # noqa: D102 called by autograd alone
        ctx.save_for_backward(query, keys, energy)
        ctx.at_once = at_once
        # Small results kept between large ones that come and go would leave a CPU's heap full of holes.
        found = query.new_empty(
            *torch.broadcast_shapes(query.shape[:-2], keys.shape[:-2]), query.shape[-2], keys.shape[-2]
        )
        for part, place in zip(query.split(at_once, dim=-2), found.split(at_once, dim=-2), strict=True):
            place.copy_(_whole(part, keys, energy))
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102 called by autograd alone
        query, keys, energy = ctx.saved_tensors
        of_query, of_keys, of_energy = (torch.zeros_like(x) for x in (query, keys, energy))
        parts = (x.split(ctx.at_once, dim=-2) for x in (query, grad, of_query))
        for part, upstream, place in zip(*parts, strict=True):
            with torch.enable_grad():
                inputs = [x.detach().requires_grad_() for x in (part, keys, energy)]
                whole = _whole(*inputs)
            found = torch.autograd.grad(whole, inputs, upstream)
            place.copy_(found[0])
            of_keys += found[1]
            of_energy += found[2]
        return of_query, of_keys, of_energy, None
