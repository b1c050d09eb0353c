"""Attention: a score, a normaliser and a pattern put together. The one place where scores become weights."""

import torch
from torch import Tensor, nn
from torch.compiler import is_exporting

from seq2seq.attention.kernels import fused_softmax
from seq2seq.attention.masks import causal_mask, check_mask, combine_masks
from seq2seq.attention.memory import Memory, Past
from seq2seq.attention.normalizers import Normalizer, Softmax
from seq2seq.attention.patterns import Pattern
from seq2seq.attention.scores import Score
from seq2seq.attention.sliced import cut, worth_slicing
from seq2seq.dropout import dropout
from seq2seq.errors import UserError


class Attention(nn.Module):
    """Context and weights.

        weights = normalise(score(query, key) + bias, visible) · factor
        context = finish(weights · value)

    `forward` is the definition. Where nobody wants the weights, and the parts have a faster form, `kernels` computes
    the same context without ever storing them. A query with no visible key gets zero weights and a zero context.

    Args:
        score: how well a query fits a key.
        normalizer: scores to weights; the softmax by default.
        pattern: who sees whom, beside the mask; everybody everything by default.
        dropout: on the weights, in training.

    Raises:
        UserError: a pattern that gives the weights alone, beside a score that tells keys apart.
    """

    def __init__(
        self,
        score: Score,
        normalizer: Normalizer | None = None,
        *,
        pattern: Pattern | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.score = score
        self.normalizer = normalizer or Softmax()
        self.pattern = pattern if pattern is not None and pattern.hides else None
        if self.pattern is not None and self.pattern.decides and (score.asks_query or score.asks_key):
            raise UserError(
                f"{self.pattern.key}: {type(pattern).__name__} gives weights by places alone, and "
                f"{type(score).__name__} would not be heard; use {self.pattern.score_key}=uniform with it"
            )
        self.dropout = dropout
        # Plain attributes, set once: to look into a module for a part of a part takes longer than a small sum.
        self.score_remembers, self.normalizer_remembers = score.remembers, self.normalizer.remembers
        self.wants_query = self.normalizer.wants_query
        self.remembers = self.score_remembers or self.normalizer_remembers
        self.placed = self.pattern is not None
        """Whether it matters where queries stand."""

    @property
    def row_sum(self) -> str:
        """What a row with a visible key sums to: `one`, `at most one`, or `any` number."""
        of_pattern = "one" if self.pattern is None else self.pattern.row_sum
        return self.normalizer.row_sum if of_pattern == "one" or self.normalizer.row_sum == "any" else of_pattern

    @property
    def moves(self) -> bool:
        """Whether equal scores may get unequal weights."""
        return self.normalizer.moves or (self.pattern is not None and self.pattern.moves)

    def memory(self, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Memory:
        """Return what queries attend to, from keys (..., key, d_key), values (..., key, d_value) and their mask."""
        return Memory(self.score.project_keys(key), value, mask)

    def past(self, memory: Memory) -> tuple[Tensor, ...]:
        """Return the `Past` before a first query, tensors (batch, 1, key); nothing where it is not asked for."""
        return tuple(Past.nothing(memory.keys)) if self.remembers else ()

    def forward(
        self,
        query: Tensor,
        memory: Memory,
        *,
        bias: Tensor | None = None,
        places: Tensor | None = None,
        past: Past | None = None,
        causal: bool = False,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the context (..., query, d_value), and the weights (..., query, key) or None.

        Args:
            query: (..., query, d_query).
            memory: from `memory`; its mask must be broadcastable to (..., query, key).
            bias: joins the scores, broadcastable to (..., query, key).
            places: where the queries stand, (query,); None: at 0, 1, ...
            past: what each query's hypothesis has looked at; what `remembers` must be told.
            causal: query i sees keys 0..i only.
            need_weights: return the weights, float32 and before dropout; else they may never exist.

        Raises:
            UserError: the mask is not bool, or not broadcastable.
        """
        keys, value, mask = memory
        if mask is not None:
            check_mask(mask, query, keys)
        factor = None
        if self.pattern is not None:
            whole = places is None and bias is None and past is None and not need_weights
            if whole and worth_slicing(self.pattern, query, memory) and self.score.asks_key and not is_exporting():
                slices = cut(query, memory, self.pattern, causal=causal)
                return slices.join(self._attend(slices.query, slices.memory)[0]), None
            places = torch.arange(query.shape[-2], device=query.device) if places is None else places
            mask, factor = self.pattern(query, places, keys.shape[-2], mask)
        return self._attend(
            query,
            Memory(keys, value, mask),
            bias=bias,
            factor=factor,
            past=past,
            causal=causal,
            need_weights=need_weights,
        )

    def _attend(
        self,
        query: Tensor,
        memory: Memory,
        *,
        bias: Tensor | None = None,
        factor: Tensor | None = None,
        past: Past | None = None,
        causal: bool = False,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return what `forward` returns, of a mask that has the pattern in it, and the pattern's factor."""
        keys, value, mask = memory
        if not need_weights and factor is None and past is None:
            context = self._fused(query, memory, bias, causal=causal)
            if context is not None:
                return context, None
        keys = _one_a_head(keys, query)
        scores = self.score(query, keys, past) if self.score_remembers else self.score(query, keys)
        if bias is not None:
            scores = scores + _one_a_stream(bias, scores)
        if causal:
            mask = combine_masks(mask, causal_mask(*scores.shape[-2:], device=scores.device))
        # A normaliser of a user's own, in half precision, would round small weights away and no longer sum to 1.
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        told = (past,) if self.normalizer_remembers else (query,) if self.wants_query else ()
        weights = self.normalizer(scores, mask, *told)
        if factor is not None:
            weights = weights * factor
        dropped = dropout(weights, self.dropout, self.training)
        context = dropped.to(value.dtype) @ _one_a_head(value, weights)
        return self.normalizer.finish(context, weights, mask), weights if need_weights else None

    def _fused(self, query: Tensor, memory: Memory, bias: Tensor | None, *, causal: bool) -> Tensor | None:
        """Return the context by a fused kernel; None where the score or the normaliser has no fused form."""
        if self.dropout and self.training and query.device.type == "cpu":
            return None  # no kernel of PyTorch's drops weights there; what it does instead is slower than ours
        fused = self.score.fused_query(query)
        normalizer = self.normalizer
        temperature = normalizer.fused_temperature
        if fused is None or temperature is None or is_exporting():
            return None  # an exported kernel gives a query that sees no key the mean of all values
        query, scale = fused
        rows = normalizer.row_scale(query, memory.keys.shape[-2], memory.mask, causal=causal)
        if rows is not None:
            if bias is not None:
                return None  # a bias that needs a gradient takes a kernel's slow path
            query = query * rows.to(query.dtype)
        return fused_softmax(
            query,
            memory,
            None if bias is None else bias / temperature,
            scale=scale / temperature,
            causal=causal,
            dropout=self.dropout if self.training else 0.0,
        )


def _one_a_head(x: Tensor, like: Tensor) -> Tensor:
    """Return keys, values (..., heads, key, d) repeated for the query heads that share them, as many as `like` has."""
    if x.dim() < 4 or x.shape[-3] in (1, like.shape[-3]):
        return x
    return x.repeat_interleave(like.shape[-3] // x.shape[-3], dim=-3)


def _one_a_stream(bias: Tensor, scores: Tensor) -> Tensor:
    """Return a bias (..., heads, query, key) once for each stream of scores (..., streams · heads, query, key)."""
    if bias.dim() < 3 or bias.shape[-3] in (1, scores.shape[-3]):
        return bias
    return bias.repeat(*(1,) * (bias.dim() - 3), scores.shape[-3] // bias.shape[-3], 1, 1)
