"""Scores without a look at the key, of its place alone: what attention can do that compares nothing."""

import torch
from torch import Tensor, nn

from seq2seq.attention.scores import Score
from seq2seq.errors import UserError


class Location(Score):
    """w_jᵀ q: the j-th source position by the query alone, without a look at the key (Luong et al. 2015, eq. 8)."""

    asks_key = False

    def __init__(self, d_query: int, d_key: int, *, num_heads: int | None = None, max_positions: int = 256) -> None:
        super().__init__(d_query, d_key, num_heads=num_heads)
        self._at_least_one(max_positions=max_positions)
        self.max_positions = max_positions
        self.weight = self._matrix(d_query, max_positions)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return w_jᵀ q for every position j < number of keys; raises UserError beyond max_positions."""
        return self._by_place(query, keys.shape[-2])

    def _by_place(self, x: Tensor, num_keys: int) -> Tensor:
        """Return w_jᵀ x, (..., query, num_keys), of x (..., query, d)."""
        if num_keys > self.max_positions:
            raise UserError(
                f"score {type(self).__name__} knows {self.max_positions} positions, but a sentence has {num_keys}; "
                f"raise score.max_positions or lower loader.max_length"
            )
        return x @ self.weight[..., :num_keys]


class Synthesizer(Location):
    """The j-th score of W₂ relu(W₁ q + b₁) + b₂, the "dense" synthesizer (Tay et al. 2021, 3.1): `Location` by an MLP.

    Args: as `Location`, and
        d_hidden: width of the MLP; d_query by default.
    """

    def __init__(
        self,
        d_query: int,
        d_key: int,
        *,
        num_heads: int | None = None,
        max_positions: int = 256,
        d_hidden: int | None = None,
    ) -> None:
        self._at_least_one(d_hidden=d_hidden)
        d_hidden = d_hidden or d_query
        super().__init__(d_hidden, d_key, num_heads=num_heads, max_positions=max_positions)
        self.d_query = d_query
        heads = () if num_heads is None else (num_heads, 1)
        self.hidden_weight = self._matrix(d_query, d_hidden)
        self.hidden_bias = nn.Parameter(torch.zeros(*heads, d_hidden))
        self.bias = nn.Parameter(torch.zeros(*heads, max_positions))

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return the MLP's first numbers, as many as keys; raises UserError beyond max_positions."""
        hidden = torch.relu(query @ self.hidden_weight + self.hidden_bias)
        num_keys = keys.shape[-2]
        return self._by_place(hidden, num_keys) + self.bias[..., :num_keys]


class Uniform(Score):
    """0 for every pair: the mean of what is visible. With a pattern, weights by places alone.

    So `fixed` patterns attend (Raganato et al. 2020).
    """

    asks_query = asks_key = False

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return zeros (..., query, key)."""
        # Of the query, so that a norm before it, which nothing else uses, has a gradient: that it is 0.
        return (query[..., :1] * 0.0).expand(*query.shape[:-1], keys.shape[-2])
