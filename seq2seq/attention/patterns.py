"""Patterns: which keys a query may see by where both stand. Places count from 0, each in its own sentence."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.attention.masks import combine_masks
from seq2seq.errors import UserError


class Sight(NamedTuple):
    """What a query sees."""

    mask: Tensor | None  # bool, broadcastable to (..., query, key); None: everything
    factor: Tensor | None = None  # 0-1, broadcastable to the weights, which it multiplies; None: nothing


class Pattern(nn.Module):
    """Who sees whom. A new one is a subclass with `visible`, and a YAML in configs/pattern/.

    Args:
        d_query: size of a query.
        num_heads: heads, inside multi-head attention.
    """

    hides = True
    """Whether it hides anything."""

    moves = False
    """Whether equal scores may get unequal weights."""

    row_sum = "one"
    """What its factors leave of a row's sum: `one`, or `at most one`."""

    def __init__(self, d_query: int, *, num_heads: int | None = None) -> None:
        super().__init__()

    def visible(self, places: Tensor, keys: Tensor) -> Tensor:
        """Return which keys are seen, bool (query, key), of places (query, 1) and key places (key,)."""
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
    """Keys at most `width` places away (Longformer, Beltagy et al. 2020; in cross-attention Luong's local-m, 2015)."""

    def __init__(self, d_query: int, *, num_heads: int | None = None, width: int = 4) -> None:
        super().__init__(d_query, num_heads=num_heads)
        if width < 0:
            raise UserError(f"a window of width={width} sees nothing; use 0 (the place itself) or more")
        self.width = width

    def visible(self, places: Tensor, keys: Tensor) -> Tensor:
        """Return the keys near by."""
        return (places - keys).abs() <= self.width
