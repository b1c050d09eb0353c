"""What is attached to Lightning's trainer: connectors set it at run time, so its class does not declare it."""

from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from seq2seq.data.batching import Batch, collate
from seq2seq.data.datamodule import TranslationDataModule


def callbacks_of(trainer: lightning.Trainer) -> list[Callback]:
    """Return the trainer's own list of callbacks: what is added to it is called, too."""
    attached: Any = trainer
    return attached.callbacks


def data_of(trainer: lightning.Trainer) -> TranslationDataModule:
    """Return the data that the trainer trains on."""
    attached: Any = trainer
    return attached.datamodule


def first_batch(trainer: lightning.Trainer, sentences: int, device: torch.device) -> Batch:
    """Return the first pairs of the validation set as one batch."""
    rows = data_of(trainer).dataset("val")[:sentences]
    examples = zip(rows["source_ids"], rows["target_ids"], range(len(rows["source_ids"])), strict=True)
    return collate(list(examples)).to(device)
