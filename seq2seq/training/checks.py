"""The invariants of attention on a model that is being trained: what a falling loss does not show."""

from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from seq2seq.attention.invariants import (
    InvariantError,
    check_model,
    hidden_inputs_change_nothing,
    later_inputs_change_nothing,
)
from seq2seq.data.batching import Batch, collate
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder
from seq2seq.models.encoder_decoder import site_of
from seq2seq.training.module import TranslationModule


class AttentionChecks(Callback):
    """Stops the training where an invariant of attention does not hold on a training batch.

    The message names step, layer, invariant and likely cause, such as a softmax over the wrong axis or a mask that
    broadcasts wrongly, both of which train without a word.

    Args:
        every_n_steps: how often to check, the first step included; 0 is never.
    """

    def __init__(self, *, every_n_steps: int) -> None:
        if every_n_steps < 0:
            raise UserError(f"callbacks.checks.every_n_steps={every_n_steps}: use 0 (never), 1 (always) or more")
        self.every_n_steps = every_n_steps

    def on_train_batch_start(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: Batch, _: int
    ) -> None:
        """Check before the step is made."""
        assert isinstance(module, TranslationModule)
        if self.every_n_steps and trainer.global_step % self.every_n_steps == 0:
            try:
                check_batch(module.model, batch)
            except InvariantError as error:
                raise UserError(f"step {trainer.global_step}: {error} (checked by callbacks.checks)") from error


@torch.no_grad()
def check_batch(model: EncoderDecoder, batch: Batch) -> None:
    """Check all invariants of all attention in a model on a batch; its random state and mode stay as they were.

    What may be seen is taken from the lengths of the sentences, not from the masks that the model made of them. Batches
    of like lengths hide little, so every second source is cut to half before.

    Raises:
        InvariantError: naming the layer.
    """
    batch = _ragged(batch)
    source_mask = batch.source_mask[:, None, None, :]
    size = batch.target_input.shape[1]
    causal = torch.ones(size, size, dtype=torch.bool, device=batch.source.device).tril()[None, None]

    def logits(source: Tensor, target: Tensor) -> Tensor:
        return model(source, batch.source_mask, batch.source_lengths, target, batch.target_indices)

    def visible(name: str) -> Tensor:
        return causal if site_of(name).kind == "decoder" else source_mask

    check_model(model, lambda: logits(batch.source, batch.target_input), visible)

    was_training = model.training
    model.eval()
    try:
        _check("encoder", hidden_inputs_change_nothing, lambda source: logits(source, batch.target_input),
               batch.source, batch.source_mask, _others(batch.source))  # fmt: skip
        _check("decoder", later_inputs_change_nothing, lambda target: _by_position(logits(batch.source, target), batch),
               batch.target_input, _others(batch.target_input), size // 2)  # fmt: skip
    finally:
        model.train(was_training)


def _check(side: str, invariant: Any, *arguments: Any) -> None:
    try:
        invariant(*arguments)
    except InvariantError as error:
        raise InvariantError(f"{side}: {error}") from None


def _ragged(batch: Batch) -> Batch:
    """Return the batch with every second source cut to half; a lone pair is joined by its own half."""
    sources = [row[: n - 1].tolist() for row, n in zip(batch.source, batch.source_lengths.tolist(), strict=True)]
    targets = [row[1:n].tolist() for row, n in zip(batch.target_input, batch.target_lengths.tolist(), strict=True)]
    examples = list(zip(sources, targets, range(len(sources)), strict=True))
    if len(examples) == 1:
        examples *= 2
    cut = [
        (source[: len(source) // 2] if i % 2 else source, target, n) for i, (source, target, n) in enumerate(examples)
    ]
    return collate(cut).to(batch.source.device)


def _others(tokens: Tensor) -> Tensor:
    """Return token ids that differ from these almost everywhere."""
    return tokens.max() - tokens


def _by_position(logits: Tensor, batch: Batch) -> Tensor:
    """Return logits of real target tokens as (batch, target, vocab), zeros at padding."""
    whole = logits.new_zeros(batch.target_input.numel(), logits.shape[-1])
    return whole.index_copy(0, batch.target_indices, logits).view(*batch.target_input.shape, -1)
