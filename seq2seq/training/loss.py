"""The loss over real target tokens."""

from typing import NamedTuple

from torch import Tensor


class TokenLoss(NamedTuple):
    """Sums over target tokens, on the device; divide by their number."""

    objective: Tensor  # label-smoothed cross-entropy, what training minimises, in nats
    negative_log_likelihood: Tensor  # in nats; the exponential of its mean is the perplexity


def token_loss(logits: Tensor, targets: Tensor, *, label_smoothing: float) -> TokenLoss:
    """Return sums over tokens; logits (tokens, vocab), targets (tokens,) without padding.

    Smoothing mixes the target with the uniform distribution over the vocabulary (Szegedy et al. 2016, section 7).
    Both sums come from one log-softmax, which over a large vocabulary is what a loss costs.
    """
    log_probabilities = logits.float().log_softmax(-1)
    likelihood = -log_probabilities.gather(1, targets[:, None]).sum()
    if not label_smoothing:
        return TokenLoss(likelihood, likelihood.detach())
    uniform = -log_probabilities.sum() / logits.shape[-1]
    return TokenLoss((1 - label_smoothing) * likelihood + label_smoothing * uniform, likelihood.detach())
