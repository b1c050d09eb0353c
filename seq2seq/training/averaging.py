"""An exponential moving average of the weights, for validation, checkpoints and the final test."""

from itertools import chain
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor, nn

from seq2seq.errors import UserError


class ExponentialMovingAverage(WeightAveraging):
    """Keeps averaged ← d · averaged + (1 - d) · weights after every step, d = min(decay, (1 + step) / (10 + step)).

    The ramp lets the average forget the untrained weights at once, so that early validations show the training.

    Args:
        decay: of the average in the long run; 0.999 averages over about the last 1,000 steps.

    Raises:
        UserError: the decay is not from 0 to below 1.
    """

    def __init__(self, *, decay: float) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"callbacks.ema.decay={decay} must be from 0 to below 1, such as 0.999")
        super().__init__()
        self.decay = decay
        self._exact: list[Tensor] = []
        self._pair: tuple[list[Tensor], list[Tensor]] | None = None  # while training: the average, and what it is of

    def on_fit_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Bring the average to the device of the weights: it was made before they were moved there."""
        assert self._average_model is not None
        self._average_model.to(module.device)
        self._pair = None

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Make the average of the type that the weights will have, to which Lightning converts them later.

        That of weights in half precision is in float32: in theirs, a step of the average is too small to change it.
        """
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None:
            trainer.precision_plugin.convert_module(self._average_model)
            self._average_model.to(torch.promote_types(self._averaged()[0].dtype, torch.float32))

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Return whether Lightning is to update the average by itself: never."""
        return False

    @torch.no_grad()
    def on_train_batch_end(self, trainer: lightning.Trainer, module: lightning.LightningModule, *_: Any) -> None:
        """Update the average after a step of the optimizer.

        PyTorch's own update asks the device each time whether it is the first, and waits for the answer.
        """
        step, average = trainer.global_step, self._average_model
        if step <= self._latest_update_step:
            return  # of the batches that are accumulated, this was not the last
        assert average is not None
        decay = min(self.decay, step / (9 + step)) if self._latest_update_step else 0.0
        if self._pair is None:  # a walk through all modules takes longer than an update
            self._pair = self._averaged(), _averageable(module)
        averaged, weights = self._pair
        alike = [weight.to(tensor.dtype) for tensor, weight in zip(averaged, weights, strict=True)]
        torch._foreach_lerp_(averaged, alike, 1 - decay)
        average.n_averaged += 1
        self._latest_update_step = step

    def on_validation_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Put the average in the place of the weights; where it is rounded there, it is kept as it was."""
        averaged, weights = self._averaged(), _averageable(pl_module)
        if any(tensor.dtype != weight.dtype for tensor, weight in zip(averaged, weights, strict=False)):
            self._exact = [tensor.detach().clone() for tensor in averaged]
        super().on_validation_epoch_start(trainer, pl_module)

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Put the weights back."""
        super().on_validation_epoch_end(trainer, pl_module)
        if self._exact:
            torch._foreach_copy_(self._averaged(), self._exact)
        self._exact = []

    def _averaged(self) -> list[Tensor]:
        """Return the tensors of the average, in the order of the model's; none before training."""
        return [] if self._average_model is None else _averageable(self._average_model.module)


def _averageable(module: nn.Module) -> list[Tensor]:
    """Return all weights of a module, and its buffers but for whole numbers, which are constants or counts."""
    return [x for x in chain(module.parameters(), module.buffers()) if x.is_floating_point()]
