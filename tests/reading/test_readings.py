"""Readings: values by hand, norms against a loop in float64, and what cannot be read."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from seq2seq.alignment.shares import shares
from seq2seq.attention import (
    Additive,
    Differential,
    General,
    Leaky,
    LocalP,
    MultiHeadAttention,
    Sigmoid,
    Softmax,
)
from seq2seq.data.batching import collate
from seq2seq.errors import UserError
from seq2seq.models import GRU, BahdanauDecoder, EncoderDecoder, LuongDecoder, RecurrentEncoder
from seq2seq.models.embedding import embedding_table
from seq2seq.reading import NAMES, Best, Reading, fed_in, norm_shares, norms, record_pass

LENGTHS = torch.tensor([3, 2])
BATCH = collate([([4, 5, 6, 7], [8, 9, 10], 0), ([4, 5], [8, 9], 1), ([6], [10], 2)])
DECODERS: dict[str, Any] = {
    "bahdanau": partial(BahdanauDecoder, score=Additive, d_readout=None),
    "luong": partial(LuongDecoder, score=General, input_feeding=False),
    "input feeding": partial(LuongDecoder, score=General, input_feeding=True),
}
HEADS: dict[str, dict[str, Any]] = {
    "plain": {},
    "shared keys": {"num_key_heads": 1},
    "two key heads": {"num_key_heads": 2},
    "gated": {"gate": True},
    "leaky": {"normalizer": Leaky},
    "sigmoid": {"normalizer": Sigmoid},
    "local": {"pattern": LocalP},
    "one head": {"num_heads": 1},
}


class Cross(nn.Module):
    """A model of one cross-attention."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.decoder: Any = nn.Module()
        self.decoder.cross = MultiHeadAttention(8, options.pop("num_heads", 4), **options)
        self.decoder.cross.value.bias.data.normal_()
        self.decoder.cross.output.bias.data.normal_()

    def forward(self, target: Tensor, source: Tensor) -> Tensor:
        found: Tensor = self.decoder.cross(target, self.decoder.cross.memory(source, source))[0]
        return found


def recurrent(kind: str) -> EncoderDecoder:
    table = embedding_table(11, 6, padding_index=1)
    encoder = RecurrentEncoder(table, d_model=8, num_layers=1, dropout=0.0, rnn=GRU)
    options: dict[str, Any] = {"num_layers": 1, "dropout": 0.0, "attention_dropout": 0.0, "rnn": GRU}
    decoder = DECODERS[kind](table, d_encoder=8, d_summary=4, d_model=10, normalizer=Softmax, **options)
    return EncoderDecoder(encoder, decoder, vocab_size=11).eval()


@pytest.mark.parametrize("kind", HEADS)
def test_norms_of_heads_are_those_of_a_loop_in_float64(kind: str) -> None:
    torch.manual_seed(0)
    model = Cross(**HEADS[kind])
    attention: Any = model.decoder.cross
    target, source = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    with record_pass(model, norms=True) as seen:
        model(target, source)
    found, weights = norms(seen, "decoder.cross.attention"), seen.record["decoder.cross.attention"].double()
    exact = attention.double()
    values, heads = exact.value(source.double()), weights.shape[1]
    gates = torch.sigmoid(exact.gate(target.double())) if exact.gate else torch.ones(2, 3, heads)
    d = 8 // heads
    for b in range(2):
        for i in range(3):
            for j in range(5):
                parts = []
                for h in range(heads):
                    k = h // (heads // exact.num_key_heads)
                    part = values[b, j, k * d : (k + 1) * d] @ exact.output.weight[:, h * d : (h + 1) * d].T
                    parts.append(weights[b, h, i, j] * gates[b, i, h] * part)
                sizes = [part.norm() for part in parts]
                expected = sizes if heads == 1 else [torch.stack(parts).sum(0).norm(), *sizes]
                assert_close(found[b, :, i, j].double(), torch.stack(expected), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["plain", "gated", "two key heads"])
def test_contributions_and_bias_are_the_output(kind: str) -> None:
    torch.manual_seed(1)
    model = Cross(**HEADS[kind])
    target, source = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    with record_pass(model, norms=True) as seen:
        output = model(target, source)
    name, attention = "decoder.cross.attention", model.decoder.cross
    weights = seen.record[name] * (seen.gates[name][..., None] if name in seen.gates else 1)
    parts = attention.contributions(seen.record.attended[name])
    assert_close(torch.einsum("bhij,bhjd->bid", weights, parts) + attention.output.bias, output)


@pytest.mark.parametrize("kind", DECODERS)
def test_norms_of_a_recurrent_decoder_are_of_what_reads_its_context(kind: str) -> None:
    torch.manual_seed(2)
    model: Any = recurrent(kind)
    with torch.no_grad(), record_pass(model, norms=True) as seen:
        model.features(BATCH.source, BATCH.source_mask, BATCH.source_lengths, BATCH.target_input, BATCH.target_indices)
        states = model.encode(BATCH.source, BATCH.source_mask, BATCH.source_lengths).states.double()
    decoder = model.decoder
    if kind == "bahdanau":
        reads = torch.cat((decoder.rnn.weight_ih_l0[:, 6:], decoder.readout.weight[:, 16:]))
    else:
        reads = decoder.combine.weight[:, :8]
    found, weights = norms(seen, "decoder.attention"), seen.record["decoder.attention"]
    for b, i, j in ((0, 0, 0), (0, 3, 4), (1, 2, 1), (2, 1, 1)):
        expected = weights[b, 0, i, j].double() * (reads.double() @ states[b, j]).norm()
        assert_close(found[b, 0, i, j].double(), expected, rtol=1e-5, atol=1e-7)


