"""What encoders, decoders, training and search hand each other."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from seq2seq.attention import Memory


class EncoderOutput(NamedTuple):
    """A source sentence, encoded."""

    states: Tensor  # (batch, source, d_model)
    mask: Tensor  # (batch, source) bool, True = real token
    summary: Tensor  # (batch, d_summary): the whole sentence as one vector, starts a recurrent decoder


class DecoderState(NamedTuple):
    """Where a decoder stands: what belongs to a sentence once, and what each hypothesis (beam) of it has of its own.

    Beams of a sentence are queries on one memory: reordering them never copies it.
    """

    memory: tuple[Memory, ...]  # tensors (batch, ...)
    beams: tuple[Tensor, ...]  # tensors (batch, beam, ...)
    place: int = 0  # of the next token: how many went before

    def reorder(self, parents: Tensor) -> "DecoderState":
        """Return the state in which new beam j of a sentence continues its beam parents[sentence, j].

        Args:
            parents: (batch, new beams), indices into the present beams; their number may change.
        """
        batch, present = self.beams[0].shape[:2]
        rows = (torch.arange(batch, device=parents.device)[:, None] * present + parents).flatten()
        # Whole rows are copied, which is faster than a gather of their elements.
        beams = (x.flatten(0, 1).index_select(0, rows).unflatten(0, parents.shape) for x in self.beams)
        return self._replace(beams=tuple(beams))

    def select(self, sentences: Tensor) -> "DecoderState":
        """Return the state of some sentences only; sentences (n,) are indices into the batch."""

        def take(x: Tensor) -> Tensor:
            return x.index_select(0, sentences)

        memory = (Memory(take(m.keys), take(m.value), None if m.mask is None else take(m.mask)) for m in self.memory)
        return self._replace(memory=tuple(memory), beams=tuple(take(x) for x in self.beams))


class Encoder(Protocol):
    """Reads a source sentence."""

    d_model: int
    d_summary: int

    def __call__(self, source: Tensor, source_mask: Tensor, lengths: Tensor) -> EncoderOutput:
        """Return the encoding of source ids (batch, source), right-padded; mask (batch, source), lengths (batch,)."""


class Decoder(Protocol):
    """Predicts target tokens. Training and search know nothing else of it, and a stepwise pass equals a whole one."""

    d_features: int

    def begin(self, encoder_output: EncoderOutput) -> DecoderState:
        """Return the state before the first token, with one beam a sentence."""

    def __call__(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """Return features (batch, target, d_features) of known tokens (batch, target): teacher forcing."""

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return features (batch, beam, d_features) after one more of tokens (batch, beam), and the state."""
