"""How much gradient comes through an attention's scores: what vanishes when a softmax saturates."""

from collections.abc import Iterator
from contextlib import contextmanager

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from seq2seq.attention import Attention, record_attention
from seq2seq.data.batching import Batch
from seq2seq.models import EncoderDecoder
from seq2seq.models.encoder_decoder import site_of
from seq2seq.training.attached import first_batch
from seq2seq.training.loss import token_loss
from seq2seq.training.module import TranslationModule

GRADIENTS = "attention/score_gradient"
"""What the tags of these figures begin with."""


class ScoreGradients(Callback):
    """Logs at every validation, for each layer, the norm of the loss's gradient at a row of scores.

    Of a softmax with weights A the gradient at a score is A (1 - A) at most, so a saturated row lets none through
    (Vaswani et al. 2017, 3.2.1). Off by default; `experiment=scaling` shows it with and without the scale.

    Args:
        sentences: of the validation set, as many as fit one batch.
    """

    def __init__(self, *, sentences: int) -> None:
        self.sentences = sentences

    def on_validation_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Run the first sentences forward and backward and log."""
        assert isinstance(module, TranslationModule)
        batch = first_batch(trainer, self.sentences, module.device)
        for name, norm in score_gradients(module.model, batch).items():
            module.log(f"{GRADIENTS}/{site_of(name)}", norm)


def score_gradients(model: EncoderDecoder, batch: Batch) -> dict[str, float]:
    """Return for each attention of a model the mean norm of d loss / d scores over the rows that have any, by name.

    An attention that is frozen with all below it has none.

    The loss is the mean negative log-likelihood of a target token times their number, so that the figure does not
    depend on the size of the batch. The model's own gradients and its mode stay as they were.
    """
    was_training = model.training
    model.eval()
    # A GPU's own recurrences have no gradients in evaluation mode.
    plain = torch.backends.cudnn.flags(enabled=False)
    with plain, torch.inference_mode(False), torch.enable_grad(), record_attention(model), _scores(model) as scores:
        batch = batch.map(torch.clone)  # tensors of inference mode cannot be saved for a backward pass
        features = model.features(
            batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
        )
        weight, bias = model.output.weight, model.output.bias
        loss = token_loss(features, weight, batch.target_output, bias=bias, label_smoothing=0.0).objective
        # Below what learns there may be frozen parts, through which nothing has to come.
        calls = [(name, call) for name, made in scores.items() for call in made if call.requires_grad]
        gradients = torch.autograd.grad(loss, [call for _, call in calls]) if calls else ()
    model.train(was_training)
    norms: dict[str, list[Tensor]] = {name: [] for name, _ in calls}
    for (name, _), gradient in zip(calls, gradients, strict=True):
        norms[name].append(gradient.norm(dim=-1).flatten())
    return {name: _mean_of_nonzero(torch.cat(found)) for name, found in norms.items()}


@contextmanager
def _scores(model: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Yield the scores (..., query, key) of every call of every attention, by the attention's name."""
    found: dict[str, list[Tensor]] = {}
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, Attention):
            made = found.setdefault(name, [])
            handles.append(module.score.register_forward_hook(lambda _, __, scores, made=made: made.append(scores)))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _mean_of_nonzero(norms: Tensor) -> float:
    """Return the mean over rows that any loss depends on; padded ones have a gradient of exactly 0."""
    return (norms.sum() / (norms > 0).sum().clamp(min=1)).item()
