"""Sparse normalisers: rows sum to 1, and keys of low scores get exactly 0."""

from typing import Any

import entmax
import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq.attention.normalizers import HIDDEN, Normalizer
from seq2seq.errors import UserError


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


class Entmax(Normalizer):
    """α-entmax with α learned a head: between softmax, α = 1, and sparsemax, α = 2 (Correia et al. 2019, 3.2).

    α = 1.01 + 0.98 σ(a), and a begins at 0: closer to 1 the gradient of α is lost in rounding.
    """

    def __init__(self, **place: Any) -> None:
        super().__init__(**place)
        self.raw_alpha = self.a_head(0.0)

    @property
    def alpha(self) -> Tensor:
        """Return α, a head each, (heads, 1, 1), or (1,)."""
        return 1.01 + 0.98 * torch.sigmoid(self.raw_alpha)

    def normalize(self, scores: Tensor) -> Tensor:
        """Return the α-entmax of the rows."""
        halvings = 24 if scores.dtype is torch.float32 else 53  # as many as the type has digits
        return entmax.entmax_bisect(scores, self.alpha.to(scores.dtype), dim=-1, n_iter=halvings)


class TopK(Normalizer):
    """Softmax over the k largest scores of a row; keys that tie with the k-th stay too (Zhao et al. 2019, 3.1).

    Args:
        k: how many.
        place: as `Normalizer`.
    """

    def __init__(self, *, k: int = 4, **place: Any) -> None:
        super().__init__(**place)
        if not isinstance(k, int) or k < 1:
            raise UserError(f"k={k} of the normaliser TopK must be a whole number of 1 or more: so many keys are left")
        self.k = k

    def normalize(self, scores: Tensor) -> Tensor:
        """Return the softmax of the rows' largest."""
        padded = F.pad(scores, (0, self.k - 1), value=HIDDEN)  # for rows of fewer than k keys
        least = padded.topk(self.k, dim=-1).values[..., -1:]
        return torch.softmax(scores.masked_fill(scores < least, float("-inf")), dim=-1)
