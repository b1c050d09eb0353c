"""Normalisers: scores to weights over the key axis. Hidden keys get exactly 0, a row with no visible key all zeros."""

import entmax
import torch
from torch import Tensor, nn

from seq2seq.errors import UserError

# Far below any shifted score that matters, yet small enough for float32 sums over thousands of hidden keys.
HIDDEN = -1e4


class Normalizer(nn.Module):
    """Weights from scores. A subclass says how a row is normalised; masking is done here, once for all."""

    fused_temperature: float | None = None
    """The temperature with which `scaled_dot_product_attention` computes this normaliser; None where it cannot."""

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


class Softmax(Normalizer):
    """softmax(scores / temperature): below 1 sharper, above 1 flatter."""

    def __init__(self, *, temperature: float = 1.0) -> None:
        super().__init__()
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
