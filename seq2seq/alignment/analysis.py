"""How sharp attention is and how much of it rests on tokens without content, from weights `(..., target, source)`.

Every measure takes the mean over target rows and keeps the leading axes: `(batch, heads, target, source)` gives
`(batch, heads)`. `target_mask`, `(..., target)` and broadcastable as such, leaves padded rows out of the mean.
"""

import unicodedata
from collections.abc import Sequence

import torch
from torch import Tensor

SPECIAL = ("<s>", "</s>")


def row_entropy(weights: Tensor, target_mask: Tensor | None = None) -> Tensor:
    """Return the mean entropy of the rows in nats: 0 where one key has all weight, log(keys) where all are equal."""
    return _mean_over_rows(_entropy(weights), target_mask)


def normalized_entropy(
    weights: Tensor, visible_mask: Tensor | None = None, target_mask: Tensor | None = None
) -> Tensor:
    """Return the mean entropy of the rows divided by log(number of visible keys), 0-1; 0 where one key is visible.

    `visible_mask` is broadcastable to the weights; without it all keys are visible.
    """
    visible = torch.ones_like(weights, dtype=torch.bool) if visible_mask is None else visible_mask
    largest = visible.sum(dim=-1).clamp(min=1).to(weights.dtype).log()
    return _mean_over_rows(_entropy(weights) / largest.where(largest > 0, 1), target_mask)


def saturation(weights: Tensor, threshold: float = 0.99, target_mask: Tensor | None = None) -> Tensor:
    """Return the share of rows, 0-1, in which one key has at least `threshold` of the weight."""
    return _mean_over_rows((weights.amax(dim=-1) >= threshold).to(weights.dtype), target_mask)


def sink_mass(weights: Tensor, sink_mask: Tensor, target_mask: Tensor | None = None) -> Tensor:
    """Return the mean weight, 0-1, that a row puts on the columns of `sink_mask`, `(..., source)`."""
    return _mean_over_rows((weights * sink_mask.unsqueeze(-2)).sum(dim=-1), target_mask)


def is_sink(label: str) -> bool:
    """Return whether a word or piece says nothing of its own: begin or end of sentence, or all punctuation."""
    characters = label.lstrip("▁")
    return label in SPECIAL or (
        characters != "" and all(unicodedata.category(character).startswith("P") for character in characters)
    )


def sink_labels(labels: Sequence[str]) -> list[bool]:
    """Return `is_sink` of every label: the mask of the columns that `sink_mass` adds up."""
    return [is_sink(label) for label in labels]


def _entropy(weights: Tensor) -> Tensor:
    return torch.special.entr(weights).sum(dim=-1)


def _mean_over_rows(values: Tensor, target_mask: Tensor | None) -> Tensor:
    if target_mask is None:
        return values.mean(dim=-1)
    return values.where(target_mask, 0).sum(dim=-1) / target_mask.sum(dim=-1).clamp(min=1)
