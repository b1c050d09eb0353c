"""Positions between a query and a key: they turn both, or join the score. Keys stand at 0, 1, ..."""

from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.attention.positions import Positions, at_least_one
from seq2seq.errors import UserError


class RotaryPositions(Positions):
    """Queries and keys turned by their places: q·k then depends on the distance alone (Su et al. 2021, eq. 15-16).

    Each two neighbours (x_2m, x_2m+1) are a point of the plane, turned by place · base^(-2m/d).

    Args: as `Positions`, and
        base: a larger one turns more slowly, for longer sentences.

    Raises:
        UserError: the size of a head is odd, or the base is not above 0.
    """

    turns = True

    def __init__(self, d_model: int, *, base: float = 10000.0, **stack: Any) -> None:
        super().__init__(d_model, **stack)
        if not base > 0:
            raise UserError(f"rotary positions with base={base} cannot turn; set a base above 0, such as 10000")
        self.base = base
        self.check(self.d_head)

    def check(self, d_head: int) -> None:
        """Raise UserError where a head's size is odd."""
        if d_head % 2:
            raise UserError(
                f"rotary positions turn pairs of numbers, and a head has {d_head}; "
                "choose d_model and num_heads such that heads have an even size"
            )

    def turn(self, x: Tensor, places: Tensor) -> Tensor:
        """Return x (..., length, d) turned.

        Angles are float32: in half precision place 257 would be 256.
        """
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        d = x.shape[-1]
        rates = self.base ** (torch.arange(0, d, 2, device=x.device, dtype=torch.float32) / -d)
        angles = places[:, None] * rates
        cos, sin = angles.cos().to(exact.dtype), angles.sin().to(exact.dtype)
        pairs = exact.unflatten(-1, (-1, 2))
        if torch.compiler.is_compiling():  # compilers have no complex numbers
            one, other = pairs.unbind(-1)
            turned = torch.stack((one * cos - other * sin, one * sin + other * cos), dim=-1)
        else:  # a complex product is a turn, and takes a third of the time of its four real ones
            turned = torch.view_as_real(torch.view_as_complex(pairs) * torch.complex(cos, sin))
        return turned.flatten(-2).to(x.dtype)


class AlibiPositions(Positions):
    """score - slope · |i - j|: the further, the less (Press et al. 2022, section 3). Nothing is learned.

    Of H heads, head h has slope 2^(-8h/H). Where H is no power of two, there are first those of the next smaller power
    P, then every other one of 2P, as in the paper's code. The paper is about decoders; in an encoder both sides count.
    """

    biases = True
    per_head = True

    def __init__(self, d_model: int, **stack: Any) -> None:
        super().__init__(d_model, **stack)
        power = 1 << self.num_heads.bit_length() - 1
        exponents = [8 * h / power for h in range(1, power + 1)]
        exponents += [4 * (2 * h - 1) / power for h in range(1, self.num_heads - power + 1)]
        self.register_buffer("slopes", torch.tensor([2.0**-x for x in exponents]), persistent=False)
        self.slopes: Tensor  # (heads,)

    def bias(self, query: Tensor, places: Tensor, num_keys: int) -> Tensor:
        """Return - slope · |i - j|, (heads, query, key), for places (query,)."""
        exact = torch.promote_types(self.slopes.dtype, torch.float32)
        return _distances(places, num_keys).abs() * -self.slopes.to(exact)[:, None, None]


