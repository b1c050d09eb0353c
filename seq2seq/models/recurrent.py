"""Recurrent layers that run a whole sequence or one step, and the bidirectional encoder made of them."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.compiler import is_exporting
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from seq2seq.dropout import Dropout, dropout
from seq2seq.errors import UserError
from seq2seq.models.interface import EncoderOutput

RecurrentState = tuple[Tensor, ...]
"""Tensors (..., d_hidden): each layer's hidden state, bottom to top; after them, for an LSTM, each layer's cell."""


class StepwiseRNN(nn.RNNBase):
    """What a stepwise run needs beside torch's own recurrence: with what is known beforehand projected beforehand."""

    def __init__(self, d_input: int, d_hidden: int, *, num_layers: int = 1, dropout: float = 0.0) -> None:
        # torch warns of dropout where there is no layer above to apply it to.
        between = dropout if num_layers > 1 else 0.0
        super().__init__(d_input, d_hidden, num_layers, dropout=between, batch_first=True)  # type: ignore[arg-type]  # GRU and LSTM know their own mode

    def reset_parameters(self) -> None:
        """Draw each gate's matrices Xavier-uniform (Glorot & Bengio 2010, eq. 16), with biases of zero.

        Torch calls this when it has made them. Its own draw is narrower, within 1 / sqrt(d_hidden): with that a model
        stays longer at what it learns first, how frequent each word is (docs/measured.md).
        """
        for name, parameter in self.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
            else:
                for gate in parameter.split(self.hidden_size):
                    nn.init.xavier_uniform_(gate)

    def forward(self, x: Tensor, hx: Any = None) -> Any:
        """Return what torch's recurrence does; on a GPU in float32 where autocast is to bfloat16.

        There it takes float16 whatever autocast says, and without a loss scale a gradient in float16 may overflow.
        """
        if x.device.type != "cuda" or not _autocasts_to_bfloat16():
            return super().forward(x, hx)
        with torch.autocast("cuda", enabled=False):
            return super().forward(x.float(), None if hx is None else tree_map(Tensor.float, hx))

    def initial_state(self, hidden: Tensor) -> RecurrentState:
        """Return the state that starts from hidden (..., layers · d_hidden); an LSTM's cells start at zero."""
        raise NotImplementedError

    def sequence(self, x: Tensor, state: RecurrentState | None = None) -> Tensor:
        """Return the top layer's states, (batch, length, d_hidden), over x (batch, length, d_input), in one call."""
        raise NotImplementedError

    def step(self, gates: Tensor, state: RecurrentState) -> RecurrentState:
        """Return the state after one step; gates are the first layer's, of `input_gates`, complete with its input."""
        raise NotImplementedError

    def top(self, state: RecurrentState) -> Tensor:
        """Return the top layer's hidden state."""
        return state[self.num_layers - 1]

    def input_gates(self, x: Tensor) -> Tensor:
        """Return the share of x, the first columns of the input, in the first layer's gates, for all steps at once."""
        return F.linear(x, self._weight("weight_ih", 0)[:, : x.shape[-1]], self._weight("bias_ih", 0))

    def fed_weight(self, d_known: int) -> Tensor:
        """Return the first layer's weight (gates, d_fed) for input columns known only as the steps go."""
        return self._weight("weight_ih", 0)[:, d_known:]

    def layer_gates(self, layer: int, gates: Tensor, below: Tensor | None) -> Tensor:
        """Return the input gates of a layer: those given for the first, else of the hidden state below."""
        if below is None:
            return gates
        below = dropout(below, self.dropout, self.training)
        return F.linear(below, self._weight("weight_ih", layer), self._weight("bias_ih", layer))

    def hidden_gates(self, layer: int, hidden: Tensor) -> Tensor:
        """Return the share of the previous hidden state in a layer's gates."""
        return F.linear(hidden, self._weight("weight_hh", layer), self._weight("bias_hh", layer))

    def _weight(self, name: str, layer: int) -> Tensor:
        return getattr(self, f"{name}_l{layer}")


def _autocasts_to_bfloat16() -> bool:
    return torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda") is torch.bfloat16


# Both parents have a `forward`, and torch's of the RNN in question has another signature: mypy would have them alike.
class GRU(StepwiseRNN, nn.GRU):  # type: ignore[misc]
    """Gated recurrent unit (Cho et al. 2014), with torch's parameters and equations."""

    def initial_state(self, hidden: Tensor) -> RecurrentState:  # noqa: D102 as StepwiseRNN says
        return hidden.chunk(self.num_layers, dim=-1)

    def sequence(self, x: Tensor, state: RecurrentState | None = None) -> Tensor:  # noqa: D102 as StepwiseRNN says
        return self(x, None if state is None else torch.stack(state))[0]

    def step(self, gates: Tensor, state: RecurrentState) -> RecurrentState:  # noqa: D102 as StepwiseRNN says
        d = self.hidden_size
        new: list[Tensor] = []
        for layer, hidden in enumerate(state):
            given = self.layer_gates(layer, gates, new[-1] if new else None)
            recurrent = self.hidden_gates(layer, hidden)
            reset, update = torch.sigmoid(given[..., : 2 * d] + recurrent[..., : 2 * d]).chunk(2, dim=-1)
            candidate = torch.tanh(torch.addcmul(given[..., 2 * d :], reset, recurrent[..., 2 * d :]))
            new.append(torch.lerp(candidate, hidden, update))
        return tuple(new)


