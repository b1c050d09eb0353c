"""Positions: where tokens stand, told to a stack of layers. Places count from 0 in each sentence.

Here are those that join the embeddings; those between queries and keys are in `distances.py`.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.compiler import is_exporting

from seq2seq.errors import UserError


class Positions(nn.Module):
    """Positions of a whole stack. A new one overrides `embed`, `turn` or `bias`, and has a YAML in configs/positions/.

    Args:
        d_model: size of an embedding.
        d_head: size of a head's queries and keys.
        num_heads: heads a layer.
        two_sided: whether a query sees keys on both sides, as in an encoder; else those before it alone.
    """

    turns = False
    """Whether `turn` does anything; only a score with `turns` can follow."""

    biases = False
    """Whether `bias` gives anything."""

    per_head = False
    """Whether `bias` has a number for each of the stack's heads, of which a layer may have kept a part."""

    limit: int | None = None
    """How many places there are; None: any number."""

    def __init__(self, d_model: int, *, d_head: int = 0, num_heads: int = 1, two_sided: bool = True) -> None:
        super().__init__()
        self.d_model = d_model
        self.d_head = d_head
        self.num_heads = num_heads
        self.two_sided = two_sided

    def check(self, d_head: int) -> None:
        """Raise UserError where queries and keys of that size cannot be turned."""

    def embed(self, x: Tensor, places: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return embeddings x (batch, length, d_model) that know their places (length,).

        Args:
            x: of the tokens.
            places: of the tokens.
            lengths: (batch,) of the sentences; None in a decoder, which does not know them.
        """
        return x

    def turn(self, x: Tensor, places: Tensor) -> Tensor:
        """Return queries or keys x (..., length, d) turned by their places (length,)."""
        return x

    def bias(self, query: Tensor, places: Tensor, num_keys: int) -> Tensor | None:
        """Return what joins the scores, broadcastable to (batch, heads or streams · heads, query, key), or None.

        It is float32. Each head has one stream, but for a differential normaliser.

        Args:
            query: (batch, streams · heads, query, d).
            places: of the queries, (query,); keys stand at 0, 1, ...
            num_keys: how many keys there are.
        """
        return None


class NoPositions(Positions):
    """Nothing is told; a causal mask alone lets a decoder count (Haviv et al. 2022)."""


class SinusoidalPositions(Positions):
    """x + PE, PE(p, 2i) = sin(p / 10000^(2i/d)), PE(p, 2i+1) = cos(...) (Vaswani et al. 2017, 3.5). Of any length."""

    def __init__(self, d_model: int, **stack: Any) -> None:
        super().__init__(d_model, **stack)
        _even(d_model)

    def embed(self, x: Tensor, places: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return x (batch, length, d_model) and the waves of its places."""
        return x + waves(places, self.d_model).to(x.dtype)


class LearnedPositions(Positions):
    """x + a learned vector a place, up to max_positions (Gehring et al. 2017, 3.1)."""

    def __init__(self, d_model: int, *, max_positions: int = 512, **stack: Any) -> None:
        super().__init__(d_model, **stack)
        at_least_one(self, max_positions=max_positions)
        self.limit = max_positions
        self.weight = nn.Parameter(torch.randn(max_positions, d_model) * d_model**-0.5)

    def embed(self, x: Tensor, places: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return x (batch, length, d_model) and the vectors of its places."""
        return x + self.weight.index_select(0, places)


class RandomPositions(Positions):
    """Sinusoids of a sorted random sample of places: longer sentences then meet no new place (Ruoss et al. 2023, 3).

    In training, the n tokens of a sentence stand at n of the places 0 ... L - 1, drawn without repetition, anew each
    time. Else token j stands at (j + 1)(L + 1) / (n + 1) - 1, the mean of such samples. A decoder does not know n.

    Args: as `Positions`, and
        max_positions: L.

    Raises:
        UserError: in a decoder; d_model is odd, or there are no places.
    """

    def __init__(self, d_model: int, *, max_positions: int = 256, **stack: Any) -> None:
        super().__init__(d_model, **stack)
        if not self.two_sided:
            raise UserError(
                "random positions need the length of a sentence, which a decoder does not know; "
                "use encoder.positions=random, and another file for decoder.positions"
            )
        _even(d_model)
        at_least_one(self, max_positions=max_positions)
        self.limit = max_positions

    def embed(self, x: Tensor, places: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return x (batch, length, d_model) and the waves of places that each sentence's own length (batch,) gives."""
        n = x.new_full(x.shape[:1], x.shape[1], dtype=torch.int64) if lengths is None else lengths
        chosen = self._sample(places, n) if self.training else self._mean(places, n)
        return x + waves(chosen, self.d_model).to(x.dtype)

    def _sample(self, places: Tensor, lengths: Tensor) -> Tensor:
        """Return sorted random places, (batch, length); padding stands anywhere."""
        assert self.limit is not None
        drawn = torch.rand(lengths.shape[0], self.limit, device=places.device).argsort(-1)[:, : places.shape[0]]
        return drawn.masked_fill(places >= lengths[:, None], self.limit).sort(-1).values

    def _mean(self, places: Tensor, lengths: Tensor) -> Tensor:
        """Return where samples of a size stand on average, (batch, length)."""
        assert self.limit is not None
        return (places + 1) * ((self.limit + 1) / (lengths[:, None].float() + 1)) - 1


def at_least_one(positions: Positions, **options: int) -> None:
    """Refuse a number below 1, by its key."""
    for key, value in options.items():
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{type(positions).__name__} cannot have {key}={value}; set {key} to 1 or more")


def _even(d_model: int) -> None:
    if d_model % 2:
        raise UserError(f"sinusoidal positions need an even d_model, not {d_model}")


def waves(places: Tensor, d_model: int) -> Tensor:
    """Return sines and cosines (..., d_model), float32, of places (...).

    The angles are float64, where the device has it: in float32 those of place 1,000 would be wrong by 6e-5.
    """
    exact = torch.float32 if places.device.type == "mps" else torch.float64
    steps = torch.arange(0, d_model, 2, device=places.device, dtype=exact)
    angles = places[..., None].to(exact) * torch.exp(steps * (-math.log(10000.0) / d_model))
    if is_exporting():  # runtimes have sines of float32 alone: what is left after whole turns is exact enough in it
        angles = (angles - math.tau * (angles / math.tau).floor()).float()
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2).float()
