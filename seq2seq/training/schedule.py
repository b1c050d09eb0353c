"""Learning rates over steps. Each returns a scheduler for an optimizer whose `lr` is the peak (for noam: a factor)."""

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def _scheduler(optimizer: Optimizer, factor: Callable[[int], float]) -> LambdaLR:
    """Return a scheduler by factors of steps counted from 1: the rate of the first update is factor(1)."""
    return LambdaLR(optimizer, lambda step: factor(step + 1))


def constant(optimizer: Optimizer, *, warmup_steps: int) -> LambdaLR:
    """Return a rise to lr over warmup_steps, then lr."""
    return _scheduler(optimizer, lambda step: min(1.0, step / max(1, warmup_steps)))


def inverse_square_root(optimizer: Optimizer, *, warmup_steps: int) -> LambdaLR:
    """Return a rise to lr over warmup_steps, then lr · sqrt(warmup_steps / step)."""
    warmup = max(1, warmup_steps)
    return _scheduler(optimizer, lambda step: min(step / warmup, math.sqrt(warmup / step)))


def noam(optimizer: Optimizer, *, d_model: int, warmup_steps: int) -> LambdaLR:
    """Return lr · d_model^-0.5 · min(step^-0.5, step · warmup_steps^-1.5) (Vaswani et al. 2017, eq. 3)."""
    warmup = max(1, warmup_steps)
    return _scheduler(optimizer, lambda step: d_model**-0.5 * min(step**-0.5, step * warmup**-1.5))


def cosine(optimizer: Optimizer, *, warmup_steps: int, total_steps: int) -> LambdaLR:
    """Return a rise to lr over warmup_steps, then half a cosine down to 0 at total_steps."""

    def factor(step: int) -> float:
        if step <= warmup_steps:
            return step / max(1, warmup_steps)
        progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return 0.5 * (1.0 + math.cos(math.pi * progress))

    return _scheduler(optimizer, factor)


def halving(optimizer: Optimizer, *, start_step: int, every: int) -> LambdaLR:
    """Return lr, halved at step start_step + every and every so many steps after (Luong et al. 2015, 4.1)."""
    return _scheduler(optimizer, lambda step: 0.5 ** (max(0, step - start_step) // max(1, every)))
