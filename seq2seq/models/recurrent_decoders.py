"""Recurrent decoders, which differ only in when they ask: never, before the recurrent step, or after it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.attention import Attention, Memory
from seq2seq.attention.normalizers import Normalizer
from seq2seq.attention.scores import Score
from seq2seq.dropout import Dropout
from seq2seq.models.interface import DecoderState, EncoderOutput
from seq2seq.models.recurrent import RecurrentState, StepwiseRNN


class RecurrentDecoder(nn.Module):
    """What the three share: embeddings, a recurrence, and s_0 = tanh(W_s summary) (Bahdanau et al. 2015, A.2.2)."""

    d_features: int

    def __init__(
        self,
        table: nn.Embedding,
        *,
        d_encoder: int,
        d_summary: int,
        d_model: int,
        d_fed: int,
        num_layers: int,
        dropout: float,
        rnn: Callable[..., StepwiseRNN],
    ) -> None:
        super().__init__()
        self.table = table
        self.d_encoder = d_encoder
        self.d_model = d_model
        self.d_features = d_model
        self.dropout = Dropout(dropout)
        self.bridge = nn.Linear(d_summary, num_layers * d_model)
        self.rnn = rnn(table.embedding_dim + d_fed, d_model, num_layers=num_layers, dropout=dropout)

    def embed(self, tokens: Tensor) -> Tensor:
        """Return embeddings (..., d_embedding) of token ids, with dropout."""
        return self.dropout(self.table(tokens))

    def initial_state(self, encoder_output: EncoderOutput) -> RecurrentState:
        """Return s_0 with one beam, tensors (batch, 1, d_model)."""
        return self.rnn.initial_state(torch.tanh(self.bridge(encoder_output.summary))[:, None])


class BottleneckDecoder(RecurrentDecoder):
    """No attention: the summary as initial state is all the decoder gets (Sutskever et al. 2014). The baseline.

    `d_encoder`, `score` and `normalizer` are accepted because every decoder is built alike; nothing is asked here.
    """

    def __init__(
        self,
        table: nn.Embedding,
        *,
        d_encoder: int,
        d_summary: int,
        score: Callable[..., Score],
        normalizer: Callable[[], Normalizer],
        d_model: int,
        num_layers: int,
        dropout: float,
        rnn: Callable[..., StepwiseRNN],
    ) -> None:
        super().__init__(
            table, d_encoder=d_encoder, d_summary=d_summary, d_model=d_model, d_fed=0,
            num_layers=num_layers, dropout=dropout, rnn=rnn,
        )  # fmt: skip

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
        return self.dropout(self.rnn.top(recurrent)), state._replace(beams=recurrent)


class BahdanauDecoder(RecurrentDecoder):
    """Attend with the previous state, then step (Bahdanau et al. 2015, A.1.2, A.2.2).

        c_t = attention(s_{t-1}),  s_t = RNN([E y_{t-1}; c_t], s_{t-1}),
        t_t = maxout(U s_t + V E y_{t-1} + C c_t)

    The read-out takes the new state s_t, as p(y_t | s_t, y_{t-1}, c_t) says.

    Args:
        table: target embeddings (vocab, d_embedding).
        d_encoder: size of the encoder's states.
        d_summary: size of the encoder's summary.
        score: called as score(d_query, d_key).
        normalizer: called without arguments.
        d_model: size of a state.
        d_readout: size of the maxout's output, the features; d_embedding by default, which allows tied output weights.
        num_layers: recurrent layers; the top one's state asks.
        dropout: on embeddings, between layers, and on the features.
        attention_dropout: on attention weights.
        rnn: called as rnn(d_input, d_hidden, num_layers=, dropout=).
    """

    def __init__(
        self,
        table: nn.Embedding,
        *,
        d_encoder: int,
        d_summary: int,
        score: Callable[..., Score],
        normalizer: Callable[[], Normalizer],
        d_model: int,
        d_readout: int | None,
        num_layers: int,
        dropout: float,
        attention_dropout: float,
        rnn: Callable[..., StepwiseRNN],
    ) -> None:
        super().__init__(
            table, d_encoder=d_encoder, d_summary=d_summary, d_model=d_model, d_fed=d_encoder,
            num_layers=num_layers, dropout=dropout, rnn=rnn,
        )  # fmt: skip
        self.attention = Attention(score(d_model, d_encoder), normalizer(), dropout=attention_dropout)
        self.d_features = d_readout or table.embedding_dim
        self.readout = nn.Linear(d_model + table.embedding_dim + d_encoder, 2 * self.d_features)

    def begin(self, encoder_output: EncoderOutput) -> DecoderState:
        """Return the state before the first token."""
        states, mask, _ = encoder_output
        return DecoderState((self.attention.memory(states, states, mask[:, None]),), self.initial_state(encoder_output))

    def forward(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """Return features (batch, target, d_readout) of tokens (batch, target)."""
        embedded = self.embed(tokens)
        fed_weight = self.rnn.fed_weight(embedded.shape[-1])
        (memory,), recurrent = state
        tops, contexts = [], []
        for gates in self.rnn.input_gates(embedded).split(1, dim=1):
            context, recurrent = self._advance(gates, fed_weight, recurrent, memory)
            contexts.append(context)
            tops.append(self.rnn.top(recurrent))
        return self._read_out(torch.cat(tops, dim=1), embedded, torch.cat(contexts, dim=1))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return features (batch, beam, d_readout) after tokens (batch, beam), and the state."""
        embedded = self.embed(tokens)
        fed_weight = self.rnn.fed_weight(embedded.shape[-1])
        context, recurrent = self._advance(self.rnn.input_gates(embedded), fed_weight, state.beams, state.memory[0])
        return self._read_out(self.rnn.top(recurrent), embedded, context), state._replace(beams=recurrent)

    def _advance(
        self, gates: Tensor, fed_weight: Tensor, recurrent: RecurrentState, memory: Memory
    ) -> tuple[Tensor, RecurrentState]:
        """Return the context and the next state: ask first, step then. Queries of all beams share one memory."""
        context, _ = self.attention(self.rnn.top(recurrent), memory)
        return context, self.rnn.step(gates + F.linear(context, fed_weight), recurrent)

    def _read_out(self, top: Tensor, embedded: Tensor, context: Tensor) -> Tensor:
        deep = self.readout(torch.cat((top, embedded, context), dim=-1))
        return self.dropout(deep.unflatten(-1, (-1, 2)).amax(-1))


