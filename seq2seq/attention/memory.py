"""What queries attend to, and what they are told of the steps before."""

from typing import NamedTuple

import torch
from torch import Tensor


class Memory(NamedTuple):
    """Keys and values: made once a sentence, handed around, shared by all its queries and beams."""

    keys: Tensor  # (..., key, d_score), projected by the score
    value: Tensor  # (..., key, d_value)
    mask: Tensor | None  # bool, True = visible, of queries and keys, or broadcastable to that; None: all visible


def one_a_head(x: Tensor, like: Tensor) -> Tensor:
    """Return keys or values x (..., key, d) repeated for the query heads that share them, as many as `like` has."""
    if x.dim() < 4 or x.shape[-3] in (1, like.shape[-3]):
        return x
    return x.repeat_interleave(like.shape[-3] // x.shape[-3], dim=-3)


def one_a_stream(bias: Tensor, scores: Tensor) -> Tensor:
    """Return a bias once for each stream of scores.

    Args:
        bias: broadcastable to (..., query, key).
        scores: (..., streams · heads, query, key).
    """
    if bias.dim() < 3 or bias.shape[-3] in (1, scores.shape[-3]):
        return bias
    return bias.repeat(*(1,) * (bias.dim() - 3), scores.shape[-3] // bias.shape[-3], 1, 1)


class Past(NamedTuple):
    """What a hypothesis has looked at so far: for a score or normaliser that `remembers`."""

    total: Tensor  # (batch, query, key): the sum of all earlier rows of weights
    last: Tensor  # (batch, query, key): the row before; at the beginning all on the first key

    @classmethod
    def nothing(cls, keys: Tensor) -> "Past":
        """Return what is known before the first step, for keys (batch, key, d) and one query a sentence."""
        total = keys.new_zeros(keys.shape[0], 1, keys.shape[1], dtype=torch.promote_types(keys.dtype, torch.float32))
        first = torch.arange(keys.shape[1], device=keys.device) == 0
        return cls(total, total + first)

    def after(self, weights: Tensor) -> "Past":
        """Return what is known after one more row of weights (batch, query, key)."""
        return Past(self.total + weights, weights)


class Sums(NamedTuple):
    """All earlier keys and values, added up: what a query needs of them where its score has features. Of any length."""

    keys: Tensor  # (..., feature), float32 at least: in half precision a long sum stalls
    value: Tensor  # (..., feature, d_value), likewise
