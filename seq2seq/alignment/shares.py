"""What each row of weights gives to each key, where rows need not sum to one: shares of one, and a rest.

An attention may leave a part of its weight unspent (a sink), spend more than one (a sigmoid), or take away (a
difference). Links, statistics, pictures and guided alignment ask for shares, so that all attentions are read alike. An
archive keeps the weights as they are.
"""

import torch
from torch import Tensor

ROUNDING = 1e-4
"""What a sum of weights may miss one by. Rows that sum to one are left as they are, to the bit."""

LEAST = 0.01
"""What a row must give to nobody for a picture to say so."""

NOWHERE = "(nowhere)"
"""The label of the column that pictures and pages have for that."""


def shares(weights: Tensor) -> Tensor:
    """Return what each row gives to each key, 0-1 `(..., query, key)`; a row sums to at most 1.

    A weight below 0 counts as 0, and a row that sums to more than 1 is scaled down to 1. Shares of shares are the same.

    Args:
        weights: `(..., query, key)`.
    """
    weights = weights.clamp(min=0)
    total = weights.sum(-1, keepdim=True)
    return weights / total.where(total > 1 + ROUNDING, 1)


def nowhere(given: Tensor) -> Tensor:
    """Return what each row of shares gives to no key, 0-1 `(..., query)`: exactly 0 of a row that sums to one."""
    rest = 1 - given.sum(-1)
    return rest.where(rest > ROUNDING, 0)


def nowhere_to_end(given: Tensor) -> Tensor:
    """Return shares `(..., query, key)` whose last key, the end of the sentence, also has what goes nowhere.

    For links, which neither of the two may have: so every row sums to one.
    """
    return torch.cat((given[..., :-1], given[..., -1:] + nowhere(given).unsqueeze(-1)), dim=-1)


def is_seen(rest: Tensor) -> bool:
    """Return whether a picture of rows, of which these parts go nowhere, has a column for it."""
    return bool((rest > LEAST).any())


def remark(weights: Tensor) -> str:
    """Return what a reader must know of how weights `(..., query, key)` became shares; "" where that moved little."""
    largest, least = weights.clamp(min=0).sum(-1).max().item(), weights.min().item()
    said = []
    if largest > 1 + LEAST:
        said.append(f"rows sum to up to {largest:.2f}, scaled down to 1")
    if least < -LEAST:
        said.append(f"weights below 0, down to {least:.2f}, shown as 0")
    return "; ".join(said)
