"""Windows and chunks in slices: a few queries beside the keys that they can see, so that cost grows with n · w."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq.attention.memory import Memory
from seq2seq.attention.patterns import Pattern

BLOCK = 32
"""Queries of a slice, at least: products of fewer take no less time."""

SAVED = 160
"""How many keys a query must be spared, at least, for slices to take less time than all pairs under a mask.

Measured forward and backward: what it takes to cut and to join is the same for every width.
"""


def least_length(pattern: Pattern | None) -> int | None:
    """Return from how many keys on slices are faster; None where a pattern has none."""
    return None if pattern is None or pattern.reach is None else SAVED + _seen(pattern, pattern.reach)


def worth_slicing(pattern: Pattern, query: Tensor, memory: Memory) -> bool:
    """Return whether slices are possible and faster: for queries (..., query, d) a matter of lengths alone."""
    least = least_length(pattern)
    if least is None or memory.keys.shape[-2] < least:
        return False
    mask = memory.mask
    return query.dim() in (3, 4) and (mask is None or mask.dim() < 2 or mask.shape[-2] == 1)


class Slices(NamedTuple):
    """Queries and what they attend to, each block of them a sentence of its own."""

    query: Tensor  # (batch · slices, [heads,] block, d)
    memory: Memory  # tensors (batch · slices, [heads,] seen, d)
    num_slices: int
    num_queries: int

    def join(self, context: Tensor) -> Tensor:
        """Return the context (batch, [heads,] query, d_value) of that of the slices."""
        context = context.unflatten(0, (-1, self.num_slices)).movedim(1, -3)
        return context.flatten(-3, -2)[..., : self.num_queries, :]


def cut(query: Tensor, memory: Memory, pattern: Pattern, *, causal: bool) -> Slices:
    """Return slices under a pattern with a `reach`.

    Args:
        query: (batch, [heads,] query, d), at 0, 1, ...
        memory: keys and value (batch, [heads,] key, d), and a mask that is the same for all queries of a sentence.
        pattern: who sees whom.
        causal: query i sees keys 0..i only.
    """
    assert pattern.reach is not None
    keys, value, mask = memory
    num_queries, num_keys = query.shape[-2], keys.shape[-2]
    block, before, after = _block(pattern, pattern.reach), pattern.reach, 0 if causal else pattern.reach
    num_slices = -(-num_queries // block)

    def with_neighbours(x: Tensor) -> Tensor:
        """Return of x (batch, [heads,] key, d) a block a slice, between what is before it and what is after."""
        x = F.pad(x, (0, 0, block, (num_slices + 1) * block - num_keys))
        x = x.unflatten(-2, (num_slices + 2, block)).movedim(-3, 1)
        return torch.cat((x[:, :-2, ..., block - before :, :], x[:, 1:-1], x[:, 2:, ..., :after, :]), -2).flatten(0, 1)

    first = torch.arange(num_slices, device=query.device)[:, None, None] * block
    places = first + torch.arange(block, device=query.device)[:, None]
    near = first + torch.arange(-before, block + after, device=query.device)
    seen = pattern.visible(places, near) & (near >= 0) & (near < num_keys)
    if causal:
        seen = seen & (near <= places)
    seen = seen.repeat(query.shape[0], 1, 1)
    seen = seen if query.dim() == 3 else seen[:, None]
    if mask is not None:
        mask = mask[(None,) * (query.dim() - mask.dim())]
        seen = seen & with_neighbours(mask.expand(query.shape[0], *mask.shape[1:-1], num_keys).mT).mT
    parts = F.pad(query, (0, 0, 0, num_slices * block - num_queries)).unflatten(-2, (num_slices, block))
    parts = parts.movedim(-3, 1).flatten(0, 1)
    return Slices(parts, Memory(with_neighbours(keys), with_neighbours(value), seen), num_slices, num_queries)


def _block(pattern: Pattern, reach: int) -> int:
    """Return how many queries a slice has: whole units of the pattern, and no fewer than keys it sees to a side."""
    return -(-max(BLOCK, reach) // pattern.unit) * pattern.unit


def _seen(pattern: Pattern, reach: int) -> int:
    """Return how many keys a slice sees."""
    return _block(pattern, reach) + 2 * reach
