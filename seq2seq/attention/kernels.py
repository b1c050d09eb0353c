"""Faster forms of what `Attention.forward` defines; each gives the same context, and never the weights."""

from contextlib import nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq.attention.masks import causal_mask, combine_masks
from seq2seq.attention.memory import Memory
from seq2seq.attention.normalizers import Normalizer
from seq2seq.attention.patterns import Pattern
from seq2seq.attention.scores import Score

SHORT = 16
"""Rows of fewer keys than a register holds are computed number by number by PyTorch's kernel on a CPU."""

MANY = 16
"""From so many sentences on that costs more than to start some operations."""

LARGE = 400
"""A product of two small matrices with fewer multiplications than this PyTorch computes number by number, too."""


def fastest_kernel(score: Score, normalizer: Normalizer, pattern: Pattern | None, *, biased: bool) -> str:
    """Return `linear`, `fused` or `explicit`: what can compute the context of these parts without weights."""
    temperature, scales = normalizer.fused_temperature, type(normalizer).row_scale is not Normalizer.row_scale
    if temperature is None or (biased and scales) or (pattern is not None and pattern.moves):
        return "explicit"
    form = "features" if type(score).features is not Score.features else "fused_query"
    if score.placed or not issubclass(_home(score, form), _home(score, "forward")):
        return "explicit"  # a new `forward` whose class says nothing of the other form: that is another score's
    if form == "features":
        return "explicit" if biased or scales or pattern is not None or temperature != 1 else "linear"
    like = next(score.parameters(), torch.zeros(()))
    with torch.no_grad():
        fused = score.fused_query(like.new_zeros(1, score.num_heads or 1, 1, score.d_query))
    return "explicit" if fused is None else "fused"


def _home(score: Score, method: str) -> type:
    """Return the class that defines a method of a score."""
    return next(kind for kind in type(score).__mro__ if method in vars(kind))


def fused_softmax(
    query: Tensor, memory: Memory, bias: Tensor | None, *, scale: float, causal: bool, dropout: float
) -> Tensor:
    """Return softmax(scale · query · keys + bias) · value by PyTorch's `scaled_dot_product_attention`.

    Args:
        query: (..., query, d).
        memory: keys (..., key, d), value (..., key, d_value) and mask; with heads, as many or fewer than queries have.
        bias: broadcastable to (..., query, key), float32; None for nothing.
        scale: of the products.
        causal: query i sees keys 0..i only.
        dropout: on the weights.
    """
    keys, value, mask = memory
    is_causal = False  # this and `fewer`: a comparison handed over would be symbolic under torch.compile, and a break
    if causal:
        # is_causal aligns at the top left and excludes another mask: only then is it the same and fastest.
        if mask is None and bias is None and query.shape[-2] == keys.shape[-2]:
            is_causal = True
        else:
            mask = combine_masks(mask, causal_mask(query.shape[-2], keys.shape[-2], device=query.device))
    if mask is not None and mask.dim() < 2:  # kernels want a row for the queries
        mask = mask.expand(1, keys.shape[-2])
    if bias is not None:
        # Hidden is -inf: with the least number instead, kernels give a query that sees nothing a row of noise.
        mask = bias if mask is None else bias.masked_fill(~mask, float("-inf"))
        least = 2 if query.dim() == 3 else 4  # with 3 beside heads it would take the slow path
        mask = mask[(None,) * (least - mask.dim())]
    without_heads = query.dim() == 3
    if without_heads:  # kernels are for (batch, heads, length, d)
        query, keys, value = query[:, None], keys[:, None], value[:, None]
        mask = mask[:, None] if mask is not None and mask.dim() == 3 else mask
    # On a CPU the gradient of the half-precision kernel takes five times as long as that of the float32 one.
    on_cpu = value.device.type == "cpu"
    exact = on_cpu and torch.is_grad_enabled()
    dtype = torch.promote_types(value.dtype, torch.float32) if exact else value.dtype
    if mask is not None and mask.dtype is not torch.bool:
        # Beside half-precision queries a CPU takes a bias as exact as it is, which autocast must not round.
        mask = _cast(mask, torch.promote_types(dtype, torch.float32) if on_cpu else dtype)
        exact = on_cpu
    fewer = False
    if query.dim() == 4 and query.shape[1] != keys.shape[1] and keys.shape[1] > 1:
        fewer = True
    if on_cpu and not dropout and not is_causal and _are_short_and_many(query, keys):
        context = _two_products(query * scale, keys, value, mask)
        return context[:, 0] if without_heads else context
    with torch.autocast("cpu", enabled=False) if exact and torch.is_autocast_enabled("cpu") else nullcontext():
        context = F.scaled_dot_product_attention(
            _cast(query, dtype),
            _cast(keys, dtype),
            _cast(value, dtype),
            attn_mask=mask,
            dropout_p=dropout,
            is_causal=is_causal,
            scale=scale,
            enable_gqa=fewer,
        )
    return _cast(context[:, 0] if without_heads else context, value.dtype)


def _are_short_and_many(query: Tensor, keys: Tensor) -> bool:
    """Return whether a search asks for so many short rows that two products take less time than the kernel."""
    if query.dim() != 4 or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return False
    (batch, heads, queries, d), length = query.shape, keys.shape[-2]
    few = length < SHORT and batch >= MANY and queries * length * d >= LARGE
    return few and heads == keys.shape[1] and query.dtype is keys.dtype and query.dtype.itemsize >= 4


def _two_products(query: Tensor, keys: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax(query · keys) · value, zero where a query sees nothing.

    Args:
        query: (batch, heads, query, d), scaled.
        keys: (batch, heads, key, d).
        value: (batch, heads, key, d_value).
        mask: broadcastable to (batch, heads, query, key): bool, or a bias in which hidden is -inf; None: all visible.
    """
    scores = query @ keys.mT
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype is torch.bool else scores + mask
    largest = scores.amax(-1, keepdim=True).clamp(min=torch.finfo(scores.dtype).min)
    weights = (scores - largest).exp()
    # Divided afterwards: the sum is 1 at least, that of the largest, or 0 where all is hidden.
    return (weights @ value) / weights.sum(-1, keepdim=True).clamp(min=1.0)


def _cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return x, of any shape, in that dtype; to find out that it has it takes `Tensor.to` ten times as long."""
    return x if x.dtype is dtype else x.to(dtype)
