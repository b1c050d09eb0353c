"""Coverage: a loss that punishes a model for looking at the same source word again (See et al. 2017, section 2.3)."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from seq2seq.errors import UserError
from seq2seq.models.encoder_decoder import cross_attentions


class CoverageLoss(NamedTuple):
    """Whose weights count, and how much."""

    names: tuple[str, ...]  # of all attention modules that look at the source
    weight: float  # of the loss, beside a translation loss of weight 1

    def loss(self, record: Mapping[str, Tensor], target_indices: Tensor) -> Tensor:
        """Return Σ_j min(a_tj, Σ_{t' < t} a_t'j), summed over real target tokens (eq. 12).

        A layer's weights are the mean over its heads, which may divide the source among them; of several layers the
        loss is the mean.

        Args:
            record: weights (batch, heads, target, source), with gradients; padding of the source has none.
            target_indices: `Batch.target_indices`.
        """
        layers = [record[name].mean(1).clamp(min=0) for name in self.names]
        losses = [weights.minimum(weights.cumsum(1) - weights).sum(-1).flatten() for weights in layers]
        return sum(losses[1:], losses[0]).index_select(0, target_indices).sum() / len(losses)


def cover(model: nn.Module, *, weight: float) -> CoverageLoss | None:
    """Return the coverage loss of an encoder-decoder; None where its weight is 0.

    Raises:
        UserError: the weight cannot be, or the model has no cross-attention.
    """
    if not 0 <= weight < math.inf:
        raise UserError(f"training.coverage.weight={weight} must be 0 (off) or above, such as 1")
    if weight == 0:
        return None
    names = cross_attentions(model)
    if not names:
        raise UserError("training.coverage needs cross-attention, which this model has not; leave it out")
    return CoverageLoss(tuple(names), weight)
