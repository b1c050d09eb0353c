"""Patterns that also weigh what is seen, for which the explicit path is the only one."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.attention.masks import combine_masks
from seq2seq.attention.patterns import Pattern, Sight
from seq2seq.errors import UserError


class LocalP(Pattern):
    """Luong's local-p (2015, eq. 9-10): the query guesses the place p of what it looks for, in a sentence of S keys.

        p = S · sigmoid(v^T tanh(W q)),  visible |j - p| <= D,  factor exp(-(j - p)^2 / (2 sigma^2)),  sigma = D / 2

    After the factor a row sums to less than one. Inside multi-head attention each head has W, v and p of its own.
    """

    seats = ("cross",)
    moves = True
    row_sum = "at most one"

    def __init__(self, d_query: int, *, num_heads: int | None = None, width: int = 4, **seat: Any) -> None:
        super().__init__(d_query, num_heads=num_heads, **seat)
        self.width = self.whole("width", width, 1)  # a smaller one may see no key at all
        heads = () if num_heads is None else (num_heads,)
        self.weight = nn.Parameter(_xavier(*heads, d_query, d_query))
        self.direction = nn.Parameter(_xavier(*heads, d_query, 1))

    def forward(self, query: Tensor, places: Tensor, num_keys: int, mask: Tensor | None) -> Sight:
        """Return what queries (..., query, d_query) see, and how much of it; places have no part in it."""
        guess = torch.tanh(query @ self.weight) @ self.direction
        exact = guess.to(torch.promote_types(guess.dtype, torch.float32))
        point = torch.sigmoid(exact) * _length(mask, num_keys)
        away = torch.arange(num_keys, device=query.device) - point
        return Sight(combine_masks(mask, away.abs() <= self.width), torch.exp(-2 * (away / self.width) ** 2))


FAR = 1 << 30

LOOKS = {
    "current": (0, 0, False),
    "previous": (-1, -1, False),
    "next": (1, 1, False),
    "left": (-FAR, -2, True),
    "right": (2, FAR, False),
    "end": (-FAR, FAR, True),
    "start": (-FAR, FAR, False),
}
"""What a fixed head looks at: the nearest and the farthest j - i, and whether weights rise with j or fall."""

BACKWARD = ("current", "previous", "left")
"""What needs no later token."""


class Fixed(Pattern):
    """Weights by places alone (Raganato et al. 2020, 3): nothing is compared, so the score must be `uniform`.

        current, previous, next   the key at i, i - 1, i + 1
        left                      (j + 1)^3, for j <= i - 2
        right                     (S - j)^3, for j >= i + 2
        end                       (j + 1)^3, for all j
        start                     (S - j)^3, for all j

    over their sum, of S keys. Where there is no such key, as before the first, the context is zero. In
    cross-attention i is the place in the target, j that in the source.

    Args:
        d_query: size of a query.
        num_heads: heads, inside multi-head attention.
        heads: what each head looks at, beginning again where there are more heads; None: all names above in their
            order, or in a decoder, which knows no later token, `current`, `previous` and `left`.
        seat: see `Pattern`.
    """

    moves = True
    decides = True

    nearest: Tensor
    farthest: Tensor
    rises: Tensor

    def __init__(
        self,
        d_query: int,
        *,
        num_heads: int | None = None,
        heads: Sequence[str] | None = None,
        seat: str | None = None,
    ) -> None:
        super().__init__(d_query, num_heads=num_heads, seat=seat)
        known = BACKWARD if seat == "decoder" else tuple(LOOKS)
        heads = known if heads is None else heads
        if not isinstance(heads, Sequence) or not heads or not set(heads) <= set(known):
            raise UserError(f"{self.key}.heads={heads}: expected a list of some of {', '.join(known)}")
        looks = [LOOKS[heads[i % len(heads)]] for i in range(num_heads or 1)]
        for name, values in zip(("nearest", "farthest", "rises"), zip(*looks, strict=True), strict=True):
            numbers = torch.tensor(values)
            self.register_buffer(name, numbers[0] if num_heads is None else numbers[:, None, None], persistent=False)

    def forward(self, query: Tensor, places: Tensor, num_keys: int, mask: Tensor | None) -> Sight:
        """Return what queries (..., query, d_query) at places (query,) see, and factors that make weights of it."""
        keys = torch.arange(num_keys, device=query.device)
        away = keys - places[:, None]
        seen = combine_masks(mask, (away >= self.nearest) & (away <= self.farthest))
        assert seen is not None
        sizes = torch.where(self.rises, keys + 1, (_length(mask, num_keys) - keys).clamp(min=0))
        cubes = sizes.to(torch.promote_types(query.dtype, torch.float32)) ** 3 * seen
        # Equal scores give each of n keys 1 / n; a row that sees nothing has no sum to divide by.
        return Sight(seen, cubes * (seen.sum(-1, keepdim=True) / cubes.sum(-1, keepdim=True).clamp(min=1)))


def _length(mask: Tensor | None, num_keys: int) -> Tensor | int:
    """Return how many keys a mask broadcastable to (..., query, key) shows, (..., query or 1, 1)."""
    return num_keys if mask is None else mask.expand(*mask.shape[:-1], num_keys).sum(-1, keepdim=True)


def _xavier(*shape: int) -> Tensor:
    bound = math.sqrt(6 / (shape[-2] + shape[-1]))
    return torch.empty(shape).uniform_(-bound, bound)
