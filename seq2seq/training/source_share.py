"""How much the source counts, against the words said before, at each place of a target, while a model trains."""

import logging

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from seq2seq.attribution.forced import reading, table_of
from seq2seq.data.batching import Batch
from seq2seq.errors import UserError
from seq2seq.evaluation.evaluator import PLACES
from seq2seq.evaluation.metrics import range_names
from seq2seq.models import EncoderDecoder
from seq2seq.training.attached import first_batch
from seq2seq.training.module import TranslationModule

log = logging.getLogger(__name__)

SHARE = "val/source_share"
"""What the tags of these figures begin with."""


class SourceShare(Callback):
    """Logs at every validation the source's share by place in the target, and over all places.

    Args:
        sentences: of the validation set, as many as fit one batch; the first ones.
    """

    def __init__(self, *, sentences: int) -> None:
        self.sentences = sentences

    def on_validation_epoch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Run the first sentences forward once, backward once a place, and log."""
        assert isinstance(module, TranslationModule)
        try:
            shares = source_shares(module.model, first_batch(trainer, self.sentences, module.device))
        except UserError as error:  # a part of the user's own
            log.warning("no %s: %s", SHARE, error)
            return
        module.log(SHARE, float(shares.nanmean()))
        place = torch.bucketize(torch.arange(shares.shape[1]), torch.tensor(PLACES), right=True)
        for i, name in enumerate(range_names(PLACES)):
            here = shares[:, place == i]
            if here.isfinite().any():
                module.log(f"{SHARE}/{name}", float(here.nanmean()))


def source_shares(model: EncoderDecoder, batch: Batch) -> Tensor:
    """Return the source's share at each place, 0-1 (batch, target) on the CPU; NaN where a sentence has ended.

        share_t = S_t / (S_t + P_t),   S_t = Σ_j ‖x_j‖ ‖∂ log p(y_t) / ∂x_j‖ over the source, P_t over the words before

    What a change of each embedding x_j in its worst direction, of the size of the embedding, would do. It is the
    size of gradient x input, but for the cosine between the two: which is near 0 where a norm comes first and forgets
    how long an embedding is. One backward pass a place, for all sentences at once. The model's own gradients and its
    mode stay as they were.

    Raises:
        UserError: the model has no table of embeddings where ours have it.
    """
    tables = table_of(model.encoder), table_of(model.decoder)
    was_training = model.training
    model.eval()
    # A GPU's own recurrences have no gradients in evaluation mode.
    plain = torch.backends.cudnn.flags(enabled=False)
    with plain, torch.inference_mode(False), torch.enable_grad(), torch.compiler.set_stance("force_eager"):
        batch = batch.map(torch.clone)  # tensors of inference mode cannot be saved for a backward pass
        inputs = [
            table(ids).detach().requires_grad_()
            for table, ids in zip(tables, (batch.source, batch.target_input), strict=True)
        ]
        with reading(tables[0], inputs[0]):
            state = model.begin(batch.source, batch.source_mask, batch.source_lengths)
        with reading(tables[1], inputs[1]):
            features = model.decoder(batch.target_input, state)
        features = features.flatten(0, 1).index_select(0, batch.target_indices)
        logs = model.output(features).float().log_softmax(-1).gather(1, batch.target_output[:, None]).squeeze(1)
        places = batch.target_indices % batch.target_input.shape[1]
        shares = []
        for place in range(batch.target_input.shape[1]):
            total = logs[places == place].sum()
            slopes = torch.autograd.grad(total, inputs, retain_graph=True, materialize_grads=True)
            source, prefix = (
                (slope.norm(dim=-1) * x.norm(dim=-1)).sum(-1) for slope, x in zip(slopes, inputs, strict=True)
            )
            share = source / (source + prefix)
            shares.append(share.masked_fill(batch.target_lengths <= place, torch.nan))
    model.train(was_training)
    return torch.stack(shares, dim=1).detach().cpu()
