"""Normalisers: scores to weights over the key axis. Hidden keys get exactly 0, a row with no visible key all zeros.

Here the base and the dense ones; `sparse_normalizers` give many keys exactly 0, rows of `open_normalizers` need not
sum to 1.
"""

from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.attention.masks import causal_mask, combine_masks
from seq2seq.errors import UserError

# Far below any shifted score that matters, yet small enough for float32 sums over thousands of hidden keys.
HIDDEN = -1e4


class Normalizer(nn.Module):
    """Weights from scores. A new one is a subclass with `normalize`, and a YAML in configs/normalizer/.

    Masking is done here, once for all.

    Args:
        num_heads: heads, inside multi-head attention.
        d_value: size of a value; 0 where nobody says.
        layer: of the stack that the attention is in, from 0.
    """

    fused_temperature: float | None = None
    """The temperature with which `scaled_dot_product_attention` computes this normaliser; None where it cannot."""

    row_sum = "one"
    """What a row with a visible key sums to: `one`, `at most one`, or `any` number."""

    streams = 1
    """How many rows of scores make one row of weights."""

    moves = False
    """Whether equal scores may get unequal weights."""

    remembers = False
    """Whether `forward` wants a `Past` as its third argument."""

    wants_query = False
    """Whether `forward` wants the queries as its third argument."""

    only_adds = False
    """Of a normaliser with a `finish` of its own: whether that only adds to the context, and so leaves each key's part
    in it as it is."""

    def __init__(self, *, num_heads: int | None = None, d_value: int = 0, layer: int = 0) -> None:
        super().__init__()
        self.num_heads = num_heads

    def normalize(self, scores: Tensor) -> Tensor:
        """Return rows that sum to 1 over the last axis; scores (..., key) with row maximum 0."""
        raise NotImplementedError

    def forward(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return weights (..., query, key) from scores (..., query, key) under a mask broadcastable to them.

        They are float32 at least: in half precision small weights are rounded away, and entmax's sums overflow.
        """
        scores = exact(scores)
        if mask is None:
            return self.normalize(scores - scores.amax(-1, keepdim=True).detach())
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        shifted = (scores - scores.amax(-1, keepdim=True).detach()).clamp(min=HIDDEN)
        return self.normalize(shifted).masked_fill(~mask, 0.0)

    def row_scale(self, query: Tensor, num_keys: int, mask: Tensor | None, *, causal: bool) -> Tensor | None:
        """Return factors, broadcastable to (..., query, 1), of scores, that `fused_temperature` leaves out; None for 1.

        Args:
            query: (..., query, d_query).
            num_keys: how many keys there are.
            mask: broadcastable to (..., query, key); None: all visible.
            causal: query i sees keys 0..i only.
        """
        return None

    def finish(self, context: Tensor, weights: Tensor, mask: Tensor | None) -> Tensor:
        """Return the context as it leaves the attention.

        Args:
            context: weights · value, (..., query, d_value).
            weights: (..., query, key), before a pattern's factor and before dropout.
            mask: broadcastable to the weights; None: all visible.
        """
        return context

    def a_head(self, value: float) -> nn.Parameter:
        """Return a parameter that begins at value: one number a head, (heads, 1, 1), or without heads one alone."""
        return nn.Parameter(torch.full((1,) if self.num_heads is None else (self.num_heads, 1, 1), float(value)))


class Softmax(Normalizer):
    """softmax(scores / temperature): below 1 sharper, above 1 flatter."""

    def __init__(self, *, temperature: float = 1.0, **place: Any) -> None:
        super().__init__(**place)
        if not temperature > 0:
            raise UserError(f"temperature={temperature} of the normaliser Softmax must be above 0, such as 1")
        self.temperature = temperature
        self.fused_temperature = temperature

    def forward(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return weights (..., query, key) from scores (..., query, key) under a mask broadcastable to them."""
        return super().forward(exact(scores) / self.temperature, mask)

    def normalize(self, scores: Tensor) -> Tensor:
        """Return the softmax of the rows."""
        return torch.softmax(scores, dim=-1)


class LogLength(Normalizer):
    """softmax(c · log n · scores), n the keys that a row sees: as sharp among many keys as among few.

    c, learned a head, multiplies all that joined the scores: the biases of positions too (Chiang & Cholak 2022;
    "scalable softmax", Nakanishi 2025).

    Args:
        initial_scale: of c.
        place: as `Normalizer`.
    """

    fused_temperature = 1.0

    def __init__(self, *, initial_scale: float = 0.43, **place: Any) -> None:
        super().__init__(**place)
        self.scale = self.a_head(initial_scale)

    def forward(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return weights (..., query, key) from scores (..., query, key) under a mask broadcastable to them."""
        scores = exact(scores)
        return super().forward(scores * (self.scale * log_visible(scores.shape[-1], mask, like=scores)), mask)

    def normalize(self, scores: Tensor) -> Tensor:
        """Return the softmax of the rows."""
        return torch.softmax(scores, dim=-1)

    def row_scale(self, query: Tensor, num_keys: int, mask: Tensor | None, *, causal: bool) -> Tensor:
        """Return c · log n."""
        if causal:
            mask = combine_masks(mask, causal_mask(query.shape[-2], num_keys, device=query.device))
        return self.scale * log_visible(num_keys, mask, like=self.scale)


def log_visible(num_keys: int, mask: Tensor | None, *, like: Tensor) -> Tensor:
    """Return log n, n the keys that a row sees, 0 where it sees none, broadcastable to (..., query, 1).

    Args:
        num_keys: how many keys there are.
        mask: broadcastable to (..., query, key); None: all visible.
        like: whose dtype, and device, it gets.
    """
    if mask is None:
        mask = torch.ones(num_keys, dtype=torch.bool, device=like.device)
    return mask.expand(*mask.shape[:-1], num_keys).sum(-1, keepdim=True, dtype=like.dtype).clamp(min=1).log()


def exact(scores: Tensor) -> Tensor:
    """Return scores, of any shape, as float32, or float64 where they are."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
