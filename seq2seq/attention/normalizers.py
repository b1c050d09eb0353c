"""Normalisers: scores to weights over the key axis. Hidden keys get exactly 0, a row with no visible key all zeros."""

from typing import Any

import entmax
import torch
from torch import Tensor, nn

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

    def __init__(self, *, num_heads: int | None = None, d_value: int = 0, layer: int = 0) -> None:
        super().__init__()
        self.num_heads = num_heads

    def normalize(self, scores: Tensor) -> Tensor:
        """Return rows that sum to 1 over the last axis; scores (..., query, key) with row maximum 0."""
        raise NotImplementedError

    def forward(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return weights (..., query, key) from scores (..., query, key) under a mask broadcastable to them.

        They are float32 at least: in half precision small weights are rounded away, and entmax's sums overflow.
        """
        scores = _exact(scores)
        if mask is None:
            return self.normalize(scores - scores.amax(-1, keepdim=True).detach())
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        shifted = (scores - scores.amax(-1, keepdim=True).detach()).clamp(min=HIDDEN)
        return self.normalize(shifted).masked_fill(~mask, 0.0)

    def finish(self, context: Tensor) -> Tensor:
        """Return the context (..., query, d_value) as it leaves the attention."""
        return context

    def a_head(self, value: float) -> nn.Parameter:
        """Return a parameter that begins at value: one number, or one a head, (heads, 1, 1)."""
        return nn.Parameter(torch.full(() if self.num_heads is None else (self.num_heads, 1, 1), value))


class Softmax(Normalizer):
    """softmax(scores / temperature): below 1 sharper, above 1 flatter."""

    def __init__(self, *, temperature: float = 1.0, **place: Any) -> None:
        super().__init__(**place)
        if not temperature > 0:
            raise UserError(f"normalizer.temperature={temperature} must be above 0")
        self.temperature = temperature
        self.fused_temperature = temperature

    def forward(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return weights (..., query, key) from scores (..., query, key) under a mask broadcastable to them."""
        return super().forward(_exact(scores) / self.temperature, mask)

    def normalize(self, scores: Tensor) -> Tensor:
        """Return the softmax of the rows."""
        return torch.softmax(scores, dim=-1)


class Sparsemax(Normalizer):
    """Euclidean projection onto the simplex: exact zeros (Martins & Astudillo 2016, eq. 2)."""

    def normalize(self, scores: Tensor) -> Tensor:
        """Return the sparsemax of the rows."""
        return entmax.sparsemax(scores, dim=-1)


class Entmax15(Normalizer):
    """Entmax with alpha 1.5: between softmax and sparsemax (Peters et al. 2019, section 3.2)."""

    def normalize(self, scores: Tensor) -> Tensor:
        """Return the 1.5-entmax of the rows."""
        return entmax.entmax15(scores, dim=-1)


def _exact(scores: Tensor) -> Tensor:
    """Return scores, of any shape, as float32, or float64 where they are."""
    return scores.to(torch.promote_types(scores.dtype, torch.float32))
