"""Patterns: which keys a query may see by where both stand. Places count from 0, each in its own sentence."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.attention.masks import combine_masks
from seq2seq.errors import UserError

IN_SELF = "full, window, dilated, chunked, bigbird or fixed"
SEATS = {
    "encoder": ("encoder.pattern", "encoder.self_score", IN_SELF),
    "decoder": ("decoder.pattern", "decoder.self_score", IN_SELF),
    "cross": ("cross_pattern", "score", "full, local_m, local_p or fixed"),
}
"""Where a pattern may be: the keys that choose it and the score there, and which patterns have a meaning."""


class Sight(NamedTuple):
    """What a query sees."""

    mask: Tensor | None  # bool, broadcastable to (..., query, key); None: everything
    factor: Tensor | None = None  # at least 0, broadcastable to the weights, which it multiplies; None: nothing


class Pattern(nn.Module):
    """Who sees whom. A new one is a subclass with `visible`, and a YAML in configs/pattern/.

    Args:
        d_query: size of a query.
        num_heads: heads, inside multi-head attention.
        seat: whose pattern it is: `encoder` or `decoder` (self-attention) or `cross`; None: nobody says.

    Raises:
        UserError: it has no meaning there.
    """

    hides = True
    """Whether it hides anything."""

    moves = False
    """Whether equal scores may get unequal weights."""

    row_sum = "one"
    """What its factors leave of a row's sum: `one`, or `at most one`."""

    decides = False
    """Whether places alone give the weights, so that scores must be equal."""

    seats: tuple[str, ...] = ("encoder", "decoder", "cross")
    """Where it has a meaning."""

    reach: int | None = None
    """How many places before and after a block of places its queries see, wherever it stands; None: any number."""

    unit = 1
    """Blocks of which sizes that is true of: the multiples of this."""

    def __init__(self, d_query: int, *, num_heads: int | None = None, seat: str | None = None) -> None:
        super().__init__()
        self.key, self.score_key, known = ("pattern", "score", "") if seat is None else SEATS[seat]
        if seat is not None and seat not in self.seats:
            raise UserError(f"{self.key}: {type(self).__name__} has no meaning there; use {known}")

    def whole(self, name: str, value: int, least: int) -> int:
        """Return an option's value; raise `UserError` if it is no whole number, or below the least."""
        if not isinstance(value, int) or value < least:
            raise UserError(f"{self.key}.{name}={value}: expected a whole number of {least} or more")
        return value

    def visible(self, places: Tensor, keys: Tensor) -> Tensor:
        """Return which keys are seen, bool (..., query, key), of places (..., query, 1) and keys (..., key).

        One pair at a time, by the places of query and key alone.
        """
        raise NotImplementedError

    def forward(self, query: Tensor, places: Tensor, num_keys: int, mask: Tensor | None) -> Sight:
        """Return what queries see.

        Args:
            query: (..., query, d_query).
            places: (query,).
            num_keys: how many keys there are; they stand at 0, 1, ...
            mask: what is visible without the pattern, broadcastable to (..., query, key); None: everything.
        """
        seen = self.visible(places[:, None], torch.arange(num_keys, device=query.device))
        return Sight(combine_masks(mask, seen))


class Full(Pattern):
    """All keys."""

    hides = False

    def visible(self, places: Tensor, keys: Tensor) -> Tensor:
        """Return that every key is seen."""
        return (places >= 0) & (keys >= 0)


class Window(Pattern):
    """Keys at most `width` places away, |i - j| <= width (Longformer, Beltagy et al. 2020, 3.1).

    In cross-attention this is Luong's local-m, whose D is the width (Luong et al. 2015, 3.2): `LocalM` is this class.
    """

    def __init__(self, d_query: int, *, width: int = 4, **seat: Any) -> None:
        super().__init__(d_query, **seat)
        self.width = self.reach = self.whole("width", width, 0)

    def visible(self, places: Tensor, keys: Tensor) -> Tensor:
        """Return the keys near by."""
        return (places - keys).abs() <= self.width


LocalM = Window


class Dilated(Pattern):
    """Every `dilation`-th key to each side, `width` of them: |i - j| = 0, d, 2d, ..., width · d (Longformer, 3.1)."""

    seats = ("encoder", "decoder")

    def __init__(self, d_query: int, *, width: int = 4, dilation: int = 2, **seat: Any) -> None:
        super().__init__(d_query, **seat)
        self.width = self.whole("width", width, 0)
        self.dilation = self.whole("dilation", dilation, 1)
        self.reach = self.width * self.dilation

    def visible(self, places: Tensor, keys: Tensor) -> Tensor:
        """Return every `dilation`-th key near by."""
        away = (places - keys).abs()
        return (away <= self.width * self.dilation) & (away % self.dilation == 0)


class Chunked(Pattern):
    """Keys of the query's own block, floor(i / size) = floor(j / size) ("local attention" of Liu et al. 2018)."""

    seats = ("encoder", "decoder")
    reach = 0

    def __init__(self, d_query: int, *, size: int = 8, **seat: Any) -> None:
        super().__init__(d_query, **seat)
        self.size = self.unit = self.whole("size", size, 1)

    def visible(self, places: Tensor, keys: Tensor) -> Tensor:
        """Return the keys of the same block."""
        return places // self.size == keys // self.size


PRIME = 2**31 - 1


class BigBird(Pattern):
    """A window, random keys, and first tokens that see all and that all see (Zaheer et al. 2020, 2).

    Whether a query at i sees a key at j by chance is a hash of i, j and the seed, true with probability
    num_random / (1 + max(i, j)): a causal query sees about num_random such keys. No length is asked, so a sentence's
    beginning looks the same however it goes on. The paper's blocks have one token here.
    """

    seats = ("encoder", "decoder")

    def __init__(
        self,
        d_query: int,
        *,
        width: int = 3,
        num_global: int = 1,
        num_random: int = 2,
        seed: int = 0,
        **seat: Any,
    ) -> None:
        super().__init__(d_query, **seat)
        self.width = self.whole("width", width, 0)
        self.num_global = self.whole("num_global", num_global, 0)
        self.num_random = min(self.whole("num_random", num_random, 0), PRIME)
        self.seed = self.whole("seed", seed, 0)

    def visible(self, places: Tensor, keys: Tensor) -> Tensor:
        """Return the keys near by, the first ones, and some others."""
        near = (places - keys).abs() <= self.width
        first = (places < self.num_global) | (keys < self.num_global)
        number = (places * 1_000_003 + keys * 7_368_787 + self.seed * 15_485_863 % PRIME) % PRIME
        for _ in range(2):  # squares are small enough for 64 bits, and scatter what a sum leaves in order
            number = (number * number + 179_424_673) % PRIME
        by_chance = number * (torch.maximum(places, keys) + 1) < self.num_random * PRIME
        return near | first | by_chance
