"""Attention in O(n) against the explicit path, and its sums against a cache of keys."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seq2seq.attention import (
    Attention,
    Cosine,
    Linear,
    LocalP,
    LogLength,
    MultiHeadAttention,
    Performer,
    ScaledDot,
    Score,
    Softmax,
    Sparsemax,
    Sums,
    Window,
    padding_mask,
    record_attention,
)
from seq2seq.attention import attention as module
from seq2seq.attention.linear_attention import CHUNK, WHOLE
from seq2seq.errors import UserError

KINDS = [Linear, Performer]
LENGTHS = [1, 7, WHOLE, WHOLE + 1, 3 * CHUNK, 4 * CHUNK - 5]


@pytest.fixture
def kernel_calls(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return whether each call of the kernel came to a context, as they happen."""
    calls: list[bool] = []
    kernel = module.linear_attention

    def spy(*args: Any, **options: Any) -> Tensor | None:
        context = kernel(*args, **options)
        calls.append(context is not None)
        return context

    monkeypatch.setattr(module, "linear_attention", spy)
    return calls


def tensors(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", KINDS)
def test_kernel_equals_explicit_path_in_context_and_gradients(
    kind: type[Score], length: int, causal: bool, kernel_calls: list[bool]
) -> None:
    attention = Attention(kind(5, 5)).double()
    inputs = tensors((2, 3, length, 5), (2, 3, length, 5), (2, 3, length, 4))
    mask = padding_mask(torch.tensor([length, max(length - 3, 0)]), length)[:, None, None]
    found = []
    for need_weights in (False, True):
        query, key, value = inputs
        context, _ = attention(query, attention.memory(key, value, mask), causal=causal, need_weights=need_weights)
        found.append((context, *torch.autograd.grad(context.square().sum(), inputs)))
    assert kernel_calls == [True]
    assert_close(*found)


@pytest.mark.parametrize("size", [8.0, 100.0])
@pytest.mark.parametrize("kind", KINDS)
def test_kernel_and_explicit_path_agree_where_features_come_to_their_bounds(kind: type[Score], size: float) -> None:
    attention = Attention(kind(16, 16))
    query, key, value = (size * torch.randn(2, 7, 16) for _ in range(3))
    memory = attention.memory(key, value)
    context, weights = attention(query, memory, need_weights=True)
    assert weights is not None and weights.isfinite().all()
    assert_close(attention(query, memory)[0], context, atol=1e-3 * size, rtol=0)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("keys", [5, 170])
def test_more_or_fewer_keys_than_queries(keys: int, causal: bool, kernel_calls: list[bool]) -> None:
    attention = Attention(Linear(5, 5)).double()
    query, key, value = tensors((2, 140, 5), (2, keys, 5), (2, keys, 4))
    memory = attention.memory(key, value)
    expected = attention(query, memory, causal=causal, need_weights=True)[0]
    assert_close(attention(query, memory, causal=causal)[0], expected)
    assert kernel_calls == [True]


@pytest.mark.parametrize(
    "shape", [(), (7,), (1, 7), (2, 1, 1, 7), (1, 4, 1, 7), (2, 4, 1, 7), (2, 1, 7, 7), (7, 7)], ids=str
)
@pytest.mark.parametrize("causal", [True, False])
def test_mask_of_every_shape_means_the_same_on_both_paths(shape: tuple[int, ...], causal: bool) -> None:
    attention = MultiHeadAttention(16, 4, num_key_heads=2, score=Linear).double()
    x, mask = torch.randn(2, 7, 16, dtype=torch.float64), torch.rand(shape) < 0.7
    memory = attention.memory(x, x, mask)
    assert_close(attention(x, memory, causal=causal)[0], attention(x, memory, causal=causal, need_weights=True)[0])


def test_kernel_never_makes_pairs_of_all_queries_and_keys() -> None:
    length, largest = 40 * CHUNK, 0
    attention = MultiHeadAttention(8, 2, score=Linear)
    x = torch.randn(1, length, 8, requires_grad=True)

    def pack(tensor: Tensor) -> Tensor:
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    for causal in (True, False):
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            attention(x, attention.memory(x, x), causal=causal)[0].sum().backward()
    assert largest <= 2 * length * CHUNK


@pytest.mark.parametrize(
    "attention",
    [
        Attention(Linear(5, 5), Sparsemax()),
        Attention(Linear(5, 5), Softmax(temperature=0.5)),
        Attention(Linear(5, 5), pattern=Window(5, width=1)),
        Attention(Linear(5, 5), dropout=0.5),
        Attention(Linear(5, 5), biased=True),
    ],
    ids=["normaliser", "temperature", "pattern", "dropout", "bias"],
)
def test_kernel_is_left_where_it_would_be_something_else(attention: Attention, kernel_calls: list[bool]) -> None:
    query, key, value = tensors((2, 7, 5), (2, 7, 5), (2, 7, 4))
    attention = attention.double()
    attention(query, attention.memory(key, value))
    assert not kernel_calls and attention.kernel("cpu") == "explicit"


def test_query_that_sees_nothing_gets_zero_and_finite_gradients() -> None:
    attention = Attention(Performer(5, 5)).double()
    query, key, value = tensors((2, 7, 5), (2, 7, 5), (2, 7, 4))
    for causal in (True, False):
        mask = torch.tensor([[[True] * 7], [[False] * 7]])
        context, _ = attention(query, attention.memory(key, value, mask), causal=causal)
        assert context[1].count_nonzero() == 0 and context[0].count_nonzero()
        gradients = torch.autograd.grad(context.sum(), (query, key, value))
        assert all(gradient.isfinite().all() for gradient in gradients)


def test_bias_that_nobody_announced_joins_the_scores(kernel_calls: list[bool]) -> None:
    attention = Attention(Linear(5, 5)).double()
    query, key, value = tensors((2, 7, 5), (2, 7, 5), (2, 7, 4))
    memory, bias = attention.memory(key, value), torch.randn(7, 7)
    assert_close(attention(query, memory, bias=bias)[0], attention(query, memory, bias=bias, need_weights=True)[0])
    assert not kernel_calls


@pytest.mark.parametrize("num_key_heads", [4, 2, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_sums_are_all_that_decoding_keeps_and_give_what_a_causal_pass_gives(
    kind: type[Score], num_key_heads: int
) -> None:
    attention = MultiHeadAttention(16, 4, num_key_heads=num_key_heads, score=kind).double()
    x = torch.randn(3, 9, 16, dtype=torch.float64)
    cache: tuple[Tensor, ...] = attention.nothing(x[:, :1])
    sizes, steps = {tensor.shape for tensor in cache}, []
    for token in x.split(1, dim=1):
        seen = attention.extend(cache, token, None)
        assert isinstance(seen, Sums)
        cache = tuple(seen)
        assert {tensor.shape for tensor in cache} == sizes
        steps.append(attention(token, seen)[0])
    assert_close(torch.cat(steps, dim=1), attention(x, attention.memory(x, x), causal=True)[0])


def test_sums_do_not_stall_in_bfloat16() -> None:
    attention = MultiHeadAttention(16, 4, score=Linear)
    x = torch.randn(1, 1, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cache: tuple[Tensor, ...] = attention.nothing(x)
        once = attention.extend(cache, x, None)
        for _ in range(600):
            cache = tuple(attention.extend(cache, x, None)[:2])
    assert_close(cache[0], 600 * once.keys, rtol=1e-4, atol=0)
    assert cache[0].dtype is cache[1].dtype is torch.float32


def test_recorder_keeps_the_keys_of_a_search_that_begins_in_it_and_refuses_sums() -> None:
    attention = MultiHeadAttention(16, 4, score=Linear)
    x = torch.randn(1, 2, 16)
    sums = attention.extend(attention.nothing(x[:, :1]), x[:, :1], None)
    with record_attention(attention) as record:
        cache: tuple[Tensor, ...] = attention.nothing(x[:, :1])
        for token in x.split(1, dim=1):
            memory = attention.extend(cache, token, None)
            cache = tuple(memory[:2])
            attention(token, memory)
        assert_close(record["attention"].sum(-1), torch.ones(1, 4, 2))
        with pytest.raises(UserError, match="Linear kept only sums .* begin the search inside record_attention"):
            attention(x[:, :1], sums)
    assert isinstance(attention.extend(attention.nothing(x[:, :1]), x[:, :1], None), Sums)


@pytest.mark.parametrize("kind", KINDS)
def test_kernel_is_a_whole_graph(kind: type[Score]) -> None:
    attention = MultiHeadAttention(16, 4, score=kind)
    x = torch.randn(2, WHOLE + 1, 16)
    compiled = torch.compile(lambda x: attention(x, attention.memory(x, x), causal=True)[0], backend="eager",
                             fullgraph=True)  # fmt: skip
    assert_close(compiled(x), attention(x, attention.memory(x, x), causal=True)[0])


class Unfused(ScaledDot):
    """A score of a user's own, without the fused form of its base."""

    def fused_query(self, query: Tensor) -> None:  # type: ignore[override]
        return None


def test_kernel_says_what_the_choice_is() -> None:
    assert Attention(ScaledDot(5, 5)).kernel("cpu") == "fused"
    assert Attention(ScaledDot(5, 5), dropout=0.1).kernel("cpu") == "explicit"
    assert Attention(ScaledDot(5, 5), dropout=0.1).kernel("cuda") == "fused"
    assert Attention(ScaledDot(5, 5), dropout=0.1).eval().kernel("cpu") == "fused"
    assert Attention(ScaledDot(5, 5), Sparsemax()).kernel("cuda") == "explicit"
    assert Attention(Linear(5, 5)).kernel("cpu") == "linear"
    assert Attention(ScaledDot(5, 5), LogLength(), biased=True).kernel("cpu") == "explicit"
    assert Attention(ScaledDot(5, 5), LogLength()).kernel("cpu") == "fused"
    assert Attention(Linear(5, 5), LogLength()).kernel("cpu") == "explicit"
    assert Attention(ScaledDot(5, 5), pattern=LocalP(5)).kernel("cpu") == "explicit"
    assert Attention(Unfused(5, 5)).kernel("cpu") == "explicit"
    assert MultiHeadAttention(16, 4, score=Cosine).attention.kernel("cpu") == "fused"
