"""Guided alignment: its loss by hand, its gradient, and where it applies."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from seq2seq.attention import Attention, Dot, MultiHeadAttention, record_attention
from seq2seq.data.batching import collate
from seq2seq.errors import UserError
from seq2seq.training.guidance import Guidance, guide

NAMES = [f"decoder.layers.{i}.cross_attention.attention" for i in range(3)]


def model(layers: int = 3) -> nn.Module:
    root, decoder = nn.Module(), nn.Module()
    decoder.layers = nn.ModuleList()
    for _ in range(layers):
        layer = nn.Module()
        layer.self_attention, layer.cross_attention = (MultiHeadAttention(8, 2) for _ in range(2))
        decoder.layers.append(layer)
    root.decoder = decoder
    return root


def test_batch_spreads_each_linked_target_piece_evenly_over_its_source_pieces() -> None:
    batch = collate([([5, 6, 7], [8, 9], 0, [(0, 0), (2, 0), (1, 1)]), ([5], [8, 9, 10], 1, [])])
    expected = torch.zeros(2, 4, 4)  # EOS of either side is never linked
    expected[0, 0, [0, 2]] = 0.5
    expected[0, 1, 1] = 1.0
    assert batch.link_weights is not None and batch.link_weights.equal(expected)
    assert collate([([5], [8], 0)]).link_weights is None
    moved = batch.to("meta").link_weights
    assert moved is not None and moved.device.type == "meta"


def test_loss_is_the_cross_entropy_of_linked_rows_of_its_head() -> None:
    weights = torch.tensor([[[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], [[0.2, 0.2, 0.6], [1.0, 0.0, 0.0]]]])
    links = torch.tensor([[[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]])
    loss = Guidance("a", 0, 0.05).loss({"a": weights}, links)
    assert loss == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4), rel=1e-4)
    assert Guidance("a", 1, 0.05).loss({"a": weights}, links) == pytest.approx(math.log(5), rel=1e-4)


def test_at_the_input_a_word_is_guided_in_the_row_after_it() -> None:
    weights = torch.tensor([[[[0.5, 0.5, 0.0], [0.25, 0.75, 0.0], [0.1, 0.2, 0.7]]]])
    links = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]])  # nothing of the end
    loss = Guidance("a", 0, 0.05, row="input").loss({"a": weights}, links)
    assert loss == pytest.approx(-math.log(0.25) - math.log(0.7), rel=1e-4)


def test_weight_of_exactly_zero_on_a_link_gives_a_finite_loss_and_gradient() -> None:
    weights = torch.tensor([[[[0.0, 1.0]]]], requires_grad=True)
    loss = Guidance("a", 0, 1.0).loss({"a": weights}, torch.tensor([[[1.0, 0.0]]]))
    loss.backward()
    assert loss.isfinite() and weights.grad is not None and weights.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["less than one", "more than one", "below 0", "nothing"])
def test_rows_that_do_not_sum_to_one_give_a_finite_loss_that_teaches(kind: str) -> None:
    torch.manual_seed(0)
    scores = torch.randn(1, 1, 3, 4, requires_grad=True)
    links = torch.eye(3, 4)[None]

    def loss() -> torch.Tensor:
        weights = {
            "less than one": lambda: scores.exp() / (3 + scores.exp().sum(-1, keepdim=True)),
            "more than one": scores.sigmoid,
            "below 0": lambda: scores.softmax(-1) - 0.5 * scores.flip(-1).softmax(-1),
            "nothing": lambda: scores.softmax(-1) * 0,
        }[kind]()
        return Guidance("a", 0, 1.0).loss({"a": weights}, links)

    before = loss()
    for _ in range(300):
        (gradient,) = torch.autograd.grad(loss(), scores)
        assert gradient.isfinite().all()
        scores.data -= 0.1 * gradient
    assert before.isfinite() and loss() < 0.2 * before or kind == "nothing"


def test_row_that_sums_to_more_than_one_gains_nothing_by_it() -> None:
    links = torch.tensor([[[1.0, 0.0, 0.0]]])
    for row, expected in (([0.9, 0.9, 0.0], math.log(2)), ([0.5, 0.0, 0.0], math.log(2)), ([9.0, 0.0, 0.0], 0.0)):
        loss = Guidance("a", 0, 1.0).loss({"a": torch.tensor([[[row]]])}, links)
        assert loss == pytest.approx(expected, abs=1e-5)


def test_gradient_flows_into_the_guided_head_alone() -> None:
    attention = MultiHeadAttention(8, 2)
    x, y = torch.randn(1, 3, 8), torch.randn(1, 4, 8)
    with record_attention(attention, names=["attention"], detach=False) as record:
        attention(x, attention.memory(y, y))
    links = torch.eye(3, 4)[None]
    Guidance("attention", 1, 1.0).loss(record, links).backward()
    gradient = attention.query.weight.grad
    assert gradient is not None and gradient[:4].eq(0).all() and gradient[4:].ne(0).any()


def test_layer_is_the_last_but_one_or_the_only_one() -> None:
    assert guide(model(3), weight=0.05, layer=None, head=1) == Guidance(NAMES[1], 1, 0.05)
    assert guide(model(1), weight=0.05, layer=None, head=0) == Guidance(NAMES[0], 0, 0.05)
    assert guide(model(3), weight=0.05, layer=2, head=0) == Guidance(NAMES[2], 0, 0.05)
    assert guide(model(3), weight=0.0, layer=7, head=7) is None


def test_head_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UserError, match=r"layer=3: the model has layers 0 to 2"):
        guide(model(3), weight=0.05, layer=3, head=0)
    with pytest.raises(UserError, match=r"head=2: layer 1 has heads 0 to 1"):
        guide(model(3), weight=0.05, layer=None, head=2)
    recurrent = nn.Module()
    recurrent.decoder = nn.Module()
    recurrent.decoder.attention = Attention(Dot(4, 4))
    assert guide(recurrent, weight=1.0, layer=None, head=0) == Guidance("decoder.attention", 0, 1.0)
    with pytest.raises(UserError, match=r"head=1: layer 0 has heads 0 to 0"):
        guide(recurrent, weight=1.0, layer=0, head=1)
    with pytest.raises(UserError, match="needs cross-attention"):
        guide(nn.Linear(2, 2), weight=1.0, layer=None, head=0)


def test_record_of_some_names_leaves_the_others_on_the_fused_path() -> None:
    attentions: Any = nn.ModuleDict({"a": MultiHeadAttention(8, 2), "b": MultiHeadAttention(8, 2)})
    x = torch.randn(1, 3, 8)
    with record_attention(attentions, names=["a.attention"]) as record:
        for attention in attentions.values():
            attention(x, attention.memory(x, x))
    assert list(record) == ["a.attention"]
    assert not record["a.attention"].requires_grad
