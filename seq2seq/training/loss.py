"""The loss over real target tokens, with the projection to the vocabulary that it alone needs."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

ROWS = {"cpu": 512}
"""Rows of logits at hand at once, by the device's type: so few that they stay near a CPU's cores."""

MANY_ROWS = 8192
"""On other devices: a part of their memory, yet large products."""


class TokenLoss(NamedTuple):
    """Sums over target tokens, on the device; divide by their number."""

    objective: Tensor  # label-smoothed cross-entropy, what training minimises, in nats
    negative_log_likelihood: Tensor  # in nats; the exponential of its mean is the perplexity


def token_loss(features: Tensor, weight: Tensor, targets: Tensor, *, label_smoothing: float) -> TokenLoss:
    """Return sums over tokens, whose logits are features · weightᵀ.

    Smoothing mixes the target with the uniform distribution over the vocabulary (Szegedy et al. 2016, section 7).
    The logits of all tokens, by far the largest tensor of a training step, never exist together: a few rows at a time
    are made, turned into their loss and its gradient, and forgotten.

    Args:
        features: (tokens, d_features).
        weight: of the projection, (vocab, d_features).
        targets: (tokens,) without padding.
        label_smoothing: share of the uniform distribution, 0 to 1.
    """
    return TokenLoss(*_ProjectedLoss.apply(features, weight, targets, label_smoothing, torch.is_grad_enabled()))


class _ProjectedLoss(torch.autograd.Function):
    """Its forward pass makes the gradients too, while the probabilities are at hand."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, features: Tensor, weight: Tensor, targets: Tensor, label_smoothing: float, with_gradient: bool
    ) -> tuple[Tensor, Tensor]:
        device, vocab = features.device.type, len(weight)
        autocast = device != "meta" and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else features.dtype
        exact = torch.promote_types(dtype, torch.float32)
        projection = weight.to(dtype)
        likelihood = features.new_zeros((), dtype=exact)
        uniform = features.new_zeros((), dtype=exact)
        grad_features = []
        grad_weight = torch.zeros_like(weight, dtype=exact) if with_gradient else None
        size = ROWS.get(device, MANY_ROWS)
        for rows, wanted in zip(features.to(dtype).split(size), targets[:, None].split(size), strict=True):
            log_probabilities = (rows @ projection.T).to(exact).log_softmax(-1)
            likelihood -= log_probabilities.gather(1, wanted).sum()
            if label_smoothing:
                uniform -= log_probabilities.sum() / vocab
            if grad_weight is not None:
                gradient = log_probabilities.exp_()  # d objective / d logits = p - (1 - ε) onehot - ε / vocab
                if label_smoothing:
                    gradient -= label_smoothing / vocab
                gradient.scatter_add_(1, wanted, gradient.new_full(wanted.shape, label_smoothing - 1))
                gradient = gradient.to(dtype)
                grad_features.append(gradient @ projection)
                grad_weight += gradient.T @ rows
        if grad_weight is not None:
            ctx.save_for_backward(torch.cat(grad_features).to(features.dtype), grad_weight.to(weight.dtype))
        ctx.mark_non_differentiable(likelihood)
        return (1 - label_smoothing) * likelihood + label_smoothing * uniform, likelihood

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        grad_features, grad_weight = ctx.saved_tensors
        return grad_features * grad, grad_weight * grad, None, None, None
