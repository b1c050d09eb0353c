"""What an attention head does: how sharp it is and where it rests, from its weights."""

import unicodedata
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.alignment.shares import nowhere, shares

SPECIAL = ("<s>", "</s>")
SATURATED = 0.99


class HeadStatistics(NamedTuple):
    """Means over the rows of shares (`shares`); nowhere counts as a key of rows that give something to no key."""

    entropy: Tensor  # nats: 0 where one key has all, log(keys) where all are equal
    normalized_entropy: Tensor  # 0-1: entropy over log(number of keys that are seen); 0 where one is
    saturation: Tensor  # share 0-1 of rows in which one key, not nowhere, has at least 0.99
    sink_mass: Tensor  # weight 0-1 on begin and end of sentence and on punctuation
    nowhere: Tensor  # weight 0-1 on no key
    previous: Tensor  # weight 0-1 on the key before the diagonal's
    diagonal: Tensor  # weight 0-1 on the key at the same relative place: in self-attention, on the query itself
    next: Tensor  # weight 0-1 on the key after the diagonal's


def head_statistics(
    weights: Tensor, visible_mask: Tensor, sink_mask: Tensor, *, seen: Tensor | None = None
) -> tuple[HeadStatistics, Tensor]:
    """Return the sums of the statistics over the rows of each sentence and head, `(...)`, and the number of rows.

    Sums, so that those of many batches can be added before they are divided.

    Args:
        weights: `(..., query, key)`, made shares here.
        visible_mask: True where a query may see a key, False in all of a padded row; broadcastable to the weights.
        sink_mask: True where a key is a sink (`is_sink`), broadcastable to `(..., key)`.
        seen: what the attention's pattern shows of it, broadcastable to the weights; None: all. A row that sees nothing
            under its pattern counts: it gives all to nowhere.
    """
    visible = visible_mask.expand(weights.shape)
    real = visible.any(-1)
    weights = shares(weights)
    rest = nowhere(weights)
    entropy = torch.special.entr(weights).sum(-1) + torch.special.entr(rest)
    keys = (visible if seen is None else visible & seen).sum(-1)
    largest = (keys + (rest > 0)).clamp(min=1).to(weights.dtype).log()
    rows = HeadStatistics(
        entropy=entropy,
        normalized_entropy=entropy / largest.where(largest > 0, 1),
        saturation=(weights.amax(-1) >= SATURATED).to(weights.dtype),
        sink_mass=(weights * sink_mask.unsqueeze(-2)).sum(-1),
        nowhere=rest,
        previous=_beside_diagonal(weights, visible, -1),
        diagonal=_beside_diagonal(weights, visible, 0),
        next=_beside_diagonal(weights, visible, 1),
    )
    return HeadStatistics(*(values.where(real, 0).sum(-1) for values in rows)), real.sum(-1)


def is_sink(label: str) -> bool:
    """Return whether a word or piece says nothing of its own: begin or end of sentence, or all punctuation."""
    characters = label.lstrip("▁")
    return label in SPECIAL or (
        characters != "" and all(unicodedata.category(character).startswith("P") for character in characters)
    )


def _beside_diagonal(weights: Tensor, visible: Tensor, offset: int) -> Tensor:
    """Return the weight of each row on the diagonal's key plus offset, `(..., query)`; 0 where there is no such key.

    The diagonal runs from corner to corner of what is not padding.
    """
    keys = visible.any(-2).sum(-1, keepdim=True)
    rows = visible.any(-1).sum(-1, keepdim=True)
    position = torch.arange(weights.shape[-2], device=weights.device)
    key = (2 * position + 1) * keys // (2 * rows).clamp(min=1) + offset
    inside = (key >= 0) & (key < keys)
    return weights.gather(-1, key.clamp(0, weights.shape[-1] - 1).unsqueeze(-1)).squeeze(-1).where(inside, 0)
