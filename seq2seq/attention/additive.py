"""Scores that add query and key before anything bends: the MLP of Bahdanau, and what has been looked at beside it."""

import math

import torch
from torch import Tensor, nn

from seq2seq.attention.energies import energies
from seq2seq.attention.memory import Past
from seq2seq.attention.scores import Score


class Additive(Score):
    """vᵀ tanh(W q + U k), the MLP score (Bahdanau et al. 2015, A.1.2).

    Luong's "concat", vᵀ tanh(W [q; k]), is the same function, since W [q; k] = W_q q + W_k k: `Concat` is this class.
    """

    key_parameters = True

    def __init__(
        self, d_query: int, d_key: int, *, num_heads: int | None = None, d_attention: int | None = None
    ) -> None:
        super().__init__(d_query, d_key, num_heads=num_heads)
        self._at_least_one(d_attention=d_attention)
        d_attention = d_attention or d_query
        self.query_weight = self._matrix(d_query, d_attention)
        self.key_weight = self._matrix(d_key, d_attention)
        self.energy = self._matrix(d_attention, 1)

    def project_keys(self, key: Tensor) -> Tensor:
        """Return U k, (..., key, d_attention)."""
        return key @ self.key_weight

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return vᵀ tanh(W q + U k) for every pair."""
        query = query @ self.query_weight
        return energies(query, keys, self.energy.to(query.dtype))


Concat = Additive


class Coverage(Additive):
    """vᵀ tanh(W q + U k_j + w_c · Σ a_j), the sum over all earlier steps (See et al. 2017, eq. 11; Tu et al. 2016).

    So a query knows what its own hypothesis has looked at. `training.coverage.weight` punishes looking there again.
    """

    remembers = True

    def __init__(
        self, d_query: int, d_key: int, *, num_heads: int | None = None, d_attention: int | None = None
    ) -> None:
        super().__init__(d_query, d_key, num_heads=num_heads, d_attention=d_attention)
        width = self.energy.shape[-2]
        bound = math.sqrt(6 / (1 + width))
        self.past_weight = nn.Parameter(torch.empty(width).uniform_(-bound, bound))

    def forward(self, query: Tensor, keys: Tensor, past: Past | None = None) -> Tensor:
        """Return the score of every pair; without a past, nothing has been looked at."""
        if past is None:
            return super().forward(query, keys)
        query = query @ self.query_weight
        looked = (past.total[..., None] * self.past_weight).to(query.dtype)
        hidden = torch.tanh(query[..., :, None, :] + keys[..., None, :, :] + looked)
        return (hidden @ self.energy.to(query.dtype)).squeeze(-1)
