"""The decoder that never asks: the baseline of every attention."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from seq2seq.attention import Full, Normalizer, Pattern, Score
from seq2seq.models.interface import DecoderState, EncoderOutput
from seq2seq.models.recurrent_decoders import RecurrentDecoder


class BottleneckDecoder(RecurrentDecoder):
    """No attention: the summary as initial state is all the decoder gets (Sutskever et al. 2014). The baseline.

    `d_encoder` and the parts of an attention are accepted because every decoder is built alike; nothing is asked here.
    """

    def __init__(
        self,
        table: nn.Embedding,
        *,
        d_encoder: int,
        score: Callable[..., Score],
        normalizer: Callable[..., Normalizer],
        cross_pattern: Callable[..., Pattern] = Full,
        **options: Any,
    ) -> None:
        super().__init__(table, **options)

    def begin(self, encoder_output: EncoderOutput) -> DecoderState:
        """Return the state before the first token."""
        return DecoderState((), self.initial_state(encoder_output))

    def forward(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """Return features (batch, target, d_model) of tokens (batch, target), in one recurrent call."""
        recurrent = tuple(x.squeeze(1) for x in state.beams)
        return self.dropout(self.rnn.sequence(self.embed(tokens), recurrent))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return features (batch, beam, d_model) after tokens (batch, beam), and the state."""
        recurrent = self.rnn.step(self.rnn.input_gates(self.embed(tokens)), state.beams)
        return self.dropout(self.rnn.top(recurrent)), state._replace(beams=recurrent, place=state.place + 1)
