"""From subwords to words: attention weights between words, and the word links they imply."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq.alignment.links import Link

MUTUAL_ROUNDS = 3
TINY = 1e-9


def merge_words(weights: Tensor, source_words: Sequence[int], target_words: Sequence[int]) -> Tensor:
    """Return weights between words, `(..., target words + 1, source words + 1)`; rows that summed to 1 still do.

    A word's row is the mean of its target pieces' rows; its column is the sum of its source pieces' columns.
    The last row and column belong to the end of the sentence, which stays a word of its own.
    A word without pieces, such as one that normalisation removed, gets zeros.

    Args:
        weights: `(..., target pieces + 1, source pieces + 1)`.
        source_words: for every source piece, without the end of the sentence, the index of its word.
        target_words: the same for the target.
    """
    expected = (len(target_words) + 1, len(source_words) + 1)
    if weights.shape[-2:] != expected:
        raise ValueError(
            f"weights of shape {tuple(weights.shape)} do not end in {expected}, pieces and end of sentence"
        )
    source, target = _with_end(source_words, weights), _with_end(target_words, weights)
    num_source, num_target = int(source[-1]) + 1, int(target[-1]) + 1
    columns = weights.new_zeros(*weights.shape[:-1], num_source).index_add(-1, source, weights)
    rows = weights.new_zeros(*weights.shape[:-2], num_target, num_source).index_add(-2, target, columns)
    pieces = torch.bincount(target, minlength=num_target).clamp(min=1)
    return rows / pieces.unsqueeze(-1)


def _with_end(words: Sequence[int], weights: Tensor) -> Tensor:
    """Return the word indices with the end of the sentence as one more word, on the device of the weights."""
    return torch.tensor([*words, max(words, default=-1) + 1], device=weights.device)


def argmax_links(word_weights: Tensor) -> set[Link]:
    """Return for each target word the (source, target) link to its heaviest source word.

    A target word whose heaviest column is the end of the sentence, or whose row is all zeros, stays unlinked.

    Args:
        word_weights: `(target words + 1, source words + 1)`, the end of the sentence last, as from `merge_words`.
    """
    largest, sources = word_weights[:-1].max(dim=-1)
    end = word_weights.shape[-1] - 1
    return {
        (source, target)
        for target, (source, weight) in enumerate(zip(sources.tolist(), largest.tolist(), strict=True))
        if source != end and weight > 0
    }


def mutual_links(word_weights: Tensor) -> set[Link]:
    """Return for each target word the (source, target) link to the source word that is most its own.

    The heaviest column after columns and rows were normalised in turn (Sinkhorn & Knopp 1967): a source word at which
    another target word looks harder loses. What a decoder needs not look at, such as a full stop that its state already
    promises, is so not linked to where its idle weight happens to lie. The end of the sentence is treated alike.

    Args:
        word_weights: as for `argmax_links`.
    """
    for _ in range(MUTUAL_ROUNDS):
        word_weights = word_weights / word_weights.sum(-2, keepdim=True).clamp(min=TINY)
        word_weights = word_weights / word_weights.sum(-1, keepdim=True).clamp(min=TINY)
    return argmax_links(word_weights)


def diagonal_links(num_source: int, num_target: int) -> set[Link]:
    """Return the baseline that looks at no weights: each target word linked to the source word at the same place."""
    if num_source == 0:
        return set()
    return {((2 * target + 1) * num_source // (2 * num_target), target) for target in range(num_target)}
