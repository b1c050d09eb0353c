"""How likely a model finds a given translation: the log-probability of each piece, by forced decoding."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.data.batching import Batch
from seq2seq.decoding.ensemble import Ensemble
from seq2seq.models import EncoderDecoder

ROWS = 4096
"""Target pieces whose logits are at hand at once: those of a batch over a large vocabulary would take most memory."""


class PairScore(NamedTuple):
    """How likely a model finds the target of a pair."""

    pieces: list[str]  # of the target, and its end; without what the model is forced to begin with
    log_probabilities: list[float]  # of each, in nats

    @property
    def log_probability(self) -> float:
        """Of the target and its end, in nats."""
        return math.fsum(self.log_probabilities)


class Perplexity:
    """The perplexity of a set of pairs: exp of the mean negative log-probability a piece, ends counted."""

    def __init__(self) -> None:
        self.pairs = 0
        self.pieces = 0
        self.log_probability = 0.0

    def add(self, score: PairScore) -> None:
        """Count a pair."""
        self.pairs += 1
        self.pieces += len(score.pieces)
        self.log_probability += score.log_probability

    @property
    def value(self) -> float:
        """The perplexity; infinite where it is beyond what a number holds."""
        mean = -self.log_probability / max(1, self.pieces)
        return math.exp(mean) if mean < 700 else math.inf


@torch.no_grad()
def forced_log_probabilities(model: EncoderDecoder | Ensemble, batch: Batch) -> Tensor:
    """Return the log-probability, float32 (tokens,), of each entry of `batch.target_output`, after those before it."""
    features = model.features(
        batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
    )
    parts = zip(features.split(ROWS), batch.target_output[:, None].split(ROWS), strict=True)
    found = [model.output(rows).float().log_softmax(-1).gather(1, wanted) for rows, wanted in parts]
    return torch.cat(found).squeeze(1)


def given(model: EncoderDecoder | Ensemble, batch: Batch) -> Tensor:
    """Return, bool (tokens,), which entries of `batch.target_output` are no predictions.

    They are what a model must begin with: the language of an imported one, which search takes for certain.
    """
    if model.first_token is None:
        return torch.zeros_like(batch.target_output, dtype=torch.bool)
    begins = batch.target_indices % batch.target_input.shape[1] == 0
    return begins & (batch.target_output == model.first_token)
