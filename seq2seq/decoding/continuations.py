"""The best continuations of a beam: the largest of very many sums, without a look at each of them alone."""

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 128
"""Neighbours in the vocabulary whose largest stands for them: some times as many as a CPU compares at once."""


def best_continuations(totals: Tensor, log_probabilities: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the k largest totals[i] + log_probabilities[i, token] of each sentence, with i and the token of each.

    All three are tensors (live, found), best first: k are found, or fewer where there are not so many sums.

    Args:
        totals: of the hypotheses (live, beam).
        log_probabilities: of what may come next (live, beam, vocab).
        k: how many.
    """
    (_, beam, vocab), device = log_probabilities.shape, log_probabilities.device
    blocks = vocab // BLOCK
    # A GPU looks at all sums at once; where there are few, they are no work.
    if device.type != "cpu" or beam * blocks < 2 * k:
        best, tokens = log_probabilities.topk(min(k, vocab))
        sums = (totals[..., None] + best).flatten(1)
        best_sums, chosen = sums.topk(min(k, sums.shape[1]))
        return best_sums, chosen // best.shape[-1], tokens.flatten(1).gather(1, chosen)
    # All stand in the k blocks with the largest maxima: before any other block there are k sums that are larger. To
    # find a maximum a CPU compares many numbers at once, and `topk` one after another.
    in_blocks = log_probabilities[..., : blocks * BLOCK].unflatten(-1, (blocks, BLOCK))
    largest = totals[..., None] + in_blocks.amax(-1)
    near = largest.flatten(1).topk(k).indices
    parents, block = near // blocks, near % blocks
    # Beside them, of each hypothesis, what is left of the vocabulary.
    rest = F.pad(log_probabilities[..., blocks * BLOCK :], (0, BLOCK - vocab % BLOCK), value=-torch.inf)
    live = len(totals)
    sentences, beams = torch.arange(live, device=device)[:, None], torch.arange(beam, device=device)
    candidates = torch.cat((in_blocks[sentences, parents, block], rest), dim=1)  # (live, k + beam, BLOCK)
    parents = torch.cat((parents, beams.expand(live, -1)), dim=1)
    starts = BLOCK * torch.cat((block, torch.full_like(rest[..., 0], blocks, dtype=torch.int64)), dim=1)
    best_sums, chosen = (totals.gather(1, parents)[..., None] + candidates).flatten(1).topk(k)
    row = chosen // BLOCK
    tokens = starts.gather(1, row) + chosen % BLOCK
    return best_sums, parents.gather(1, row), tokens.clamp(max=vocab - 1)  # beyond it is nothing that is possible
