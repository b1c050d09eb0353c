"""Gradient x input: the slope at what was read, times what was read."""

import torch
from torch import Tensor

from seq2seq.attribution.forced import Forced
from seq2seq.attribution.method import Contributions, Method


class GradientTimesInput(Method):
    """Σ_d x_jd · ∂ log p(token) / ∂x_jd, of the embedding x_j of each word read (Denil et al. 2014; Shrikumar 2016).

    What erasure would find, were the model a straight line. One backward pass a step, many at once.
    """

    name = "gradient_x_input"
    meaning = "nats of log-probability, by the gradient at the word times the word"
    of_token = True

    def __call__(self, forced: Forced) -> Contributions:
        """Return the contributions for a pair."""
        rows = []
        steps = torch.arange(forced.steps, device=forced.source.device)
        for part in forced.batches(forced.steps):
            ones = forced.source.new_ones(part.stop - part.start, 1, 1)
            slopes = gradients(forced, steps[part], forced.source * ones, forced.prefix * ones)
            rows.append(tuple((x * g).sum(-1) for x, g in zip((forced.source, forced.prefix), slopes, strict=True)))
        source, prefix = (torch.cat(side) for side in zip(*rows, strict=True))
        return Contributions(*forced.sum_units(source, prefix))


def gradients(forced: Forced, steps: Tensor, source: Tensor, prefix: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of the log-probability of the token at each of some steps, (n, S, d) and (n, T, d).

    Args:
        forced: the pair.
        steps: (n,), from 0.
        source: where the gradient is taken, embeddings (n, S, d).
        prefix: likewise, (n, T, d).
    """
    inputs = source.detach().requires_grad_(), prefix.detach().requires_grad_()
    # cuDNN's recurrent layers have no backward pass in evaluation mode.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        total = forced(*inputs).gather(1, steps[:, None]).sum()
        found = torch.autograd.grad(total, inputs, materialize_grads=True)
    return found[0], found[1]
