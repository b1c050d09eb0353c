"""The mean norm of what heads contribute: a choice of the alignment that needs no links (Kobayashi et al. 2020)."""

import torch
from torch import Tensor

from seq2seq.data.batching import Batch


class MeanNorms:
    """Collects norms of cross-attention over a data set."""

    def __init__(self) -> None:
        self.sums: dict[str, tuple[Tensor, Tensor]] = {}  # by module: of norms (heads,), and of how many

    def add(self, name: str, sizes: Tensor, batch: Batch) -> None:
        """Add the norms (batch, heads, target, source) of a batch, of several heads all together first."""
        positions = torch.arange(batch.target_input.shape[1], device=sizes.device)
        real = (positions < batch.target_lengths[:, None])[:, None, :, None]
        sums = (sizes * (real & batch.source_mask[:, None, None, :])).sum((0, 2, 3)).double().cpu()
        self._add(name, sums, (batch.target_lengths * batch.source_lengths).sum().double().cpu())

    def merge(self, others: dict[str, tuple[Tensor, Tensor]]) -> None:
        """Add the sums that another has collected of other pairs."""
        for name, found in others.items():
            self._add(name, *found)

    def mean(self, name: str, head: int) -> float:
        """Return the mean norm, over target and source tokens, of a head as they are numbered in `add`."""
        sums, tokens = self.sums[name]
        return (sums[head] / tokens).item()

    def largest(self) -> str | None:
        """Return the layer whose heads together have the largest mean norm; None where none were read."""
        return max(self.sums, key=lambda name: self.mean(name, 0), default=None)

    def _add(self, name: str, sums: Tensor, tokens: Tensor) -> None:
        before = self.sums.get(name)
        self.sums[name] = (sums, tokens) if before is None else (before[0] + sums, before[1] + tokens)
