"""Positions: where tokens stand, told to a stack of layers. Places count from 0 in each sentence."""

import math

import torch
from torch import Tensor, nn

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

    limit: int | None = None
    """How many places there are; None: any number."""

    def __init__(self, d_model: int, *, d_head: int = 0, num_heads: int = 1, two_sided: bool = True) -> None:
        super().__init__()
        self.d_model = d_model
        self.d_head = d_head
        self.num_heads = num_heads
        self.two_sided = two_sided

    def embed(self, x: Tensor, places: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return embeddings x (batch, length, d_model) that know their places (length,).

        Args:
            x: of the tokens.
            places: of the tokens.
            lengths: (batch,) of the sentences; None in a decoder, which does not know them.
        """
        return x

    def turn(self, x: Tensor, places: Tensor) -> Tensor:
        """Return queries or keys x (batch, heads, length, d) turned by their places (length,)."""
        return x

    def bias(self, query: Tensor, places: Tensor, num_keys: int) -> Tensor | None:
        """Return what joins the scores, broadcastable to (batch, heads, query, key), float32; None for nothing.

        Args:
            query: (batch, heads, query, d_head).
            places: of the queries, (query,); keys stand at 0, 1, ...
            num_keys: how many keys there are.
        """
        return None


class NoPositions(Positions):
    """Nothing is told; a causal mask alone lets a decoder count (Haviv et al. 2022)."""


class SinusoidalPositions(Positions):
    """x + PE, PE(p, 2i) = sin(p / 10000^(2i/d)), PE(p, 2i+1) = cos(...) (Vaswani et al. 2017, 3.5). Of any length."""

    def __init__(self, d_model: int, *, d_head: int = 0, num_heads: int = 1, two_sided: bool = True) -> None:
        super().__init__(d_model, d_head=d_head, num_heads=num_heads, two_sided=two_sided)
        if d_model % 2:
            raise UserError(f"sinusoidal positions need an even d_model, not {d_model}")

    def embed(self, x: Tensor, places: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return x (batch, length, d_model) and the waves of its places."""
        return x + waves(places, self.d_model).to(x.dtype)


class LearnedPositions(Positions):
    """x + a learned vector a place, up to max_positions (Gehring et al. 2017, 3.1)."""

    def __init__(
        self,
        d_model: int,
        *,
        d_head: int = 0,
        num_heads: int = 1,
        two_sided: bool = True,
        max_positions: int = 512,
    ) -> None:
        super().__init__(d_model, d_head=d_head, num_heads=num_heads, two_sided=two_sided)
        self.limit = max_positions
        self.weight = nn.Parameter(torch.randn(max_positions, d_model) * d_model**-0.5)

    def embed(self, x: Tensor, places: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return x (batch, length, d_model) and the vectors of its places."""
        return x + self.weight.index_select(0, places)


def waves(places: Tensor, d_model: int) -> Tensor:
    """Return sines and cosines (..., d_model), float32, of places (...)."""
    rates = torch.exp(
        torch.arange(0, d_model, 2, device=places.device, dtype=torch.float32) * (-math.log(10000.0) / d_model)
    )
    angles = places[..., None].float() * rates
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)
