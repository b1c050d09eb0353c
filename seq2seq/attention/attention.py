"""Attention: a score, a normaliser and a pattern put together. The one place where scores become weights."""

import torch
from torch import Tensor, nn
from torch.compiler import is_exporting

from seq2seq.attention.kernels import fastest_kernel, fused_softmax
from seq2seq.attention.linear_attention import add_up, attend_to_sums, linear_attention
from seq2seq.attention.masks import causal_mask, check_mask, combine_masks
from seq2seq.attention.memory import Memory, Past, Sums, one_a_head, one_a_stream
from seq2seq.attention.normalizers import Normalizer, Softmax
from seq2seq.attention.patterns import Pattern
from seq2seq.attention.scores import Score
from seq2seq.attention.sliced import cut, least_length, worth_slicing
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
        biased: whether a bias is going to join the scores.

    Raises:
        UserError: a pattern that gives the weights alone, beside a score or normaliser that tells keys apart.
    """

    def __init__(
        self,
        score: Score,
        normalizer: Normalizer | None = None,
        *,
        pattern: Pattern | None = None,
        dropout: float = 0.0,
        biased: bool = False,
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
        if self.pattern is not None and self.pattern.decides and self.normalizer.moves:
            raise UserError(
                f"{self.pattern.key}: {type(pattern).__name__} gives weights by places alone, and "
                f"{type(self.normalizer).__name__} would move them; use another normaliser with it, such as softmax"
            )
        self.dropout = dropout
        # Plain attributes, set once: to look into a module for a part of a part takes longer than a small sum.
        self.score_remembers, self.normalizer_remembers = score.remembers, self.normalizer.remembers
        self.wants_query = self.normalizer.wants_query
        self.remembers = self.score_remembers or self.normalizer_remembers
        self.score_placed = score.placed
        self.placed = self.pattern is not None or score.placed
        """Whether it matters where queries stand."""
        self.fastest = fastest_kernel(score, self.normalizer, self.pattern, biased=biased)
        self.slices_from = least_length(self.pattern) if score.asks_key and not biased and not score.placed else None
        """From how many keys on a pattern is computed in slices; None: never."""
        self.recorders = 0
        """How many look at the weights now."""

    @property
    def row_sum(self) -> str:
        """What a row with a visible key sums to: `one`, `at most one`, or `any` number."""
        of_pattern = "one" if self.pattern is None else self.pattern.row_sum
        return self.normalizer.row_sum if of_pattern == "one" or self.normalizer.row_sum == "any" else of_pattern

    @property
    def adds_up(self) -> bool:
        """Whether what a key with its weight brings to the context is weight · value, whatever else there is."""
        return type(self.normalizer).finish is Normalizer.finish or self.normalizer.only_adds

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

    def nothing(self, like: Memory) -> tuple[Tensor, Tensor]:
        """Return the cache before the first token, of keys and values like these (..., key, d): none, or sums of none.

        Where the sums are all that a query needs they are all that is kept, unless somebody looks at the weights.
        """
        if self.fastest == "linear" and not self.recorders:
            keys, value, _ = like
            return torch.zeros_like(keys[..., 0, :]), keys.new_zeros(*keys.shape[:-2], keys.shape[-1], value.shape[-1])
        return like.keys[..., :0, :], like.value[..., :0, :]

    def extend(self, cache: tuple[Tensor, ...], new: Memory) -> Memory | Sums:
        """Return what a cache holds and one more token's key and value, all of it visible."""
        keys, value = cache
        if keys.dim() < value.dim():
            more = add_up(new)
            return Sums(keys + more.keys, value + more.value)
        return Memory(torch.cat((keys, new.keys), dim=-2), torch.cat((value, new.value), dim=-2), None)

    def forward(
        self,
        query: Tensor,
        memory: Memory | Sums,
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
            memory: from `memory`, its mask broadcastable to (..., query, key); or from `extend`.
            bias: joins the scores, broadcastable to (..., query, key).
            places: where the queries stand, (query,); None: at 0, 1, ...
            past: what each query's hypothesis has looked at; what `remembers` must be told.
            causal: query i sees keys 0..i only.
            need_weights: return the weights, float32 and before dropout; else they may never exist.

        Raises:
            UserError: the mask is not bool, or not broadcastable; weights are wanted of sums.
        """
        if isinstance(memory, Sums):
            return self._attend_to_sums(query, memory, need_weights=need_weights), None
        keys, value, mask = memory
        if mask is not None:
            check_mask(mask, query, keys)
        factor = None
        given = places
        if self.placed:
            places = torch.arange(query.shape[-2], device=query.device) if places is None else places
        if self.pattern is not None:
            whole = given is None and bias is None and past is None and not need_weights
            if whole and self.slices_from and worth_slicing(self.pattern, query, memory) and not is_exporting():
                slices = cut(query, memory, self.pattern, causal=causal)
                return slices.join(self._attend(slices.query, slices.memory)[0]), None
            assert places is not None
            mask, factor = self.pattern(query, places, keys.shape[-2], mask)
        memory, options = Memory(keys, value, mask), {"causal": causal, "need_weights": need_weights}
        return self._attend(query, memory, bias=bias, factor=factor, places=places, past=past, **options)

    def _attend(
        self,
        query: Tensor,
        memory: Memory,
        *,
        bias: Tensor | None = None,
        factor: Tensor | None = None,
        places: Tensor | None = None,
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
        keys = one_a_head(keys, query)
        asked = (places,) if self.score_placed else (past,) if self.score_remembers else ()
        scores = self.score(query, keys, *asked)
        if bias is not None:
            scores = scores + one_a_stream(bias, scores)
        if causal:
            mask = combine_masks(mask, causal_mask(*scores.shape[-2:], device=scores.device))
        # A normaliser of a user's own, in half precision, would round small weights away and no longer sum to 1.
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        told = (past,) if self.normalizer_remembers else (query,) if self.wants_query else ()
        weights = self.normalizer(scores, mask, *told)
        of_normalizer, weights = weights, weights if factor is None else weights * factor
        dropped = dropout(weights, self.dropout, self.training)
        context = dropped.to(value.dtype) @ one_a_head(value, weights)
        return self.normalizer.finish(context, of_normalizer, mask), weights if need_weights else None

    def kernel(self, device: str) -> str:
        """Return what computes a context whose weights nobody wants on a type of device: fused, linear or explicit."""
        # No kernel of PyTorch's drops weights on a CPU (what it does instead is slower than ours), and sums have none.
        if self.dropout and self.training and (device == "cpu" or self.fastest == "linear"):
            return "explicit"
        return self.fastest

    def _attend_to_sums(self, query: Tensor, sums: Sums, *, need_weights: bool) -> Tensor:
        features = self.score.features(query, of_query=True)
        assert features is not None
        if need_weights:
            raise UserError(
                f"{type(self.score).__name__} kept only sums of the earlier tokens, which have no weights; begin the "
                "search inside record_attention, or record a whole pass"
            )
        return attend_to_sums(features, sums).to(query.dtype)

    def _fused(self, query: Tensor, memory: Memory, bias: Tensor | None, *, causal: bool) -> Tensor | None:
        """Return the context by a faster kernel; None where there is none."""
        kernel = self.kernel(query.device.type)
        if kernel == "explicit" or is_exporting():
            return None  # an exported kernel gives a query that sees no key the mean of all values
        if kernel == "linear":
            features = self.score.features(query, of_query=True)
            if features is None or bias is not None:
                return None
            return linear_attention(features, memory, causal=causal)
        normalizer = self.normalizer
        fused, temperature = self.score.fused_query(query), normalizer.fused_temperature
        if fused is None or temperature is None:
            return None
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
