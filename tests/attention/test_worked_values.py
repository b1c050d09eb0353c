"""The hand-computed values of the literature's small examples, to six decimals."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seq2seq.attention import (
    Attention,
    Cosine,
    Coverage,
    Dot,
    Linear,
    MultiHeadAttention,
    Past,
    ScaledDot,
    Softmax,
    causal_mask,
)


def close(actual: Tensor, expected: list[float]) -> None:
    assert_close(actual, torch.tensor(expected, dtype=torch.float32), atol=1e-6, rtol=0)


@pytest.mark.parametrize("need_weights", [True, False])
def test_unscaled_dot(need_weights: bool) -> None:
    attention = Attention(Dot(2, 2))
    memory = attention.memory(torch.tensor([[1.0, 0], [0, 1], [1, 1]]), torch.tensor([[10.0, 0], [0, 10], [5, 5]]))
    context, weights = attention(torch.tensor([[1.0, 0]]), memory, need_weights=need_weights)
    close(context[0], [6.334782, 3.665218])
    if weights is not None:
        close(weights[0], [0.422319, 0.155362, 0.422319])
        close(weights[0], [x / (2 * math.e + 1) for x in (math.e, 1, math.e)])


def test_shapes_of_self_causal_and_cross_attention() -> None:
    attention = Attention(ScaledDot(8, 8))
    source, target = torch.randn(2, 4, 8), torch.randn(2, 3, 8)
    for query, key, causal, shape in (
        (source, source, False, (2, 4, 4)),
        (target, target, True, (2, 3, 3)),
        (target, source, False, (2, 3, 4)),
    ):
        memory = attention.memory(key, key)
        assert attention.score(query, memory.keys).shape == shape
        context, weights = attention(query, memory, causal=causal, need_weights=True)
        assert weights.shape == shape
        assert context.shape == query.shape
        assert_close(weights.sum(-1), torch.ones(shape[:-1]))


@pytest.mark.parametrize("need_weights", [True, False])
def test_values_may_be_wider_than_keys(need_weights: bool) -> None:
    attention = Attention(ScaledDot(16, 16))
    memory = attention.memory(torch.randn(7, 16), torch.randn(7, 32))
    context, weights = attention(torch.randn(5, 16), memory, need_weights=need_weights)
    assert context.shape == (5, 32)
    assert weights is None or weights.shape == (5, 7)


def test_multi_head_cross_attention_normalises_over_the_source() -> None:
    attention = MultiHeadAttention(8, 4)
    source = torch.randn(3, 10, 8)
    context, weights = attention(torch.randn(3, 6, 8), attention.memory(source, source), need_weights=True)
    assert context.shape == (3, 6, 8)
    assert weights.shape == (3, 4, 6, 10)
    assert_close(weights.sum(-1), torch.ones(3, 4, 6))


def test_causal_softmax() -> None:
    scores = torch.tensor([[2.0, 1, 0], [0, 3, 4], [1, 1, 1]])
    weights = Softmax()(scores, causal_mask(3, 3, device=scores.device))
    close(weights[0], [1, 0, 0])
    close(weights[1], [0.047426, 0.952574, 0])
    close(weights[2], [1 / 3, 1 / 3, 1 / 3])


@pytest.mark.parametrize("need_weights", [True, False])
def test_scaled_dot_with_projections(need_weights: bool) -> None:
    words = torch.tensor([[1.0, 2, 3], [0.5, 1, 1.5], [2, 1, 0.5]])
    query = words @ torch.tensor([[0.6, -0.2], [0.1, 0.5], [-0.3, 0.4]])
    key = words @ torch.tensor([[0.2, 0.3], [-0.4, 0.7], [0.5, -0.1]])
    value = words @ torch.tensor([[0.9, 0.1], [0.2, 0.8], [-0.1, 0.6]])
    close(query[0], [-0.1, 2])
    close(key[0], [0.9, 1.4])
    close(value[0], [1, 3.5])
    attention = Attention(ScaledDot(2, 2))
    memory = attention.memory(key, value)
    close(attention.score(query, memory.keys)[0] * math.sqrt(2), [2.71, 1.355, 2.475])
    context, weights = attention(query, memory, need_weights=need_weights)
    close(context[0], [1.274714, 2.363713])
    if weights is not None:
        close(weights[0], [0.448328, 0.171983, 0.379690])


@pytest.mark.parametrize("need_weights", [True, False])
def test_linear(need_weights: bool) -> None:
    attention = Attention(Linear(2, 2))
    memory = attention.memory(torch.tensor([[1.0, 0], [0, 1], [-1, -1]]), torch.tensor([[10.0, 0], [0, 10], [5, 5]]))
    context, weights = attention(torch.tensor([[1.0, -1]]), memory, need_weights=need_weights)
    close(context[0], [6.023307, 3.976693])
    if weights is not None:
        close(weights[0], [0.547715, 0.343053, 0.109232])


def test_coverage() -> None:
    attention = Attention(Coverage(1, 1))
    with torch.no_grad():
        for parameter, value in zip(attention.parameters(), (1.0, 1.0, 1.0, -1.0), strict=True):
            parameter.fill_(value)
    keys, query = torch.tensor([[[1.0], [0], [-1]]]), torch.tensor([[[0.5]]])
    memory = attention.memory(keys, keys)
    past = Past(torch.tensor([[[0.4, 0.4, 0.2]]]), torch.zeros(1, 1, 3))
    close(attention.score(query, memory.keys, past)[0, 0], [0.800499, 0.099668, -0.604368])
    _, weights = attention(query, memory, past=past, need_weights=True)
    assert weights is not None
    close(weights[0, 0], [0.574194, 0.284899, 0.140907])


def test_qk_norm_is_the_cosine_score() -> None:
    score = Cosine(2, 2, initial_scale=10.0)
    close(score(torch.tensor([[3.0, 4]]), score.project_keys(torch.tensor([[1.0, 0]])))[0], [6.0])
