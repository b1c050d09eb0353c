"""What the alignment error rate is made of, counted head by head."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.alignment.links import AlignmentScore


class LinkCounts(NamedTuple):
    """What the alignment error rate is made of."""

    sure: int
    links: int
    sure_hits: int
    possible_hits: int


def mask_of(links: Iterable[tuple[int, int]], num_target: int, num_source: int) -> Tensor:
    """Return gold links as (target words, source words); links beyond a cut sentence are beyond the mask."""
    mask = torch.zeros(num_target, num_source, dtype=torch.bool)
    for source, target in links:
        if source < num_source and target < num_target:
            mask[target, source] = True
    return mask


def count_links(links: Tensor, gold: list[Tensor], num_sure: int) -> Tensor:
    """Return (heads, 4): sure links, links found, and found among the sure and the possible ones."""
    found = [links, *(links & mask for mask in gold)]
    counts = torch.stack([mask.sum((-2, -1)) for mask in found], dim=-1)
    return torch.cat((counts.new_full((len(counts), 1), num_sure), counts), dim=-1)


def score_of(counts: Tensor) -> AlignmentScore:
    """Return the score of such counts, (4,)."""
    return AlignmentScore.of(**LinkCounts(*counts.tolist())._asdict())