def test_shares_of_norms_by_hand() -> None:
    model = Cross(num_heads=1)
    attention: Any = model.decoder.cross
    for linear in (attention.query, attention.key, attention.value, attention.output):
        linear.weight.data = torch.eye(8)
        linear.bias.data.zero_()
    attention.query.weight.data.zero_()  # equal weights: 1/2 each
    source = torch.zeros(1, 2, 8)
    source[0, 0, 0], source[0, 1, :2] = 1.0, torch.tensor([3.0, 4.0])  # of norms 1 and 5
    with record_pass(model, norms=True) as seen:
        model(torch.randn(1, 1, 8), source)
    name = "decoder.cross.attention"
    assert_close(norms(seen, name), torch.tensor([[[[0.5, 2.5]]]]))
    lengths = torch.tensor([1])
    assert_close(Reading.named("output_norms")(seen, name, lengths), torch.tensor([[[[1 / 6, 5 / 6]]]]))
    assert_close(Reading.named("output_weights")(seen, name, lengths), torch.tensor([[[[0.5, 0.5]]]]))


def test_heads_that_cancel_out_contribute_nothing_together() -> None:
    model = Cross(num_heads=2)
    attention: Any = model.decoder.cross
    attention.query.weight.data.zero_()
    attention.value.weight.data = torch.cat((torch.eye(4, 8), torch.eye(4, 8)))
    attention.value.bias.data.zero_()
    attention.output.weight.data = torch.cat((torch.eye(8, 4), -torch.eye(8, 4)), dim=1)
    with record_pass(model, norms=True) as seen:
        model(torch.randn(1, 1, 8), torch.ones(1, 3, 8))
    together, *heads = norms(seen, "decoder.cross.attention")[0, :, 0, 0].tolist()
    assert together == pytest.approx(0, abs=1e-4) and heads == pytest.approx([2 / 3, 2 / 3])


def test_word_at_the_input_has_the_row_of_the_next_step_and_the_end_that_of_the_first() -> None:
    rows = torch.arange(8.0).view(2, 1, 4, 1).expand(-1, -1, -1, 2)
    assert fed_in(rows, LENGTHS)[..., 0].flatten(1).tolist() == [[1, 2, 0, 0], [5, 4, 4, 4]]


def test_shares_of_norms_leave_to_nobody_what_the_weights_leave() -> None:
    sizes, given = torch.tensor([[3.0, 1.0], [0.0, 0.0]]), torch.tensor([[0.1, 0.3], [0.2, 0.2]])
    assert_close(norm_shares(sizes, given), torch.tensor([[0.3, 0.1], [0.0, 0.0]]))


def test_all_heads_together_come_first_and_are_of_weights_the_mean() -> None:
    model = Cross()
    with record_pass(model) as seen:
        model(torch.randn(2, 3, 8), torch.randn(2, 5, 8))
    name = "decoder.cross.attention"
    assert not seen.record.attended
    found = Reading.named("output_weights")(seen, name, torch.tensor([3, 3]))
    assert found.shape == (2, 5, 3, 5)
    assert_close(found[:, 0], shares(seen.record[name]).mean(1))


def test_what_a_pass_recorded_leaves_no_hook_behind() -> None:
    model = Cross(gate=True)
    with pytest.raises(RuntimeError, match="stop"), record_pass(model, norms=True):
        raise RuntimeError("stop")
    assert not any(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_norms_of_a_normaliser_that_changes_the_whole_context_are_refused_by_name() -> None:
    model = Cross(normalizer=Differential)
    model.decoder.layers = nn.ModuleList()
    with pytest.raises(UserError, match="norms cannot be read with Differential: .* use reading=output_weights"):
        Reading.named("output_norms").of(model)
    assert Reading.named("input_weights").of(model) == (Reading(row="input", quantity="weights"),)


def test_best_leaves_out_what_a_model_cannot_have() -> None:
    assert Best(readings=NAMES).of(Cross(normalizer=Differential)) == tuple(
        Reading(row=row, quantity="weights") for row in ("output", "input")
    )
    assert len(Best(readings=NAMES).of(Cross())) == 4
    with pytest.raises(UserError, match="Differential"):
        Best(readings=["output_norms"]).of(Cross(normalizer=Differential))


def test_model_that_does_not_say_what_reads_its_context_is_refused_by_name() -> None:
    model = recurrent("luong")
    model.decoder.contributions = None  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="LuongDecoder does not say by which matrix it reads what decoder.attention"):
        Reading.named("output_norms").of(model)


@pytest.mark.parametrize("wrong", ["norms", "output_sizes", "left_weights"])
def test_unknown_readings_are_refused(wrong: str) -> None:
    with pytest.raises(UserError, match=f"there is no reading {wrong}; choose among output_weights, input_weights"):
        Best(readings=[wrong])
    with pytest.raises(UserError, match="reading.row=left: expected output or input"):
        Reading(row="left", quantity="weights")
    with pytest.raises(UserError, match="expected a list"):
        Best(readings="output_weights")
