"""Recurrent decoders, which differ only in when they ask: never, before the recurrent step, or after it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.attention import Attention, Full, Memory, Normalizer, Past, Pattern, Score
from seq2seq.dropout import Dropout
from seq2seq.models.interface import DecoderState, EncoderOutput
from seq2seq.models.recurrent import RecurrentState, StepwiseRNN


def xavier_linear(d_input: int, d_output: int, *, bias: bool = True) -> nn.Linear:
    """Return a linear layer whose weight is Xavier-uniform, as the recurrences' are, and whose bias is zero."""
    linear = nn.Linear(d_input, d_output, bias=bias)
    nn.init.xavier_uniform_(linear.weight)
    if bias:
        nn.init.zeros_(linear.bias)
    return linear


class RecurrentDecoder(nn.Module):
    """What the three share: embeddings, a recurrence, and s_0 = tanh(W_s summary) (Bahdanau et al. 2015, A.2.2).

    Args:
        table: target embeddings (vocab, d_embedding).
        d_summary: size of the encoder's summary.
        d_model: size of a state.
        d_fed: size of what joins the embeddings as input, known only as the steps go.
        num_layers: recurrent layers.
        dropout: on embeddings, between layers, and on the features.
        rnn: called as rnn(d_input, d_hidden, num_layers=, dropout=).
    """

    d_features: int

    def __init__(
        self,
        table: nn.Embedding,
        *,
        d_summary: int,
        d_model: int,
        d_fed: int = 0,
        num_layers: int,
        dropout: float,
        rnn: Callable[..., StepwiseRNN],
    ) -> None:
        super().__init__()
        self.table = table
        self.d_model = d_model
        self.d_features = d_model
        self.dropout = Dropout(dropout)
        self.bridge = xavier_linear(d_summary, num_layers * d_model)
        self.rnn = rnn(table.embedding_dim + d_fed, d_model, num_layers=num_layers, dropout=dropout)

    def embed(self, tokens: Tensor) -> Tensor:
        """Return embeddings (..., d_embedding) of token ids, with dropout."""
        return self.dropout(self.table(tokens))

    def initial_state(self, encoder_output: EncoderOutput) -> RecurrentState:
        """Return s_0 with one beam, tensors (batch, 1, d_model)."""
        return self.rnn.initial_state(torch.tanh(self.bridge(encoder_output.summary))[:, None])


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


class AskingDecoder(RecurrentDecoder):
    """A recurrent decoder with one attention, whose queries are its states.

    Args: as `RecurrentDecoder`, and
        d_encoder: size of the encoder's states.
        score: called as score(d_query, d_key).
        normalizer: called without arguments.
        cross_pattern: called as pattern(d_query, seat=).
        attention_dropout: on attention weights.
    """

    def __init__(
        self,
        table: nn.Embedding,
        *,
        d_encoder: int,
        d_model: int,
        score: Callable[..., Score],
        normalizer: Callable[..., Normalizer],
        cross_pattern: Callable[..., Pattern] = Full,
        attention_dropout: float,
        **options: Any,
    ) -> None:
        super().__init__(table, d_model=d_model, **options)
        self.attention = Attention(
            score(d_model, d_encoder),
            normalizer(),
            pattern=cross_pattern(d_model, seat="cross"),
            dropout=attention_dropout,
        )
        self.num_past = 2 if self.attention.remembers else 0
        """How many of a state's beams are what the hypothesis has looked at; they come first."""

    def memory(self, encoder_output: EncoderOutput) -> Memory:
        """Return the source as what is asked."""
        states, mask, _ = encoder_output
        return self.attention.memory(states, states, mask[:, None])

    def context_weight(self) -> Tensor:
        """Return the weight (d, d_encoder) by which the decoder reads the context."""
        raise NotImplementedError

    def contributions(self, value: Tensor) -> Tensor:
        """Return what each key would bring with a weight of 1, (batch, 1, key, d).

        Args:
            value: of `memory`, (batch, key, d_encoder).
        """
        return F.linear(value, self.context_weight())[:, None]

    def ask(self, query: Tensor, state: DecoderState) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the context (batch, beam, d_encoder) of queries (batch, beam, d_model), and the past after them.

        Queries of all beams share one memory, and stand at one place.
        """
        (memory,), beams, place = state
        if not self.attention.remembers and not self.attention.placed:
            return self.attention(query, memory)[0], ()
        past = Past(*beams[: self.num_past]) if self.num_past else None
        places = torch.full((query.shape[1],), place, device=query.device) if self.attention.placed else None
        context, weights = self.attention(query, memory, places=places, past=past, need_weights=past is not None)
        return context, () if past is None else tuple(past.after(weights))


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
