"""The decoder that steps first and asks then."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.models.interface import DecoderState, EncoderOutput
from seq2seq.models.recurrent_decoders import AskingDecoder, xavier_linear


class LuongDecoder(AskingDecoder):
    """Step, then attend with the new state (Luong et al. 2015, 3; input feeding 3.3).

        h_t = RNN([E y_{t-1}; h̃_{t-1}], h_{t-1}),  c_t = attention(h_t),  h̃_t = tanh(W_c [c_t; h_t])

    Without input feeding h̃_{t-1} is no input, and a known target runs in one recurrent and one attention call.

    Args: as `AskingDecoder`, and
        input_feeding: whether the attentional vector h̃ joins the next input.
    """

    def __init__(
        self, table: nn.Embedding, *, d_encoder: int, d_model: int, input_feeding: bool, **options: Any
    ) -> None:
        d_fed = d_model if input_feeding else 0
        super().__init__(table, d_encoder=d_encoder, d_model=d_model, d_fed=d_fed, **options)
        self.input_feeding = input_feeding
        self.combine = xavier_linear(d_encoder + d_model, d_model, bias=False)

    def begin(self, encoder_output: EncoderOutput) -> DecoderState:
        """Return the state before the first token; the attentional vector before it is zero."""
        memory, recurrent = self.memory(encoder_output), self.initial_state(encoder_output)
        fed = (torch.zeros_like(self.rnn.top(recurrent)),) if self.input_feeding else ()
        return DecoderState((memory,), (*self.attention.past(memory), *fed, *recurrent))

    def forward(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """Return features (batch, target, d_model) of tokens (batch, target)."""
        embedded = self.embed(tokens)
        if self.input_feeding:
            fed_weight = self.rnn.fed_weight(embedded.shape[-1])
            features = []
            for gates in self.rnn.input_gates(embedded).split(1, dim=1):
                attentional, state = self._advance(gates, fed_weight, state)
                features.append(attentional)
            return torch.cat(features, dim=1)
        tops = self.rnn.sequence(embedded, tuple(x.squeeze(1) for x in state.beams[self.num_past :]))
        if not self.attention.remembers:
            return self._combine(self.attention(tops, state.memory[0])[0], tops)
        contexts = []
        for top in tops.split(1, dim=1):
            context, past = self.ask(top, state)
            contexts.append(context)
            state = DecoderState(state.memory, past, state.place + 1)
        return self._combine(torch.cat(contexts, dim=1), tops)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return features (batch, beam, d_model) after tokens (batch, beam), and the state."""
        embedded = self.embed(tokens)
        fed_weight = self.rnn.fed_weight(embedded.shape[-1]) if self.input_feeding else None
        return self._advance(self.rnn.input_gates(embedded), fed_weight, state)

    def _advance(self, gates: Tensor, fed_weight: Tensor | None, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return the attentional vector h̃ (batch, beam, d_model) and the next state: step first, ask then."""
        recurrent = state.beams[self.num_past :]
        if fed_weight is not None:
            gates = gates + F.linear(recurrent[0], fed_weight)
            recurrent = recurrent[1:]
        recurrent = self.rnn.step(gates, recurrent)
        top = self.rnn.top(recurrent)
        context, past = self.ask(top, state)
        attentional = self._combine(context, top)
        fed = () if fed_weight is None else (attentional,)
        return attentional, DecoderState(state.memory, (*past, *fed, *recurrent), state.place + 1)

    def context_weight(self) -> Tensor:
        """Return the columns of W_c that read the context."""
        return self.combine.weight[:, : -self.d_model]

    def _combine(self, context: Tensor, top: Tensor) -> Tensor:
        """Return h̃ (batch, query, d_model) of contexts and states, top (batch, query, d_model), with dropout."""
        return self.dropout(torch.tanh(self.combine(torch.cat((context, top), dim=-1))))
