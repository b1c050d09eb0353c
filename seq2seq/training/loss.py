"""The loss over real target tokens, with the projection to the vocabulary that it alone needs."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

ROWS = {"cpu": 512}
"""Rows of logits at hand at once, by the device's type: so few that they stay near a CPU's cores."""

MANY_ROWS = 8192
"""On other devices: a part of their memory, yet large products."""


class TokenLoss(NamedTuple):
    """Sums over target tokens, on the device; divide by their number."""

    objective: Tensor  # what training minimises, in nats: label-smoothed cross-entropy, with R-Drop its divergence too
    negative_log_likelihood: Tensor  # in nats; the exponential of its mean is the perplexity
    divergence: Tensor  # between the two passes of R-Drop, in nats; 0 of one pass


def token_loss(
    features: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    label_smoothing: float,
    r_drop: float = 0.0,
    compiled: bool = False,
) -> TokenLoss:
    """Return sums over tokens, whose logits are features · weightᵀ + bias.

    Smoothing mixes the target with the uniform distribution over the vocabulary (Szegedy et al. 2016, section 7).
    Of two passes, whose dropout differs, the loss is half of R-Drop's (Liang et al. 2021, eq. 4), so that it stays the
    size of one pass: the mean of both cross-entropies + α/2 · divergence, which is ½ KL(p₁ ‖ p₂) + ½ KL(p₂ ‖ p₁).

    The logits of all tokens, by far the largest tensor of a training step, never exist together: a few rows at a time
    are made, turned into their loss and its gradient, and forgotten.

    Args:
        features: (tokens, d_features), or of two passes (2, tokens, d_features).
        weight: of the projection, (vocab, d_features).
        targets: (tokens,) without padding.
        bias: of the projection, (vocab,).
        label_smoothing: share of the uniform distribution, 0 to 1.
        r_drop: α, the weight of the divergence.
        compiled: whether torch.compile makes kernels of what is done to a few rows of logits.
    """
    features = features if features.dim() == 3 else features[None]
    if bias is not None:  # a column more, and a feature that is always 1
        features, weight = F.pad(features, (0, 1), value=1.0), torch.cat((weight, bias[:, None]), 1)
    options = label_smoothing, r_drop, torch.is_grad_enabled(), compiled
    return TokenLoss(*_ProjectedLoss.apply(features, weight, targets, *options))


class _ProjectedLoss(torch.autograd.Function):
    """Its forward pass makes the gradients too, while the probabilities are at hand."""

    @staticmethod
    def forward(  # noqa: D102 called by autograd alone
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        targets: Tensor,
        label_smoothing: float,
        r_drop: float,
        with_gradient: bool,
        compiled: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        device, passes = features.device.type, len(features)
        autocast = device != "meta" and torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else features.dtype
        exact = torch.promote_types(dtype, torch.float32)
        projection = weight.to(dtype)
        likelihood, normalizers, divergence = (features.new_zeros((), dtype=exact) for _ in range(3))
        grad_features = []
        grad_weight = torch.zeros_like(weight, dtype=exact) if with_gradient else None
        size = max(ROWS.get(device, MANY_ROWS) // passes, 1)
        loss_of_rows = _compiled() if compiled else _loss_of_rows
        low = features.to(dtype)
        for rows, wanted in zip(low.split(size, dim=1), targets[:, None].split(size), strict=True):
            found = loss_of_rows(rows, wanted, projection, exact, 1 - label_smoothing, r_drop, with_gradient)
            likelihood += found.likelihood
            normalizers += found.normalizers
            divergence += found.divergence
            if grad_weight is not None and found.gradients is not None:
                grad_features.append(found.gradients[0])
                grad_weight += found.gradients[1]
        # The uniform share needs no pass over the logits: Σ_v logit_v = row · Σ_v weight_v.
        share = label_smoothing / len(weight)
        all_rows, all_weights = low.sum((0, 1), dtype=exact), projection.sum(0, dtype=exact)
        uniform = (normalizers - all_rows @ all_weights / len(weight)) / passes
        if grad_weight is not None:
            grad_rows = torch.cat(grad_features, 1)
            grad_rows -= (share / passes * all_weights).to(grad_rows.dtype)
            grad_weight -= share * all_rows
            ctx.save_for_backward(grad_rows.to(features.dtype), (grad_weight / passes).to(weight.dtype))
        ctx.mark_non_differentiable(likelihood, divergence)
        objective = (1 - label_smoothing) * likelihood + label_smoothing * uniform + r_drop / 2 * divergence
        return objective, likelihood, divergence

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102 called by autograd alone
        grad_features, grad_weight = ctx.saved_tensors
        return grad_features * grad, grad_weight * grad, None, None, None, None, None


class _Rows(NamedTuple):
    """What a few rows add to the loss, and its gradients at them and at the projection where they are wanted."""

    likelihood: Tensor
    normalizers: Tensor  # log Σ exp logit
    divergence: Tensor | float
    gradients: tuple[Tensor, Tensor] | None  # without those of the uniform share, which are one row for all


def _loss_of_rows(
    rows: Tensor,
    wanted: Tensor,
    projection: Tensor,
    exact: torch.dtype,
    target_share: float,
    r_drop: float,
    with_gradient: bool,
) -> _Rows:
    """Return the share of rows (passes, n, d_features) whose targets are (n, 1)."""
    passes = rows.shape[0]
    divergence: Tensor | float = 0.0
    wanted = wanted.expand(passes, -1, 1)
    rows = rows.flatten(0, 1)  # of a half-precision product in three dimensions PyTorch copies the projection
    logits = rows @ projection.T
    log_probabilities = logits.log_softmax(-1, dtype=exact).unflatten(0, (passes, -1))
    of_targets = log_probabilities.gather(-1, wanted).sum()
    normalizers = logits.gather(-1, wanted.flatten(0, 1)).sum(dtype=exact) - of_targets
    apart = log_probabilities[0] - log_probabilities[1] if passes == 2 else None
    gradient = log_probabilities.exp_()  # in time d cross-entropy / d logits = p - (1 - ε) onehot
    if apart is not None:
        pull = gradient * apart
        means = pull.sum(-1, keepdim=True)  # KL(p₁ ‖ p₂), -KL(p₂ ‖ p₁)
        divergence = (means[0] - means[1]).sum() / 2
        if with_gradient:
            gradient = _with_divergence(gradient, pull, means, r_drop / 2)
    if not with_gradient:
        return _Rows(-of_targets / passes, normalizers, divergence, None)
    gradient = _less_at(wanted, gradient, target_share).to(rows.dtype).flatten(0, 1)
    grad_rows = (gradient @ projection / passes).unflatten(0, (passes, -1))
    return _Rows(-of_targets / passes, normalizers, divergence, (grad_rows, gradient.T @ rows))


def _less_at(wanted: Tensor, gradient: Tensor, share: float) -> Tensor:
    """Return gradient (passes, n, vocab), which is overwritten, less a share at the pieces wanted (passes, n, 1)."""
    if torch.compiler.is_compiling():  # a comparison joins the passes before and after it, a scatter stands between
        return torch.where(
            torch.arange(gradient.shape[-1], device=gradient.device) == wanted, gradient - share, gradient
        )
    return gradient.scatter_add_(-1, wanted, gradient.new_full(wanted.shape, -share))


def _with_divergence(probabilities: Tensor, pull: Tensor, means: Tensor, weight: float) -> Tensor:
    """Return p and the gradient of the weighted divergence at the logits, in few passes over them.

    That is, of both passes, 2 d divergence / d logits = p₁ (log p₁/p₂ - KL(p₁ ‖ p₂)) + p₁ - p₂, and the same exchanged.

    Args:
        probabilities: p (2, n, vocab).
        pull: p · log p₁/p₂, of the same shape, which is overwritten.
        means: its sums (2, n, 1).
        weight: of twice the divergence's gradient.
    """
    pull[0] -= probabilities[1]
    pull[1].add_(probabilities[0]).neg_()
    share = 1 + weight * (1 + torch.stack((-means[0], means[1])))
    return pull.mul_(weight).addcmul_(probabilities, share)


@cache
def _compiled() -> Callable[..., _Rows]:
    """Return the same compiled: on a GPU the passes over the logits, more than their products cost, become few."""
    return torch.compile(_loss_of_rows, dynamic=True)  # there are many rows, or what is left of them
