"""An exponential moving average of the weights, for validation, checkpoints and the final test."""

from collections.abc import Sequence
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor

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
        super().__init__(multi_avg_fn=self._average)
        self.decay = decay
        self._step = 0

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Make the average of the type that the weights will have, to which Lightning converts them later."""
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None:
            trainer.precision_plugin.convert_module(self._average_model)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Return whether to update now: after each optimizer step."""
        if step_idx is None:
            return False
        self._step = step_idx
        return True

    def _average(self, averaged: Sequence[Tensor], weights: Sequence[Tensor], _: Any) -> None:
        decay = min(self.decay, (1 + self._step) / (10 + self._step))
        torch._foreach_lerp_(list(averaged), list(weights), 1 - decay)
