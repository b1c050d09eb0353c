"""How much the loss of a model hangs on each head of its attentions."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from seq2seq.data.batching import Batch
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder
from seq2seq.pruning.masks import mask_heads, multihead_attentions

ROWS = 1024
"""Target tokens whose logits are at hand at once."""


@torch.inference_mode(False)  # in which a caller may be, and where there is no gradient
def head_importance(model: EncoderDecoder, batches: Iterable[Batch]) -> dict[str, Tensor]:
    """Return I_h = E |∂L(x, y) / ∂ξ_h| of all heads, (heads,) by attention (Michel et al. 2019, eq. 2).

    ξ_h multiplies the head's context (`mask_heads`) and is 1; L = -log p(y | x) of a whole sentence pair, in nats; the
    mean is over the pairs.

    Args:
        model: in evaluation mode.
        batches: of pairs, on any device.

    Raises:
        UserError: there are no pairs, or a gradient is not finite.
    """
    attentions = multihead_attentions(model)
    device = next(model.parameters()).device
    sums = {name: torch.zeros(a.num_heads, dtype=torch.float64) for name, a in attentions.items()}
    pairs = 0
    for batch in batches:
        batch = batch.to(device)
        size = len(batch.source)
        # A number for each pair: then one backward pass gives each pair's own gradient.
        masks = {name: torch.ones(size, a.num_heads, device=device) for name, a in attentions.items()}
        watched = mask_heads(model, {name: x.requires_grad_() for name, x in masks.items()})
        # cuDNN's recurrent layers, of a decoder above such an encoder, have no backward pass in evaluation mode.
        with torch.enable_grad(), watched, torch.backends.cudnn.flags(enabled=False):
            features = _features(model, batch)
            slopes = torch.autograd.grad(features, list(masks.values()), _slope_of_loss(model, features, batch))
        for name, slope in zip(masks, slopes, strict=True):
            sums[name] += slope.abs().sum(0).double().cpu()
        pairs += size
    if not pairs:
        raise UserError("there are no sentence pairs to measure the importance of heads on")
    for name, total in sums.items():
        if not total.isfinite().all():
            raise UserError(f"the gradient of {name} is not finite, so its heads have no importance; see its weights")
    return {name: total / pairs for name, total in sums.items()}


def normalized(importance: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the importance of an attention's heads over their l2 norm, as Michel et al. (2019, 4.1) compare layers."""
    return {name: values / values.norm().clamp(min=1e-30) for name, values in importance.items()}


@torch.no_grad()
def forced_loss(model: EncoderDecoder, batches: Iterable[Batch]) -> float:
    """Return -log p a target token, in nats, of the references: the mean over all tokens of all pairs."""
    device = next(model.parameters()).device
    total, tokens = 0.0, 0
    for batch in batches:
        batch = batch.to(device)
        features = _features(model, batch)
        for rows, wanted in zip(features.split(ROWS), batch.target_output.split(ROWS), strict=True):
            total += F.cross_entropy(model.output(rows).float(), wanted, reduction="sum").item()
        tokens += len(batch.target_output)
    return total / max(tokens, 1)


def _features(model: EncoderDecoder, batch: Batch) -> Tensor:
    return model.features(
        batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
    )


def _slope_of_loss(model: EncoderDecoder, features: Tensor, batch: Batch) -> Tensor:
    """Return the gradient of the loss, summed over tokens, by the features; logits of all at once would be large."""
    found = []
    for rows, wanted in zip(features.detach().split(ROWS), batch.target_output.split(ROWS), strict=True):
        rows.requires_grad_()
        loss = F.cross_entropy(model.output(rows).float(), wanted, reduction="sum")
        found += torch.autograd.grad(loss, rows)
    return torch.cat(found)
