"""Attention in O(n): sums of features instead of pairs of query and key (Katharopoulos et al. 2020, eq. 5, 9-12)."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq.attention.memory import Memory, Sums, one_a_head

CHUNK = 64
"""Queries and keys at hand at once under a causal mask: within a chunk pair by pair, before it as a sum."""

WHOLE = 128
"""Up to so many tokens all is one chunk: fewer and larger operations."""


def linear_attention(query: Tensor, memory: Memory, *, causal: bool) -> Tensor | None:
    """Return Σ_j φ(q)·φ(k_j) v_j / Σ_j φ(q)·φ(k_j); None where the mask is a query's own, or a head's.

    Args:
        query: φ(q) (..., query, feature).
        memory: φ(k) as keys (..., key, feature), value (..., key, d_value) and mask; with heads, as many as queries
            or fewer.
        causal: query i sees keys 0..i only.
    """
    keys, value, mask = memory
    if mask is not None:
        mask = mask.expand(1, keys.shape[-2]) if mask.dim() < 2 else mask
        if mask.shape[-2] > 1 or (mask.dim() > 2 and mask.shape[-3] not in (1, keys.shape[-3])):
            return None
        keys = keys.masked_fill(~mask.mT, 0.0)
    with exactly(keys):
        value_and_one = F.pad(value.to(keys.dtype), (0, 1), value=1.0)  # what the ones sum to is the denominator
        if causal:
            found = _causal(query, one_a_head(keys, query), one_a_head(value_and_one, query))
        else:
            found = query @ one_a_head(keys.mT @ value_and_one, query)
    return _divided(found[..., :-1], found[..., -1:]).to(value.dtype)


def add_up(memory: Memory) -> Sums:
    """Return the sums of a memory over φ(k), its keys (..., key, feature), and their values."""
    keys, value, _ = memory
    with exactly(keys):
        return Sums(keys.sum(-2), keys.mT @ value.to(keys.dtype))


def attend_to_sums(query: Tensor, sums: Sums) -> Tensor:
    """Return the context (..., query, d_value) of φ(q), query (..., query, feature), float32 at least."""
    with exactly(query):
        return _divided(query @ one_a_head(sums.value, query), query @ one_a_head(sums.keys[..., None], query))


def exactly(x: Tensor) -> AbstractContextManager[object]:
    """Return a context without autocast on the device of x: in half precision sums stall, and features are rounded."""
    device = x.device.type
    autocast = device != "meta" and torch.is_autocast_enabled(device)
    return torch.autocast(device, enabled=False) if autocast else nullcontext()


def _causal(query: Tensor, keys: Tensor, value: Tensor) -> Tensor:
    """Return Σ_{j ≤ i} φ(q_i)·φ(k_j) v_j, a chunk of queries at a time: those before it as one sum."""
    length = query.shape[-2]
    keys, value = (F.pad(x, (0, 0, 0, length - x.shape[-2])) for x in (keys, value))
    if length <= WHOLE:
        return (query @ keys.mT).tril() @ value
    missing = -length % CHUNK
    query, keys, value = (F.pad(x, (0, 0, 0, missing)).unflatten(-2, (-1, CHUNK)) for x in (query, keys, value))
    before = F.pad((keys.mT @ value)[..., :-1, :, :].cumsum(-3), (0, 0, 0, 0, 1, 0))
    found = (query @ keys.mT).tril() @ value + query @ before
    return found.flatten(-3, -2)[..., :length, :]


def _divided(sums: Tensor, total: Tensor) -> Tensor:
    """Return sums (..., query, d_value) / total (..., query, 1); 0 for a query that sees nothing."""
    return sums / torch.where(total > 0, total, 1.0)