class LuongDecoder(RecurrentDecoder):
    """Step, then attend with the new state (Luong et al. 2015, 3; input feeding 3.3).

        h_t = RNN([E y_{t-1}; h̃_{t-1}], h_{t-1}),  c_t = attention(h_t),  h̃_t = tanh(W_c [c_t; h_t])

    Without input feeding h̃_{t-1} is no input, and a known target runs in one recurrent and one attention call.

    Args: as `BahdanauDecoder`, and
        input_feeding: whether the attentional vector h̃ joins the next input.
    """

    def __init__(
        self,
        table: nn.Embedding,
        *,
        d_encoder: int,
        d_summary: int,
        score: Callable[..., Score],
        normalizer: Callable[[], Normalizer],
        d_model: int,
        input_feeding: bool,
        num_layers: int,
        dropout: float,
        attention_dropout: float,
        rnn: Callable[..., StepwiseRNN],
    ) -> None:
        super().__init__(
            table, d_encoder=d_encoder, d_summary=d_summary, d_model=d_model, d_fed=d_model if input_feeding else 0,
            num_layers=num_layers, dropout=dropout, rnn=rnn,
        )  # fmt: skip
        self.input_feeding = input_feeding
        self.attention = Attention(score(d_model, d_encoder), normalizer(), dropout=attention_dropout)
        self.combine = nn.Linear(d_encoder + d_model, d_model, bias=False)

    def begin(self, encoder_output: EncoderOutput) -> DecoderState:
        """Return the state before the first token; the attentional vector before it is zero."""
        states, mask, _ = encoder_output
        recurrent = self.initial_state(encoder_output)
        fed = (torch.zeros_like(self.rnn.top(recurrent)),) if self.input_feeding else ()
        return DecoderState((self.attention.memory(states, states, mask[:, None]),), (*fed, *recurrent))

    def forward(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """Return features (batch, target, d_model) of tokens (batch, target)."""
        embedded = self.embed(tokens)
        if not self.input_feeding:
            tops = self.rnn.sequence(embedded, tuple(x.squeeze(1) for x in state.beams))
            return self.dropout(self._attend(tops, state.memory[0]))
        fed_weight = self.rnn.fed_weight(embedded.shape[-1])
        (memory,), (attentional, *rest) = state
        recurrent: RecurrentState = tuple(rest)
        features = []
        for gates in self.rnn.input_gates(embedded).split(1, dim=1):
            recurrent = self.rnn.step(gates + F.linear(attentional, fed_weight), recurrent)
            attentional = self.dropout(self._attend(self.rnn.top(recurrent), memory))
            features.append(attentional)
        return torch.cat(features, dim=1)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return features (batch, beam, d_model) after tokens (batch, beam), and the state."""
        embedded = self.embed(tokens)
        gates = self.rnn.input_gates(embedded)
        recurrent = state.beams
        if self.input_feeding:
            attentional, *rest = state.beams
            recurrent = tuple(rest)
            gates = gates + F.linear(attentional, self.rnn.fed_weight(embedded.shape[-1]))
        recurrent = self.rnn.step(gates, recurrent)
        attentional = self.dropout(self._attend(self.rnn.top(recurrent), state.memory[0]))
        fed = (attentional,) if self.input_feeding else ()
        return attentional, state._replace(beams=(*fed, *recurrent))

    def _attend(self, top: Tensor, memory: Memory) -> Tensor:
        """Return the attentional vector h̃ (batch, query, d_model) of states (batch, query, d_model)."""
        context, _ = self.attention(top, memory)
        return torch.tanh(self.combine(torch.cat((context, top), dim=-1)))