class T5Positions(Positions):
    """score + a learned number a head and bucket of j - i, one table a stack (Raffel et al. 2020, 2.1).

    Half of the buckets are for one distance each, the others for distances that grow by a factor up to max_distance;
    the last is for all beyond. A query that sees both sides has half of the buckets for each.

    Args: as `Positions`, and
        num_buckets: even.
        max_distance: from which all distances are one.

    Raises:
        UserError: there are too few buckets or distances.
    """

    biases = True
    per_head = True

    def __init__(self, d_model: int, *, num_buckets: int = 32, max_distance: int = 16, **stack: Any) -> None:
        super().__init__(d_model, **stack)
        if num_buckets < 4 or num_buckets % 2:
            raise UserError(f"T5 positions with num_buckets={num_buckets}: set an even number, 4 or more")
        self.side = num_buckets // 2 if self.two_sided else num_buckets
        exact = self.side // 2
        if max_distance < exact:
            raise UserError(
                f"T5 positions with max_distance={max_distance}: {exact} distances have a bucket of their own here; "
                f"set max_distance to {exact} or more, or lower num_buckets"
            )
        self.max_distance = max_distance
        borders = _borders(self.side, max_distance)
        self.register_buffer("borders", torch.tensor(borders), persistent=False)
        self.borders: Tensor  # (buckets of a side - 1,): where each but the first begins
        self.weight = nn.Parameter(torch.randn(num_buckets, self.num_heads) * d_model**-0.5)

    def buckets(self, distances: Tensor) -> Tensor:
        """Return the buckets of distances j - i, of any shape."""
        found = torch.bucketize(distances.abs() if self.two_sided else -distances, self.borders, right=True)
        return found + self.side * (distances > 0) if self.two_sided else found

    def bias(self, query: Tensor, places: Tensor, num_keys: int) -> Tensor:
        """Return the numbers of all pairs, (heads, query, key), for places (query,)."""
        exact = self.weight.to(torch.promote_types(self.weight.dtype, torch.float32))
        buckets = self.buckets(_distances(places, num_keys))
        return exact.mT.index_select(1, buckets.flatten()).unflatten(1, buckets.shape)


class ShawPositions(Positions):
    """q·(k_j + a) / sqrt(d), a a learned vector a distance j - i, cut to ±max_distance (Shaw et al. 2018, eq. 4).

    One table serves all layers and heads of a stack; the paper has one a layer, in its smaller model one a head too.
    Values stay as they are: in the paper's ablation (its table 3) that costs nothing.

    Where a query sees one side, only distances up to 0 have a vector.

    Args: as `Positions`, and
        max_distance: from which all distances to one side are one.

    Raises:
        UserError: max_distance is below 1.
    """

    biases = True

    def __init__(self, d_model: int, *, max_distance: int = 8, **stack: Any) -> None:
        super().__init__(d_model, **stack)
        at_least_one(self, max_distance=max_distance)
        self.max_distance = max_distance
        self.furthest = max_distance if self.two_sided else 0
        self.weight = nn.Parameter(
            torch.randn(max_distance + 1 + self.furthest, self.d_head) * max(self.d_head, 1) ** -0.5
        )

    def bias(self, query: Tensor, places: Tensor, num_keys: int) -> Tensor:
        """Return q·a / sqrt(d), (batch, streams · heads, query, key), for places (query,).

        Heads that hold several streams of queries share a out among them.
        """
        d = query.shape[-1]
        vectors = (self.weight.to(query.dtype) * d**-0.5).unflatten(1, (-1, d)).permute(1, 2, 0)
        streams = vectors.shape[0]
        # Queries before heads, as projections leave them: one plain product, and nothing is copied.
        rows = query.transpose(1, 2).unflatten(2, (streams, -1))
        products = (rows @ (vectors[0] if streams == 1 else vectors)).flatten(2, 3)  # (batch, query, heads, distances)
        products = products.to(torch.promote_types(query.dtype, torch.float32))
        index = _distances(places, num_keys).clamp(-self.max_distance, self.furthest) + self.max_distance
        return products.gather(-1, index[:, None].expand(*products.shape[:-1], num_keys)).transpose(1, 2)


def _distances(places: Tensor, num_keys: int) -> Tensor:
    """Return j - i, (query, key), for queries at places i (query,) and keys j = 0, 1, ..."""
    return torch.arange(num_keys, device=places.device) - places[:, None]


def _borders(buckets: int, max_distance: int) -> list[int]:
    """Return the distances at which buckets 1, 2, ... begin, in whole numbers: logarithms miss borders by rounding.

    Of e = buckets / 2 exact ones, bucket e + k has the distances x with (x / e)^(buckets - e) >= (max_distance / e)^k.
    """
    exact = buckets // 2
    rest = buckets - exact
    borders = list(range(1, exact + 1))
    for k in range(1, rest):
        begin = max(borders[-1], int(exact * (max_distance / exact) ** (k / rest)) - 1)  # nearly; the loop is exact
        while begin**rest * exact**k < max_distance**k * exact**rest:
            begin += 1
        borders.append(begin)
    return borders
