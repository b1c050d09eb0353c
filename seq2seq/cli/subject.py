"""What `heads`, `prune` and `trust` are about: the model of a checkpoint, and the text that it is measured on."""

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from omegaconf import DictConfig

from seq2seq.build import build_corpus, find_device, load_model
from seq2seq.build_tags import for_corpus
from seq2seq.checkpoint import Checkpoint, read_checkpoint
from seq2seq.data.batching import Batch
from seq2seq.data.corpus import Corpus
from seq2seq.data.encoding import first_rows
from seq2seq.data.loader import batch_loader
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.models import EncoderDecoder


class Subject(NamedTuple):
    """A model and a split of a corpus, as the keys of a command name them."""

    checkpoint: Checkpoint
    model: EncoderDecoder  # in evaluation mode, on its device
    device: torch.device
    tokenizers: Tokenizers
    corpus: Corpus
    config: DictConfig

    @property
    def max_length(self) -> int:
        """Pieces of a sentence; longer ones are cut."""
        return int(self.config.loader.max_length or self.checkpoint.max_length)

    def rows(self, sentences: int | None) -> Dataset:
        """Return the encoded pairs of the split, the first `sentences` of them; None: all."""
        return first_rows(
            self.corpus,
            self.config.split,
            self.tokenizers,
            max_length=self.max_length,
            sentences=sentences,
            cache_dir=self.config.loader.cache_dir,
        )

    def batches(self, rows: Dataset) -> Iterable[Batch]:
        """Return these rows in batches."""
        per_batch = self.config.loader.tokens_per_batch
        return batch_loader(rows, tokens_per_batch=per_batch, shuffle=False, num_workers=0)

    def settings(self) -> dict[str, Any]:
        """Return whose results these are, for the file that holds them."""
        return {
            "checkpoint": os.path.abspath(self.config.checkpoint),
            "fingerprint": self.corpus.fingerprint(self.config.split),
            "split": self.config.split,
        }


def read_subject(config: DictConfig) -> Subject:
    """Return the model of `checkpoint` on `device`, and the corpus of `data`, by default that of its training.

    Raises:
        UserError: the checkpoint cannot be read, or the text or its `tag` is none for this model.
    """
    checkpoint = read_checkpoint(config.checkpoint, trusted=config.trusted)
    device = find_device(config.device)
    model, tokenizers = load_model(checkpoint, device)
    corpus = build_corpus(config.get("data"), checkpoint, tag=config.tag)
    return Subject(checkpoint, model, device, for_corpus(tokenizers, config.tag, [checkpoint], corpus), corpus, config)
