"""From subwords to words: attention weights between words, and the word links they imply."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seq2seq.alignment.links import Link
from seq2seq.alignment.shares import nowhere_to_end, shares

LinkExtraction = Callable[[Tensor], Tensor]
"""From word weights `(..., target words + 1, source words + 1)`, the end of the sentence last, to links as a bool
Tensor `(..., target words, source words)`. The end of the sentence is never linked. The weights are from `word_shares`:
their end of the sentence also has what goes nowhere."""

TINY = 1e-9
LEAST_COLUMN = 0.2  # a source word at which nobody looks is not all of whoever glances at it
LEAST_SQUARES = 0.05  # the same of squares, which are smaller


def merge_pieces(weights: Tensor, query_words: Sequence[int], key_words: Sequence[int]) -> Tensor:
    """Return weights between words, `(..., query words, key words)`; rows that summed to 1 still do.

    A word's row is the mean of its pieces' rows; its column is the sum of its pieces' columns.
    A word without pieces, such as one that normalisation removed, gets zeros.

    Args:
        weights: `(..., query pieces, key pieces)`.
        query_words: for every row, the index of its word.
        key_words: for every column, the index of its word.

    Raises:
        ValueError: when there is not one index for each row and column.
    """
    expected = (len(query_words), len(key_words))
    if weights.shape[-2:] != expected:
        raise ValueError(f"weights of shape {tuple(weights.shape)} do not end in {expected}, one index a piece")
    query = torch.tensor(query_words, device=weights.device)
    key = torch.tensor(key_words, device=weights.device)
    num_query, num_key = max(query_words) + 1, max(key_words) + 1
    columns = weights.new_zeros(*weights.shape[:-1], num_key).index_add(-1, key, weights)
    rows = weights.new_zeros(*weights.shape[:-2], num_query, num_key).index_add(-2, query, columns)
    pieces = torch.bincount(query, minlength=num_query).clamp(min=1)
    return rows / pieces.unsqueeze(-1)


def word_shares(weights: Tensor, query_words: Sequence[int], key_words: Sequence[int]) -> Tensor:
    """Return what links are read from: shares (`shares`) between words, and nowhere joined to the last, the end.

    Arguments as for `merge_pieces`, of weights as they are.
    """
    return merge_pieces(nowhere_to_end(shares(weights)), query_words, key_words)


def argmax_links(word_weights: Tensor) -> Tensor:
    """Return for each target word the link to its heaviest source word.

    A target word whose heaviest column is the end of the sentence, or whose row is all zeros, stays unlinked.
    """
    largest, sources = word_weights[..., :-1, :].max(dim=-1, keepdim=True)
    links = torch.zeros_like(word_weights[..., :-1, :], dtype=torch.bool).scatter(-1, sources, largest > 0)
    return links[..., :-1]


def threshold_links(word_weights: Tensor, *, threshold: float) -> Tensor:
    """Return a link wherever a target word puts at least `threshold` of its weight on a source word."""
    return word_weights[..., :-1, :-1] >= threshold


def intersection_links(word_weights: Tensor) -> Tensor:
    """Return the links on which both directions agree: each is the heaviest of its row and of its column.

    A source word's column includes the target's end of the sentence, to which it may so belong. Precise, few links.
    """
    return argmax_links(word_weights) & argmax_links(word_weights.mT).mT


def mutual_links(word_weights: Tensor, *, threshold: float = 0.35) -> Tensor:
    """Return a link wherever a source word is at least `threshold` of what a target word has for its own.

    Each source word's column is shared out among the target words that look at it, and then each row among its source
    words (one round of Sinkhorn & Knopp 1967): a source word at which another target word looks harder loses. What a
    decoder needs not look at, such as a full stop that its state already promises, is so not linked to where its idle
    weight happens to lie; and a compound keeps the two or three words that it stands for. The ends keep out of it: that
    of the target is no rival, and that of the source is the place of words that look nowhere.
    """
    words, end = word_weights[..., :-1, :-1], word_weights[..., :-1, -1:]
    own = torch.cat((words / words.sum(-2, keepdim=True).clamp(min=LEAST_COLUMN), end), dim=-1)
    return (own / own.sum(-1, keepdim=True).clamp(min=TINY))[..., :-1] >= threshold


def balanced_links(word_weights: Tensor, *, threshold: float = 0.45) -> Tensor:
    """Return a link wherever source and target word are, in the geometric mean, `threshold` of what the other has.

    As `mutual_links`, of the squares of the weights, in which what is glanced at counts less. Then the share is taken
    both ways, sqrt(row · column): of what the target word has for its own, and of what the source word has. So a full
    stop that belongs to another target word is not linked to where idle weight lies. On the grammar a third of the
    false links remain, and no more links are missed.
    """
    squares = word_weights[..., :-1, :].square()
    words, end = squares[..., :-1], squares[..., -1:]
    own = torch.cat((words / words.sum(-2, keepdim=True).clamp(min=LEAST_SQUARES), end), dim=-1)
    row = (own / own.sum(-1, keepdim=True).clamp(min=TINY))[..., :-1]
    column = row / row.sum(-2, keepdim=True).clamp(min=LEAST_SQUARES)
    return (row * column).sqrt() >= threshold


def link_pairs(links: Tensor) -> set[Link]:
    """Return the (source, target) pairs of links `(target words, source words)`, as from a `LinkExtraction`."""
    return {(source, target) for target, source in links.nonzero().tolist()}


def agreement(word_weights: Tensor) -> Tensor:
    """Return how well the two directions agree, 0-1 `(...)`: Dice's coefficient of row-wise and column-wise links.

    What chooses the alignment where there are no gold links.
    """
    forward, reverse = argmax_links(word_weights), argmax_links(word_weights.mT).mT
    both = (forward & reverse).sum((-2, -1))
    return 2 * both / (forward.sum((-2, -1)) + reverse.sum((-2, -1))).clamp(min=1)


def diagonal_links(num_source: int, num_target: int) -> set[Link]:
    """Return the baseline that looks at no weights: each target word linked to the source word at the same place."""
    if num_source == 0:
        return set()
    return {((2 * target + 1) * num_source // (2 * num_target), target) for target in range(num_target)}