class LSTM(StepwiseRNN, nn.LSTM):  # type: ignore[misc]  # as of the GRU
    """Long short-term memory (Hochreiter & Schmidhuber 1997), with torch's parameters and equations."""

    def initial_state(self, hidden: Tensor) -> RecurrentState:  # noqa: D102 as StepwiseRNN says
        return (*hidden.chunk(self.num_layers, dim=-1), *torch.zeros_like(hidden).chunk(self.num_layers, dim=-1))

    def sequence(self, x: Tensor, state: RecurrentState | None = None) -> Tensor:  # noqa: D102 as StepwiseRNN says
        given = None
        if state is not None:
            given = torch.stack(state[: self.num_layers]), torch.stack(state[self.num_layers :])
        autocast = x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if not autocast or lstm_runs_in(torch.get_autocast_dtype("cpu")):
            return self(x, given)[0]
        dtype = self._weight("weight_hh", 0).dtype
        with torch.autocast("cpu", enabled=False):
            return self(x.to(dtype), None if given is None else (given[0].to(dtype), given[1].to(dtype)))[0]

    def step(self, gates: Tensor, state: RecurrentState) -> RecurrentState:  # noqa: D102 as StepwiseRNN says
        hiddens: list[Tensor] = []
        cells: list[Tensor] = []
        for layer, (hidden, cell) in enumerate(zip(state[: self.num_layers], state[self.num_layers :], strict=True)):
            given = self.layer_gates(layer, gates, hiddens[-1] if hiddens else None)
            entry, forget, candidate, exit_ = (given + self.hidden_gates(layer, hidden)).chunk(4, dim=-1)
            cells.append(torch.sigmoid(forget) * cell + torch.sigmoid(entry) * torch.tanh(candidate))
            hiddens.append(torch.sigmoid(exit_) * torch.tanh(cells[-1]))
        return (*hiddens, *cells)


@cache
def lstm_runs_in(dtype: torch.dtype) -> bool:
    """Return whether this processor can run an LSTM under CPU autocast to a dtype: tried once, on a tiny one.

    oneDNN has one in bfloat16 from AVX-512 on, and in float16 on few processors; elsewhere it raises.
    """
    try:
        with torch.autocast("cpu", dtype=dtype), torch.random.fork_rng(devices=[]):
            nn.LSTM(8, 8)(torch.zeros(1, 1, 8))
    except RuntimeError:
        return False
    return True


def _sized_as(x: Tensor, states: Tensor) -> Tensor:
    """Return the states (batch, length, d_hidden) over x; while a model is exported, of free batch and length.

    There torch takes what a recurrence gives to be as large as that of the example, and what follows with it.
    """
    if not is_exporting():
        return states
    batch, length = (torch.arange(size, device=x.device) for size in x.shape[:2])
    return states[batch[:, None], length]


class RecurrentEncoder(nn.Module):
    """Bidirectional recurrent encoder (Bahdanau et al. 2015, A.2.1). What stands in the padding changes nothing.

    The backward direction reads each sentence reversed within its own length, so both directions meet their padding
    last, and no packing (which needs the lengths on the CPU) is needed.

    Args:
        table: source embeddings (vocab, d_embedding).
        d_model: size of a state: half of it each direction.
        num_layers: bidirectional layers.
        dropout: on embeddings and between layers.
        rnn: called as rnn(d_input, d_hidden): `GRU` or `LSTM`.
    """

    def __init__(
        self, table: nn.Embedding, *, d_model: int, num_layers: int, dropout: float, rnn: Callable[..., StepwiseRNN]
    ) -> None:
        super().__init__()
        if d_model % 2:
            raise UserError(f"encoder.d_model={d_model} must be even: half of it goes to each direction")
        self.d_model = d_model
        self.d_summary = d_model // 2
        self.table = table
        self.dropout = Dropout(dropout)
        sizes = [table.embedding_dim] + [d_model] * (num_layers - 1)
        # nn.ModuleList does not tell the type of what it holds.
        self.forwards = cast(Sequence[StepwiseRNN], nn.ModuleList(rnn(size, d_model // 2) for size in sizes))
        self.backwards = cast(Sequence[StepwiseRNN], nn.ModuleList(rnn(size, d_model // 2) for size in sizes))

    def forward(self, source: Tensor, source_mask: Tensor, lengths: Tensor) -> EncoderOutput:
        """Return states (batch, source, d_model); the summary is the backward direction's state at the first word.

        Args:
            source: token ids (batch, source), right-padded.
            source_mask: (batch, source), True = real token.
            lengths: (batch,) number of real tokens.
        """
        positions = torch.arange(source.shape[1], device=source.device)
        reversed_ = (lengths[:, None] - 1 - positions).where(source_mask, positions)[..., None]
        states = self.table(source)
        for forwards, backwards in zip(self.forwards, self.backwards, strict=True):
            states = self.dropout(states)
            ahead = _sized_as(states, forwards.sequence(states))
            back = _sized_as(states, backwards.sequence(states.gather(1, reversed_.expand(states.shape))))
            states = torch.cat((ahead, back.gather(1, reversed_.expand(back.shape))), dim=-1)
        return EncoderOutput(states, source_mask, states[:, 0, self.d_summary :])
