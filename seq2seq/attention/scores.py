"""Scores: how well each query fits each key. (..., query, d_query) × (..., key, d_key) -> (..., query, key), unmasked.

What every score is, and those that are a product of query and key. A score may live inside multi-head attention: with
`num_heads` its parameters get a leading head axis, and queries and keys are (batch, heads, length, d_head).
"""

import math

import torch
from torch import Tensor, nn

from seq2seq.errors import UserError


class Score(nn.Module):
    """A score function. A new one is a subclass with `forward`, and a YAML file in configs/score/.

    Args:
        d_query: size of a query.
        d_key: size of a key.
        num_heads: heads, inside multi-head attention.
    """

    turns = False
    """Whether the score is one of the angle between query and key: only then can positions turn them."""

    key_parameters = False
    """Whether keys are weighed by parameters of their own head: fewer key heads then have no meaning."""

    placed = False
    """Whether `forward` wants the places of the queries, (query,), as its third argument.

    A search asks with one query at a time: its place is not to be known from the shape of the queries.
    """

    remembers = False
    """Whether `forward` wants a `Past` as its third argument."""

    asks_query = True
    """Whether the score looks at the query: if not, multi-head attention does not project it."""

    asks_key = True
    """Whether the score looks at the key, and not only at how many there are: likewise."""

    def __init__(self, d_query: int, d_key: int, *, num_heads: int | None = None) -> None:
        super().__init__()
        self.d_query = d_query
        self.d_key = d_key
        self.num_heads = num_heads

    def project_keys(self, key: Tensor) -> Tensor:
        """Return what `forward` needs of the keys, (..., key, d_score), computed once a source sentence."""
        return key

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return scores (..., query, key) from queries (..., query, d_query) and projected keys (..., key, d_score)."""
        raise NotImplementedError

    def fused_query(self, query: Tensor) -> tuple[Tensor, float] | None:
        """Return (query', scale) such that this score is scale · query' · keys; None where it has no such form."""
        return None

    def features(self, x: Tensor, *, of_query: bool) -> Tensor | None:
        """Return φ(x) > 0 such that exp(score) is φ(query) · φ(key), times a number of the query's own; else None.

        Args:
            x: queries or keys, (..., query or key, d).
            of_query: which of the two.

        Returns:
            (..., query or key, feature), float32 at least; of keys what `project_keys` gives.
        """
        return None

    def _matrix(self, rows: int, columns: int) -> nn.Parameter:
        """Return a Xavier-uniform matrix (rows, columns), one a head inside multi-head attention."""
        bound = math.sqrt(6 / (rows + columns))
        heads = () if self.num_heads is None else (self.num_heads,)
        return nn.Parameter(torch.empty(*heads, rows, columns).uniform_(-bound, bound))

    def _at_least_one(self, **sizes: int | None) -> None:
        """Refuse sizes below 1; None stands for a default."""
        for name, size in sizes.items():
            if size is not None and (not isinstance(size, int) or size < 1):
                raise UserError(f"{name}={size} of the score {type(self).__name__} must be a whole number of 1 or more")

    def _same_size(self) -> None:
        if self.d_query != self.d_key:
            raise UserError(
                f"score {type(self).__name__} needs queries and keys of one size, not {self.d_query} and {self.d_key}; "
                "use score=general or score=additive, or make encoder.d_model equal decoder.d_model"
            )


class NoScore(Score):
    """What stands for the score of a model that asks nothing; nothing can ask with it."""

    def __init__(self, d_query: int, d_key: int, *, num_heads: int | None = None) -> None:
        raise UserError("score=none goes with model=bottleneck alone; use score=additive, or another")


class Dot(Score):
    """q·k (Luong et al. 2015, 3.1, "dot")."""

    turns = True

    def __init__(self, d_query: int, d_key: int, *, num_heads: int | None = None) -> None:
        super().__init__(d_query, d_key, num_heads=num_heads)
        self._same_size()

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return q·k for every pair."""
        return query @ keys.mT

    def fused_query(self, query: Tensor) -> tuple[Tensor, float]:
        """Return the query as it is, unscaled."""
        return query, 1.0


class ScaledDot(Dot):
    """q·k / sqrt(d_k): variance 1 whatever the size (Vaswani et al. 2017, eq. 1)."""

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return q·k / sqrt(d_k) for every pair."""
        return (query * self.d_key**-0.5) @ keys.mT

    def fused_query(self, query: Tensor) -> tuple[Tensor, float]:
        """Return the query and 1 / sqrt(d_k)."""
        return query, self.d_key**-0.5


class General(Score):
    """qᵀ W k, "multiplicative" or "bilinear" (Luong et al. 2015, 3.1, "general")."""

    key_parameters = True

    def __init__(self, d_query: int, d_key: int, *, num_heads: int | None = None) -> None:
        super().__init__(d_query, d_key, num_heads=num_heads)
        self.weight = self._matrix(d_query, d_key)

    def project_keys(self, key: Tensor) -> Tensor:
        """Return W k, (..., key, d_query)."""
        return key @ self.weight.mT

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return q·(W k) for every pair."""
        return query @ keys.mT

    def fused_query(self, query: Tensor) -> tuple[Tensor, float]:
        """Return the query as it is: W is already in the keys."""
        return query, 1.0


class Cosine(Score):
    """τ · q·k / (|q| |k|) with a learned τ > 0, a head each (content addressing, Graves et al. 2014, eq. 5-6)."""

    turns = True

    def __init__(self, d_query: int, d_key: int, *, num_heads: int | None = None, initial_scale: float = 10.0) -> None:
        super().__init__(d_query, d_key, num_heads=num_heads)
        self._same_size()
        if not 0 < initial_scale < math.inf:
            raise UserError(f"initial_scale={initial_scale} of the score Cosine must be above 0, such as 10")
        heads = () if num_heads is None else (num_heads, 1, 1)
        self.log_scale = nn.Parameter(torch.full(heads, math.log(initial_scale)))

    def project_keys(self, key: Tensor) -> Tensor:
        """Return k / |k|."""
        return _direction(key)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Return the scaled cosine of every pair."""
        return self.fused_query(query)[0] @ keys.mT

    def fused_query(self, query: Tensor) -> tuple[Tensor, float]:
        """Return τ q / |q|, unscaled."""
        return self.log_scale.exp() * _direction(query), 1.0


SHORTEST = 1e-4
"""Vectors shorter than this, or than the rounding error of a more exact type, have no direction."""


def _direction(x: Tensor) -> Tensor:
    """Return x / |x|, of any shape; a vector that has no direction, such as padding, stays as it is.

    So its gradient stays small: 1 / |x| would be infinite in half precision, and far too large in float32.
    """
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    length = torch.linalg.vector_norm(exact, dim=-1, keepdim=True)
    shortest = min(SHORTEST, torch.finfo(x.dtype).eps)
    return (exact / length.masked_fill(length < shortest, 1.0)).to(x.dtype)
