"""Windows and chunks in slices: a few queries at a time with the keys that they can see, so cost grows with n · w."""

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq.attention.kernels import fused_softmax
from seq2seq.attention.masks import combine_masks
from seq2seq.attention.memory import Memory
from seq2seq.attention.patterns import Pattern

BLOCK = 32
"""Queries of a slice, at least: with fewer, the products are too small."""

WINS = 4
"""How many times as long as a slice's keys a sentence must be: then slices take less time than one masked product."""


def worth_slicing(pattern: Pattern, query: Tensor, memory: Memory) -> bool:
    """Return whether slices are possible and faster for queries (..., query, d): a matter of lengths alone."""
    if pattern.reach is None or query.dim() not in (3, 4):
        return False
    if memory.mask is not None and memory.mask.dim() > 1 and memory.mask.shape[-2] != 1:
        return False  # a mask of the user's for each pair
    shorter = min(query.shape[-2], memory.keys.shape[-2])
    return shorter >= WINS * (_block(pattern, pattern.reach) + 2 * pattern.reach)


def sliced_softmax(
    query: Tensor, memory: Memory, pattern: Pattern, *, scale: float, causal: bool, dropout: float
) -> Tensor:
    """Return what `fused_softmax` returns under a pattern with a `reach`, of queries at 0, 1, ...

    Args:
        query: (..., query, d), with 3 or 4 dimensions.
        memory: keys (..., key, d), value (..., key, d_value), and a mask that is the same for all queries.
        pattern: who sees whom.
        scale: of the products.
        causal: query i sees keys 0..i only.
        dropout: on the weights.
    """
    if query.dim() == 3:
        mask = memory.mask
        mask = mask if mask is None or mask.dim() < 3 else mask[:, None]
        alone = Memory(memory.keys[:, None], memory.value[:, None], mask)
        return sliced_softmax(query[:, None], alone, pattern, scale=scale, causal=causal, dropout=dropout)[:, 0]
    assert pattern.reach is not None
    keys, value, mask = memory
    num_queries, num_keys = query.shape[-2], keys.shape[-2]
    block, after = _block(pattern, pattern.reach), 0 if causal else pattern.reach
    slices = -(-num_queries // block)

    def with_neighbours(x: Tensor) -> Tensor:
        """Return (batch · slices, heads, seen, d) of x (batch, heads, key, d): a block, what is before it and after."""
        x = F.pad(x, (0, 0, block, (slices + 1) * block - x.shape[-2]))
        x = x.unflatten(-2, (slices + 2, block)).transpose(1, 2)
        before = x[:, :-2, :, block - pattern.reach :]
        return torch.cat((before, x[:, 1:-1], x[:, 2:, :, :after]), dim=-2).flatten(0, 1)

    first = torch.arange(slices, device=query.device)[:, None, None] * block
    places = first + torch.arange(block, device=query.device)[:, None]
    key_places = first + torch.arange(-pattern.reach, block + after, device=query.device)
    seen = pattern.visible(places, key_places) & (key_places >= 0) & (key_places < num_keys)
    if causal:
        seen = seen & (key_places <= places)
    seen = seen[:, None].repeat(query.shape[0], 1, 1, 1)
    if mask is not None:
        whole = mask.expand(query.shape[0], *mask.shape[1:-1] if mask.dim() == 4 else (1, 1), num_keys)
        seen = seen & with_neighbours(whole.mT).mT
    parts = F.pad(query, (0, 0, 0, slices * block - num_queries)).unflatten(-2, (slices, block))
    context = fused_softmax(
        parts.transpose(1, 2).flatten(0, 1),
        Memory(with_neighbours(keys), with_neighbours(value), seen),
        None,
        scale=scale,
        causal=False,
        dropout=dropout,
    )
    context = context.unflatten(0, (-1, slices)).transpose(1, 2).flatten(-3, -2)
    return context[..., :num_queries, :]


def _block(pattern: Pattern, reach: int) -> int:
    """Return how many queries a slice has: at least as many as it sees to a side, and whole units of the pattern."""
    return -(-max(BLOCK, reach) // pattern.unit) * pattern.unit
