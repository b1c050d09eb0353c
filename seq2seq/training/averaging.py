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

    def on_fit_start(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
        """Bring the average to the device of the weights: it was made before they were moved there."""
        assert self._average_model is not None
        self._average_model.to(module.device)

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Make the average of the type that the weights will have, to which Lightning converts them later."""
        super().setup(trainer, pl_module, stage)
        if self._average_model is not None:
            trainer.precision_plugin.convert_module(self._average_model)

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
        torch._foreach_lerp_(_averageable(average.module), _averageable(module), 1 - decay)
        average.n_averaged += 1
        self._latest_update_step = step


def _averageable(module: nn.Module) -> list[Tensor]:
    """Return all weights of a module, and its buffers but for whole numbers, which are constants or counts."""
    return [x for x in chain(module.parameters(), module.buffers()) if x.is_floating_point()]
