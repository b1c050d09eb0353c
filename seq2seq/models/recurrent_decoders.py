"""What recurrent decoders share: embeddings, a recurrence, and for those that ask an attention."""

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
    """What all share: embeddings, a recurrence, and s_0 = tanh(W_s summary) (Bahdanau et al. 2015, A.2.2).

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
