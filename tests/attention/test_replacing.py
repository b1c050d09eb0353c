"""Other weights in the place of a model's own: contexts by hand, and nothing of it outside the block."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from seq2seq.attention import (
    Additive,
    Attention,
    Coverage,
    Differential,
    Dot,
    Leaky,
    LocalP,
    MultiHeadAttention,
    Past,
    ScaledDot,
    record_attention,
    replace_attention,
)


def asked(attention: Attention, query: Tensor, value: Tensor, other: Tensor, **options: Any) -> Tensor:
    model = nn.ModuleDict({"attention": attention})
    with replace_attention(model, {"attention": lambda own, seen: other.expand_as(own)}):
        context: Tensor = attention(query, attention.memory(value, value), **options)[0]
    return context


def test_context_is_of_the_other_weights() -> None:
    value = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [4.0, 4.0]]])
    other = torch.tensor([0.5, 0.25, 0.25])
    context = asked(Attention(Additive(2, 2)), torch.randn(1, 3, 2), value, other)
    assert_close(context, torch.tensor([1.5, 1.5]).expand(1, 3, 2))


def test_change_is_told_own_weights_and_what_each_query_sees() -> None:
    attention = Attention(Dot(2, 2), pattern=LocalP(2, seat="cross"))
    model, told = nn.ModuleDict({"attention": attention}), []
    value, query, mask = torch.randn(2, 4, 2), torch.randn(2, 3, 2), torch.ones(2, 1, 4, dtype=torch.bool)
    mask[1, 0, 3] = False
    memory = attention.memory(value, value, mask)
    _, expected = attention(query, memory, need_weights=True)

    def change(own: Tensor, seen: Tensor) -> Tensor:
        told.append((own, seen))
        return own

    with replace_attention(model, {"attention": change}):
        context, _ = attention(query, memory)
    assert_close(told[0][0], expected)
    assert told[0][1].tolist() == mask.expand(2, 3, 4).tolist()
    assert_close(context, attention(query, memory)[0])


def test_what_goes_nowhere_stays_in_the_context() -> None:
    normalizer = Leaky(num_heads=2, d_value=3)
    with torch.no_grad():
        normalizer.value.fill_(1.0)
    attention = Attention(ScaledDot(3, 3, num_heads=2), normalizer)
    query, value = torch.randn(1, 2, 4, 3), torch.randn(1, 2, 5, 3)
    _, own = attention(query, attention.memory(value, value), need_weights=True)
    shuffled = own.flip(-1)
    context = asked(attention, query, value, shuffled)
    assert_close(context, shuffled @ value + (1 - own.sum(-1, keepdim=True)))


def test_context_that_is_scaled_as_a_whole_is_scaled_again() -> None:
    normalizer = Differential(num_heads=2, d_value=4)
    attention = Attention(ScaledDot(2, 2, num_heads=4), normalizer)
    query, keys, value = torch.randn(1, 4, 3, 2), torch.randn(1, 4, 5, 2), torch.randn(1, 2, 5, 4)
    other = torch.rand(1, 2, 3, 5)
    model, memory = nn.ModuleDict({"attention": attention}), attention.memory(keys, value)
    with replace_attention(model, {"attention": lambda own, seen: other}):
        context = attention(query, memory)[0]
    plain = other @ value
    expected = (1 - normalizer.initial) * plain / plain.square().mean(-1, keepdim=True).add(1e-5).sqrt()
    assert_close(context, expected)


def test_heads_that_share_keys_have_weights_of_their_own_and_a_recorder_sees_them() -> None:
    layer = MultiHeadAttention(8, 4, num_key_heads=2)
    x, other = torch.randn(2, 3, 8), torch.softmax(torch.randn(2, 4, 3, 3), -1)
    memory = layer.memory(x, x)
    plain = layer(x, memory)[0]
    with record_attention(layer) as record, replace_attention(layer, {"attention": lambda own, seen: other}):
        changed = layer(x, memory)[0]
    assert_close(record["attention"], other)
    values = memory.value.repeat_interleave(2, dim=1)
    assert_close(changed, layer.output((other @ values).transpose(1, 2).flatten(-2)))
    assert_close(layer(x, memory)[0], plain)
    assert not layer.attention._forward_hooks and not layer.attention.recorders


def test_score_that_remembers_is_told_the_other_weights() -> None:
    attention = Attention(Coverage(2, 2))
    model, value = nn.ModuleDict({"attention": attention}), torch.randn(1, 3, 2)
    memory = attention.memory(value, value)
    past = Past.nothing(memory.keys)
    other = torch.tensor([[[0.0, 1.0, 0.0]]])
    with replace_attention(model, {"attention": lambda own, seen: other}):
        _, weights = attention(torch.randn(1, 1, 2), memory, past=past, need_weights=True)
    assert_close(past.after(weights).total, other)


def test_attention_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AttributeError), replace_attention(nn.Module(), {"attention": lambda own, seen: own}):
        pass
