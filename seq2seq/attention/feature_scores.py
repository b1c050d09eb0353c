"""Scores whose exponential is a product of features, φ(q)·φ(k): their softmax needs no pair of query and key."""

import math

import torch
from torch import Tensor

from seq2seq.attention.linear_attention import exactly
from seq2seq.attention.scores import Score

LEAST = -60.0
"""What the logarithm of a product of features is at least: below, float32 would make it 0, and its score infinite."""


class FeatureScore(Score):
    """log(φ(q)·φ(k)), so that the softmax of the scores is φ(q)·φ(k) / Σ φ(q)·φ(k). A new one writes `features`."""

    def __init__(self, d_query: int, d_key: int, *, num_heads: int | None = None) -> None:
        super().__init__(d_query, d_key, num_heads=num_heads)
        self._same_size()

    def features(self, x: Tensor, *, of_query: bool) -> Tensor:
        """Return φ(x) (..., feature) of queries or keys x (..., d), float32 at least."""
        raise NotImplementedError

    def project_keys(self, key: Tensor) -> Tensor:
        """Return φ(k), (..., key, feature)."""
        return self.features(key, of_query=False)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return log(φ(q)·φ(k)) for every pair."""
        with exactly(keys):
            products = self.features(query, of_query=True) @ keys.mT
        # No key has less, but zeros beyond the end of a sentence, which slices have: of 0 the logarithm has no slope.
        return products.clamp(min=math.exp(LEAST)).log()


class Linear(FeatureScore):
    """φ = elu + 1 (Katharopoulos et al. 2020, eq. 7): of any size where it is positive, near 0 where it is not."""

    def features(self, x: Tensor, *, of_query: bool) -> Tensor:
        """Return x + 1 above 0, exp(x) below."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        # Bounded on both sides, by floats as ONNX wants, for its gradient: where x is large it is not wanted.
        return torch.where(x > 0, x + 1, x.clamp(LEAST / 2, 0.0).exp())


class Performer(FeatureScore):
    """φ(x) = exp(w·x − |x|²/2) / √m for m random w, orthogonal: q·k / √d nearly (Choromanski et al. 2021, 2.3, 2.4).

    The w are drawn once, saved with the weights, and never learned. The error falls as 1 / √m where queries and keys
    are short, and hardly where they are long.

    Args: as `Score`, and
        num_features: m.
    """

    directions: Tensor

    def __init__(self, d_query: int, d_key: int, *, num_heads: int | None = None, num_features: int = 64) -> None:
        super().__init__(d_query, d_key, num_heads=num_heads)
        self._at_least_one(num_features=num_features)
        self.register_buffer("directions", _orthogonal(num_features, d_query))

    def features(self, x: Tensor, *, of_query: bool) -> Tensor:
        """Return φ(x), of a query divided by its largest, which its softmax does not see."""
        logarithms = self._logarithms(x)
        if of_query:
            logarithms = logarithms - _largest(logarithms)
        return logarithms.clamp(LEAST, -LEAST).exp()

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return log(φ(q)·φ(k)) for every pair."""
        return super().forward(query, keys) + _largest(self._logarithms(query))

    def _logarithms(self, x: Tensor) -> Tensor:
        """Return log φ(x) (..., feature) of x (..., d)."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        x = x.to(dtype) * self.d_key**-0.25
        with exactly(x):
            along = x @ self.directions.to(dtype).T
        return along - x.square().sum(-1, keepdim=True) / 2 - math.log(len(self.directions)) / 2


def _largest(logarithms: Tensor) -> Tensor:
    return logarithms.amax(-1, keepdim=True).detach()


def _orthogonal(rows: int, columns: int) -> Tensor:
    """Return random rows (rows, columns), as long as normal ones, at right angles to each other `columns` at a time."""
    made = (torch.linalg.qr(torch.randn(columns, columns)) for _ in range(0, rows, columns))
    blocks = [q * r.diagonal().sign() for q, r in made]  # without the signs some directions would be rarer than others
    lengths = torch.randn(rows, columns).norm(dim=1, keepdim=True)
    return torch.cat(blocks)[:rows] * lengths
