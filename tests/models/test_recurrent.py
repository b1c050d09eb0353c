"""Recurrent layers and the encoder against torch's own."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.testing import assert_close

from seq2seq.attention import padding_mask
from seq2seq.errors import UserError
from seq2seq.models import GRU, LSTM, RecurrentEncoder, recurrent
from seq2seq.models.embedding import embedding_table
from seq2seq.models.recurrent import StepwiseRNN, lstm_runs_in

kinds = pytest.mark.parametrize("kind", [GRU, LSTM])
layers = pytest.mark.parametrize("num_layers", [1, 2, 3])
TORCH: dict[type, Any] = {GRU: nn.GRU, LSTM: nn.LSTM}


@kinds
@layers
def test_steps_and_sequence_equal_torch(kind: type[StepwiseRNN], num_layers: int) -> None:
    ours = kind(5, 7, num_layers=num_layers).double()
    theirs = TORCH[kind](5, 7, num_layers, batch_first=True).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 11, 5, dtype=torch.float64, requires_grad=True)
    state = tuple(torch.randn(3, 7, dtype=torch.float64) for _ in ours.initial_state(x.new_zeros(3, 7 * num_layers)))
    hidden = torch.stack(state[:num_layers])
    expected, last = theirs(x, hidden if kind is GRU else (hidden, torch.stack(state[num_layers:])))
    assert_close(ours.sequence(x, state), expected)
    assert_close(ours.sequence(x), theirs(x)[0])

    # The last two columns stand for an input known only as the steps go.
    known, fed = x[..., :3], x[..., 3:]
    gates = ours.input_gates(known) + fed @ ours.fed_weight(3).T
    tops = []
    for t in range(11):
        state = ours.step(gates[:, t], state)
        tops.append(ours.top(state))
    steps = torch.stack(tops, dim=1)
    assert_close(steps, expected)
    assert_close(torch.stack(state), last if kind is GRU else torch.cat(last))
    inputs = [x, *ours.parameters()]
    expected_gradients = torch.autograd.grad(expected.square().sum(), [x, *theirs.parameters()])
    assert_close(torch.autograd.grad(steps.square().sum(), inputs), expected_gradients)


@pytest.mark.parametrize("known", [False, True])
def test_lstm_runs_in_float32_where_autocast_has_none(monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    """As on a processor without bfloat16: oneDNN raises there."""
    monkeypatch.setattr(recurrent, "lstm_runs_in", lambda _: False)
    lstm = LSTM(5, 7)
    x, state = torch.randn(3, 11, 5), (torch.randn(3, 7).bfloat16(), torch.randn(3, 7).bfloat16()) if known else None
    expected = lstm.sequence(x, state and tuple(part.float() for part in state))
    with torch.autocast("cpu", torch.bfloat16):
        found = lstm.sequence(x, state)
    assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lstm_runs_under_any_autocast_and_to_ask_draws_no_random_number(dtype: torch.dtype) -> None:
    lstm, x = LSTM(5, 7), torch.randn(3, 11, 5)
    lstm_runs_in.cache_clear()
    before = torch.get_rng_state()
    with torch.autocast("cpu", dtype):
        found = lstm.sequence(x)
    assert torch.equal(torch.get_rng_state(), before)
    assert_close(found.float(), lstm.sequence(x), rtol=0.02, atol=0.02)


@kinds
@layers
def test_each_gate_is_drawn_as_a_matrix_of_its_own_and_biases_are_zero(
    kind: type[StepwiseRNN], num_layers: int
) -> None:
    rnn = kind(40, 60, num_layers=num_layers)
    for name, parameter in rnn.named_parameters():
        if name.startswith("bias"):
            assert not parameter.any()
        else:
            for gate in parameter.split(60):
                bound = math.sqrt(6 / sum(gate.shape))
                assert 0.95 * bound < gate.abs().max() <= bound


@kinds
def test_initial_state_splits_into_layers_and_cells_start_at_zero(kind: type[StepwiseRNN]) -> None:
    hidden = torch.randn(3, 1, 14)
    state = kind(5, 7, num_layers=2).initial_state(hidden)
    assert_close(torch.cat(state[:2], dim=-1), hidden)
    assert len(state) == (2 if kind is GRU else 4)
    assert all(cell.shape == (3, 1, 7) and not cell.count_nonzero() for cell in state[2:])


@kinds
def test_dropout_acts_between_layers_in_training_only(kind: type[StepwiseRNN]) -> None:
    rnn = kind(5, 7, num_layers=2, dropout=0.5)
    state = rnn.initial_state(torch.randn(3, 14))
    gates = rnn.input_gates(torch.randn(3, 5))
    lower, upper = rnn.step(gates, state)[:2]
    assert_close(rnn.eval().step(gates, state)[0], lower)
    assert not torch.allclose(rnn.step(gates, state)[1], upper)
    assert_close(rnn.step(gates, state), rnn.step(gates, state))


@kinds
@layers
def test_encoder_equals_torch_bidirectional_packed(kind: type[StepwiseRNN], num_layers: int) -> None:
    encoder = RecurrentEncoder(
        embedding_table(23, 5, padding_index=1), d_model=14, num_layers=num_layers, dropout=0.3, rnn=kind
    )
    encoder.double().eval()
    theirs = TORCH[kind](5, 7, num_layers, batch_first=True, bidirectional=True).double()
    with torch.no_grad():
        for layer in range(num_layers):
            for ours, suffix in ((encoder.forwards[layer], ""), (encoder.backwards[layer], "_reverse")):
                for name, parameter in ours.named_parameters():
                    theirs.get_parameter(name.replace("l0", f"l{layer}{suffix}")).copy_(parameter)
    lengths = torch.tensor([5, 11, 1, 7])
    mask = padding_mask(lengths, 11)
    source = torch.randint(2, 23, (4, 11)).where(mask, 1)
    states, same_mask, summary = encoder(source, mask, lengths)
    packed = pack_padded_sequence(encoder.table(source), lengths, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(theirs(packed)[0], batch_first=True)
    assert states.shape == (4, 11, encoder.d_model)
    assert_close(states[mask], expected[mask])
    assert same_mask is mask
    assert summary.shape == (4, encoder.d_summary)
    assert_close(summary, expected[:, 0, 7:])  # the backward direction at the first word

    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    ours_first = [p for rnns in (encoder.forwards, encoder.backwards) for p in map(rnns[0].get_parameter, names)]
    theirs_first = [theirs.get_parameter(name + suffix) for suffix in ("", "_reverse") for name in names]
    assert_close(
        torch.autograd.grad(states[mask].square().sum(), ours_first),
        torch.autograd.grad(expected[mask].square().sum(), theirs_first),
    )


def test_odd_size_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"encoder\.d_model=7 must be even"):
        RecurrentEncoder(embedding_table(23, 5, padding_index=1), d_model=7, num_layers=1, dropout=0, rnn=GRU)
