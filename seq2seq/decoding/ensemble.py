"""Several models that search as one: at every step the mean of what they say about the next token."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from seq2seq.errors import UserError
from seq2seq.models import DecoderState, EncoderDecoder

MEANS = ("log", "linear")
"""Geometric and arithmetic mean of probabilities."""


class EnsembleState(NamedTuple):
    """Where the decoder of each model stands."""

    states: tuple[DecoderState, ...]

    def reorder(self, parents: Tensor) -> "EnsembleState":
        """Return the state in which new beam j of a sentence continues its beam parents[sentence, j]."""
        return EnsembleState(tuple(state.reorder(parents) for state in self.states))

    def select(self, sentences: Tensor) -> "EnsembleState":
        """Return the state of some sentences only; sentences (n,) are indices into the batch."""
        return EnsembleState(tuple(state.select(sentences) for state in self.states))


class Ensemble(nn.Module):
    """Models of one source and one target vocabulary, of any architecture, as one model.

    For search it is what a model is: `begin` and `step`; for forced decoding likewise: `features` and `output`.

        log:    p(y) ∝ (p_1(y) · ... · p_n(y)) ** (1 / n)     one model that finds a token impossible rules it out
        linear: p(y) = (p_1(y) + ... + p_n(y)) / n            one model that finds a token likely keeps it

    The models are no submodules: what looks for attention finds none, as there is none that is the ensemble's.

    Args:
        models: in evaluation mode, on one device; at least one.
        mean: `log` or `linear`.

    Raises:
        UserError: there is no such mean.
    """

    def __init__(self, models: Sequence[EncoderDecoder], *, mean: str) -> None:
        super().__init__()
        if mean not in MEANS:
            raise UserError(f"ensemble={mean} is not known; use {' or '.join(MEANS)}")
        self.models = tuple(models)
        self.mean = mean
        self.eval()

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters of all models."""
        for model in self.models:
            yield from model.parameters(recurse)

    @property
    def first_token(self) -> int | None:
        """What all models force every translation to begin with; None: not all have the same, or they have none."""
        found = {model.first_token for model in self.models}
        return found.pop() if len(found) == 1 else None

    def begin(self, source: Tensor, source_mask: Tensor, source_lengths: Tensor) -> EnsembleState:
        """Return the state before the first token of each sentence's translation."""
        return EnsembleState(tuple(model.begin(source, source_mask, source_lengths) for model in self.models))

    def step(self, tokens: Tensor, state: EnsembleState) -> tuple[Tensor, EnsembleState]:
        """Return logits (batch, beam, vocab) of what follows tokens (batch, beam), and the state."""
        steps = [model.step(tokens, each) for model, each in zip(self.models, state.states, strict=True)]
        return self._joined([logits for logits, _ in steps]), EnsembleState(tuple(after for _, after in steps))

    def features(
        self,
        source: Tensor,
        source_mask: Tensor,
        source_lengths: Tensor,
        target_input: Tensor,
        target_indices: Tensor,
    ) -> Tensor:
        """Return features (tokens, sum of d_features) of the real target tokens; arguments as `EncoderDecoder`'s."""
        given = source, source_mask, source_lengths, target_input, target_indices
        return torch.cat([model.features(*given) for model in self.models], dim=-1)

    def output(self, features: Tensor) -> Tensor:
        """Return logits (..., vocab) of features (..., sum of d_features)."""
        widths = [model.output.in_features for model in self.models]
        parts = zip(self.models, features.split(widths, dim=-1), strict=True)
        return self._joined([model.output(part) for model, part in parts])

    def _joined(self, logits: Sequence[Tensor]) -> Tensor:
        """Return logits whose softmax is the mean of the softmaxes of some logits (..., vocab), in float32."""
        said = [x.float().log_softmax(-1) for x in logits]
        if self.mean == "log":
            return torch.stack(said).mean(0)
        return torch.stack(said).logsumexp(0) - math.log(len(said))
