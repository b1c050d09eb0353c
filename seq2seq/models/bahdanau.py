"""The decoder that asks first and steps then."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.models.interface import DecoderState, EncoderOutput
from seq2seq.models.recurrent_decoders import AskingDecoder, xavier_linear


class BahdanauDecoder(AskingDecoder):
    """Attend with the previous state, then step (Bahdanau et al. 2015, A.1.2, A.2.2).

        c_t = attention(s_{t-1}),  s_t = RNN([E y_{t-1}; c_t], s_{t-1}),
        t_t = maxout(U s_t + V E y_{t-1} + C c_t)

    The read-out takes the new state s_t, as p(y_t | s_t, y_{t-1}, c_t) says. Of several layers the top one asks.

    Args: as `AskingDecoder`, and
        d_readout: size of the maxout's output, the features; d_embedding by default, which allows tied output weights.
    """

    def __init__(
        self, table: nn.Embedding, *, d_encoder: int, d_model: int, d_readout: int | None, **options: Any
    ) -> None:
        super().__init__(table, d_encoder=d_encoder, d_model=d_model, d_fed=d_encoder, **options)
        self.d_features = d_readout or table.embedding_dim
        self.readout = xavier_linear(d_model + table.embedding_dim + d_encoder, 2 * self.d_features)

    def begin(self, encoder_output: EncoderOutput) -> DecoderState:
        """Return the state before the first token."""
        memory = self.memory(encoder_output)
        return DecoderState((memory,), (*self.attention.past(memory), *self.initial_state(encoder_output)))

    def forward(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """Return features (batch, target, d_readout) of tokens (batch, target)."""
        embedded = self.embed(tokens)
        fed_weight = self.rnn.fed_weight(embedded.shape[-1])
        tops, contexts = [], []
        for gates in self.rnn.input_gates(embedded).split(1, dim=1):
            top, context, state = self._advance(gates, fed_weight, state)
            contexts.append(context)
            tops.append(top)
        return self._read_out(torch.cat(tops, dim=1), embedded, torch.cat(contexts, dim=1))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return features (batch, beam, d_readout) after tokens (batch, beam), and the state."""
        embedded = self.embed(tokens)
        fed_weight = self.rnn.fed_weight(embedded.shape[-1])
        top, context, state = self._advance(self.rnn.input_gates(embedded), fed_weight, state)
        return self._read_out(top, embedded, context), state

    def context_weight(self) -> Tensor:
        """Return what reads the context: the input part of the recurrence's gates, and below it the read-out."""
        fed = self.rnn.fed_weight(self.table.embedding_dim)
        return torch.cat((fed, self.readout.weight[:, -fed.shape[1] :]))

    def _advance(self, gates: Tensor, fed_weight: Tensor, state: DecoderState) -> tuple[Tensor, Tensor, DecoderState]:
        """Return the top layer's new hidden state, the context and the next state: ask first, step then."""
        recurrent = state.beams[self.num_past :]
        context, past = self.ask(self.rnn.top(recurrent), state)
        recurrent = self.rnn.step(gates + F.linear(context, fed_weight), recurrent)
        return self.rnn.top(recurrent), context, DecoderState(state.memory, (*past, *recurrent), state.place + 1)

    def _read_out(self, top: Tensor, embedded: Tensor, context: Tensor) -> Tensor:
        deep = self.readout(torch.cat((top, embedded, context), dim=-1))
        return self.dropout(deep.unflatten(-1, (-1, 2)).amax(-1))
