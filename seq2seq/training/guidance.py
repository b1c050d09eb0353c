"""Guided alignment: a loss that trains one cross-attention head on given word links (Garg et al. 2019)."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.alignment.shares import shares
from seq2seq.errors import UserError
from seq2seq.models.encoder_decoder import cross_attentions

EPSILON = 1e-6  # keeps the logarithm of a share of exactly 0 finite: of a sparse normaliser, or a weight below 0


class Guidance(NamedTuple):
    """Which head is trained on the links, and how much that counts."""

    name: str  # of the attention module
    head: int
    weight: float  # of the loss, beside a translation loss of weight 1
    row: str = "output"  # as `Reading`: whether a word's row is that of the step that predicts it or that reads it

    def loss(self, record: Mapping[str, Tensor], link_weights: Tensor) -> Tensor:
        """Return the cross-entropy of the head's shares against the links, summed over target tokens (4.2, eq. 2).

        With what goes nowhere, shares (`shares`) sum to one. So a link costs the same whether the rest of its row goes
        to other words or nowhere, and a row that sums to more than one gains nothing by that. A link whose weight is
        below 0 has a share of 0, which pulls at nothing: there the weight itself pulls.

        Args:
            record: weights (batch, heads, target, source), with gradients.
            link_weights: `Batch.link_weights`; a row of zeros asks for nothing.
        """
        weights = record[self.name][:, self.head]
        if self.row == "input":  # the step after; no link is lost, since the end has none
            link_weights = F.pad(link_weights, (0, 0, 1, 0))[:, :-1]
        return -(link_weights * ((shares(weights) + EPSILON).log() + weights.clamp(max=0))).sum()


def guide(model: nn.Module, *, weight: float, layer: int | None, head: int, row: str = "output") -> Guidance | None:
    """Return the guidance of a layer of cross-attention; None where the weight is 0.

    Args:
        model: an encoder-decoder.
        weight: of the loss; 0.05 in the paper.
        layer: from 0; None is the last but one, as in the paper, or the only one.
        head: from 0.
        row: where a word is guided, as `Reading`. Weights are what is trained, also where norms are read.

    Raises:
        UserError: the model has no such head.
    """
    if weight < 0:
        raise UserError(f"training.guided_alignment.weight={weight} must be 0 (off) or above, such as 0.05")
    if weight == 0:
        return None
    names = cross_attentions(model)
    if not names:
        raise UserError("training.guided_alignment needs cross-attention, which this model has not")
    layer = max(len(names) - 2, 0) if layer is None else layer
    if not 0 <= layer < len(names):
        raise UserError(f"training.guided_alignment.layer={layer}: the model has layers 0 to {len(names) - 1}")
    heads = getattr(model.get_submodule(names[layer].rpartition(".")[0]), "num_heads", 1)
    if not 0 <= head < heads:
        raise UserError(f"training.guided_alignment.head={head}: layer {layer} has heads 0 to {heads - 1}")
    return Guidance(names[layer], head, weight, row)
