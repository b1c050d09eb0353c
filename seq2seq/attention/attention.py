"""Attention: a score, a normaliser and a mask put together. The one place where scores become weights."""

from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.attention.masks import causal_mask, check_mask, combine_masks
from seq2seq.attention.normalizers import Normalizer, Softmax
from seq2seq.attention.scores import Score
from seq2seq.dropout import dropout


class Memory(NamedTuple):
    """What queries attend to: made once a sentence, handed around, shared by all its queries and beams."""

    keys: Tensor  # (..., key, d_score), projected by the score
    value: Tensor  # (..., key, d_value)
    mask: Tensor | None  # bool, broadcastable to (..., query, key), True = visible; None: all visible


class Attention(nn.Module):
    """Context and weights: weights = normalise(score(query, key), mask), context = weights · value.

    Nobody wants the weights and the score has a fused form: PyTorch's `scaled_dot_product_attention` computes the
    same context without ever storing them. A query with no visible key gets zero weights and a zero context.
    """

    def __init__(self, score: Score, normalizer: Normalizer | None = None, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.score = score
        self.normalizer = normalizer or Softmax()
        self.dropout = dropout

    def memory(self, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Memory:
        """Return what queries attend to, from keys (..., key, d_key), values (..., key, d_value) and their mask."""
        return Memory(self.score.project_keys(key), value, mask)

    def forward(
        self, query: Tensor, memory: Memory, *, causal: bool = False, need_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return the context (..., query, d_value), and the weights (..., query, key) or None.

        Args:
            query: (..., query, d_query).
            memory: from `memory`; its mask must be broadcastable to (..., query, key).
            causal: query i sees keys 0..i only.
            need_weights: return the weights, float32 and before dropout; else they may never exist.

        Raises:
            UserError: the mask is not bool, or not broadcastable.
        """
        if memory.mask is not None:
            check_mask(memory.mask, query, memory.keys)
        if not need_weights:
            context = self._fused(query, memory, causal=causal)
            if context is not None:
                return context, None
        scores = self.score(query, memory.keys)
        mask = memory.mask
        if causal:
            mask = combine_masks(mask, causal_mask(*scores.shape[-2:], device=scores.device))
        # A normaliser of a user's own, in half precision, would round small weights away and no longer sum to 1.
        weights = self.normalizer(scores.to(torch.promote_types(scores.dtype, torch.float32)), mask)
        dropped = dropout(weights, self.dropout, self.training)
        return dropped.to(memory.value.dtype) @ memory.value, weights if need_weights else None

    def _fused(self, query: Tensor, memory: Memory, *, causal: bool) -> Tensor | None:
        """Return the context by a fused kernel; None where the score or the normaliser has no fused form."""
        if self.dropout and self.training and query.device.type == "cpu":
            return None  # no kernel of PyTorch's drops weights there; what it does instead is slower than ours
        fused = self.score.fused_query(query)
        temperature = self.normalizer.fused_temperature
        if fused is None or temperature is None:
            return None
        query, scale = fused
        keys, value, mask = memory
        # is_causal aligns at the top left and excludes another mask: only then is it the same and fastest.
        is_causal = causal and mask is None and query.shape[-2] == keys.shape[-2]
        if causal and not is_causal:
            mask = combine_masks(mask, causal_mask(query.shape[-2], keys.shape[-2], device=query.device))
        if mask is not None and mask.dim() < 2:  # kernels want a row for the queries
            mask = mask.expand(1, keys.shape[-2])
        without_heads = query.dim() == 3
        if without_heads:  # kernels are for (batch, heads, length, d)
            query, keys, value = query[:, None], keys[:, None], value[:, None]
            mask = mask[:, None] if mask is not None and mask.dim() == 3 else mask
        # On a CPU the gradient of the half-precision kernel takes five times as long as that of the float32 one.
        exact = value.device.type == "cpu" and torch.is_grad_enabled()
        dtype = torch.promote_types(value.dtype, torch.float32) if exact else value.dtype
        with torch.autocast("cpu", enabled=False) if exact and torch.is_autocast_enabled("cpu") else nullcontext():
            context = F.scaled_dot_product_attention(
                _cast(query, dtype),
                _cast(keys, dtype),
                _cast(value, dtype),
                attn_mask=mask,
                dropout_p=self.dropout if self.training else 0.0,
                is_causal=is_causal,
                scale=scale / temperature,
            )
        return _cast(context[:, 0] if without_heads else context, value.dtype)


def _cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return x, of any shape, in that dtype; to find out that it has it takes `Tensor.to` ten times as long."""
    return x if x.dtype is dtype else x.to(dtype)
