"""The coverage loss: its value by hand, its gradient, and where it applies."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from seq2seq.attention import MultiHeadAttention, record_attention
from seq2seq.build import build_model
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.errors import UserError
from seq2seq.options import compose_defaults
from seq2seq.training.coverage import CoverageLoss, cover

ROWS = torch.tensor([[0.4, 0.4, 0.2], [0.5, 0.3, 0.2]])


def model(*overrides: str) -> nn.Module:
    one: Any = range(8)
    return build_model(compose_defaults("train", [*overrides, "output=none"]), Tokenizers(one, one))


def test_loss_is_what_is_looked_at_again_of_real_target_tokens() -> None:
    loss = CoverageLoss(("a",), 1.0)
    weights = ROWS[None, None]
    assert_close(loss.loss({"a": weights}, torch.tensor([0, 1])), torch.tensor(0.9))
    assert_close(loss.loss({"a": weights}, torch.tensor([0])), torch.tensor(0.0))
    padded = torch.cat((weights, ROWS.flip(0)[None, None]))
    assert_close(loss.loss({"a": padded}, torch.tensor([0, 1, 2])), torch.tensor(0.9))


def test_heads_are_averaged_before_and_layers_after() -> None:
    apart = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]]])
    tokens = torch.tensor([0, 1])
    assert CoverageLoss(("a",), 1.0).loss({"a": apart}, tokens) == 1.0
    assert CoverageLoss(("a",), 1.0).loss({"a": apart[:, :1]}, tokens) == 0.0
    assert CoverageLoss(("a", "b"), 1.0).loss({"a": apart, "b": apart[:, :1]}, tokens) == 0.5


def test_loss_has_a_gradient_that_moves_weight_away_from_what_was_seen() -> None:
    attention = MultiHeadAttention(8, 2)
    x, y = torch.randn(1, 3, 8), torch.randn(1, 4, 8)
    with record_attention(attention, names=["attention"], detach=False) as record:
        attention(x, attention.memory(y, y))
    CoverageLoss(("attention",), 1.0).loss(record, torch.arange(3)).backward()
    gradient = attention.get_parameter("query.weight").grad
    assert gradient is not None and gradient.isfinite().all() and gradient.count_nonzero()


def test_every_layer_that_looks_at_the_source_counts() -> None:
    found = cover(model("model=transformer", "model.num_layers=2"), weight=0.5)
    assert found == CoverageLoss(tuple(f"decoder.layers.{i}.cross_attention.attention" for i in range(2)), 0.5)
    assert cover(model("model=bahdanau"), weight=1.0) == CoverageLoss(("decoder.attention",), 1.0)
    assert cover(model("model=bahdanau"), weight=0.0) is None


def test_weight_that_cannot_be_and_a_model_without_attention_are_refused() -> None:
    bottleneck = model("model=bottleneck")
    with pytest.raises(UserError, match="needs cross-attention"):
        cover(bottleneck, weight=1.0)
    for weight in (-1.0, float("inf"), float("nan")):
        with pytest.raises(UserError, match=rf"training\.coverage\.weight={weight} must be 0"):
            cover(bottleneck, weight=weight)
