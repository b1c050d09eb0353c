"""Normalisers whose rows need not sum to 1, against hand-computed values and loops over their definition."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seq2seq.attention import (
    Differential,
    Leaky,
    LocalP,
    Monotonic,
    MultiHeadAttention,
    Normalizer,
    OffByOne,
    Past,
    Sigmoid,
    Sink,
    padding_mask,
)
from seq2seq.errors import UserError

MASK = padding_mask(torch.tensor([11, 5, 0]), 11)[:, None]
Weigh = Callable[[Tensor, Tensor | None], Tensor]


def after_a_spread_row(normalizer: Normalizer, scores: Tensor, mask: Tensor | None) -> Tensor:
    """Return weights of a normaliser; of one that remembers, after a row that looked at every key alike."""
    last = torch.full_like(scores, 1 / scores.shape[-1], dtype=torch.promote_types(scores.dtype, torch.float32))
    return normalizer(scores, mask, *((Past(last, last),) if normalizer.remembers else ()))


kinds = pytest.mark.parametrize("kind", [Sigmoid, Sink, OffByOne, Monotonic])


def close(actual: Tensor, expected: list[float]) -> None:
    assert_close(actual.flatten(), torch.tensor(expected), atol=1e-6, rtol=0)


def test_weights_of_scores_2_1_0() -> None:
    scores = torch.tensor([[2.0, 1, 0]])
    close(OffByOne()(scores), [0.610296, 0.224515, 0.082595])
    close(Sink()(scores), [0.610296, 0.224515, 0.082595])
    sink = Sink()
    with torch.no_grad():
        sink.bias.add_(1.5)
    close(sink(scores), [0.473991, 0.174371, 0.064148])
    close(Sigmoid()(scores), [0.711235, 0.475367, 0.25])
    differential = Differential(num_heads=1, d_value=4)
    differential.initial = 0.5
    with torch.no_grad():
        for vector in (differential.query_1, differential.query_2):
            vector.zero_()
    close(differential(torch.stack((scores, scores.flip(-1)))), [0.620226, 0.122364, -0.242590])


def test_monotonic_of_hand_computed_rows() -> None:
    monotonic = Monotonic(initial_bias=0)
    scores = torch.tensor([[[0.2, 0.5, 0.9]]]).logit()
    first = Past.nothing(torch.zeros(1, 3, 2))
    close(monotonic(scores, None, first), [0.2, 0.4, 0.36])
    close(monotonic(scores, None, first.after(torch.tensor([[[0.5, 0.3, 0.2]]]))), [0.1, 0.35, 0.495])


@kinds
def test_hidden_key_gets_exactly_zero_whatever_its_score(kind: Callable[[], Normalizer]) -> None:
    scores = torch.randn(3, 7, 11)
    expected = after_a_spread_row(kind(), scores, MASK)
    assert expected.masked_select(~MASK).count_nonzero() == 0
    assert expected.masked_select(MASK).count_nonzero() == 7 * 16
    for hidden in (1e30, -1e30, math.inf, -math.inf, math.nan):
        weights = after_a_spread_row(kind(), scores.masked_fill(~MASK, hidden), MASK)
        assert_close(weights, expected, atol=0, rtol=0)


@kinds
@pytest.mark.parametrize("mask", [None, MASK], ids=["all visible", "padded"])
def test_gradient_equals_finite_differences(kind: Callable[[], Normalizer], mask: Tensor | None) -> None:
    scores = torch.randn(3, 2, 11, dtype=torch.float64, requires_grad=True)
    normalizer = kind().double()
    assert torch.autograd.gradcheck(lambda x: after_a_spread_row(normalizer, x, mask), (scores,))
    after_a_spread_row(normalizer, scores, mask).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.all() for p in normalizer.parameters())


@kinds
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_scores_are_normalised_in_float32(kind: Callable[[], Normalizer], dtype: torch.dtype) -> None:
    scores = (4 * torch.randn(3, 7, 11)).to(dtype)
    weights = after_a_spread_row(kind(), scores, MASK)
    assert weights.dtype is torch.float32
    assert_close(weights, after_a_spread_row(kind(), scores.float(), MASK))


@pytest.mark.parametrize("scale", [1e5, 1e30])
def test_sink_of_huge_scores_does_not_overflow(scale: float) -> None:
    scores = scale * torch.tensor([[1.0, 1, -1], [-1, -1, -1]])
    assert_close(Sink()(scores), torch.tensor([[0.5, 0.5, 0], [0, 0, 0]]))


def test_sigmoid_weighs_each_key_by_itself_and_less_where_a_row_sees_more() -> None:
    weights = Sigmoid()(torch.zeros(3, 7, 11), MASK)
    assert_close(weights[:, 0, 0], torch.tensor([1 / 12, 1 / 6, 0]))
    scores = torch.randn(3, 7, 11)
    other = scores.clone()
    other[..., 1:] += 1
    assert_close(Sigmoid()(other, MASK)[..., 0], Sigmoid()(scores, MASK)[..., 0])


@pytest.mark.parametrize("size", [1, 10, 100])
def test_monotonic_equals_the_recurrence_of_its_paper(size: int) -> None:
    """q_j = (1 − p_{j−1}) q_{j−1} + last_j,  weight_j = p_j q_j (Raffel et al. 2017, eq. 9-10)."""
    scores = size * torch.randn(3, 2, 11)
    last = torch.softmax(torch.randn(3, 2, 11), dim=-1)
    p = torch.sigmoid(scores.double() - 1)
    reached, expected = torch.zeros(3, 2, dtype=torch.float64), []
    for j in range(11):
        reached = (reached * (1 - p[..., j - 1]) if j else 0) + last[..., j].double()
        expected.append(p[..., j] * reached)
    weights = Monotonic()(scores, None, Past(last, last))
    assert_close(weights.double(), torch.stack(expected, dim=-1), atol=1e-5, rtol=1e-4)
    assert (weights.sum(-1) <= 1 + 1e-5).all()


def test_monotonic_never_goes_back() -> None:
    last = torch.zeros(1, 1, 11)
    last[..., 4] = 1
    weights = Monotonic()(torch.randn(1, 1, 11), None, Past(last, last))
    assert weights[..., :4].count_nonzero() == 0
    assert (weights[..., 4:] > 0).all()


VISIBLE = {
    "all": (None, False),
    "padded": (MASK[:, None], False),
    "causal": (None, True),
    "padded, causal": (MASK[:, None], True),
}
visible = pytest.mark.parametrize(("mask", "causal"), VISIBLE.values(), ids=VISIBLE)


def seen_by(mask: Tensor | None, *, causal: bool) -> Tensor:
    """Return which keys are seen, (3, 1, 11, 11)."""
    seen = torch.ones(3, 1, 11, 11, dtype=torch.bool) if mask is None else mask.expand(3, 1, 11, 11)
    return seen.tril() if causal else seen


@visible
def test_leaky_is_a_softmax_over_one_more_key_and_value(mask: Tensor | None, causal: bool) -> None:
    attention = MultiHeadAttention(8, 2, normalizer=Leaky).double()
    leaky = attention.attention.normalizer
    assert isinstance(leaky, Leaky)
    with torch.no_grad():
        leaky.key.normal_(), leaky.value.normal_()
    query, key, value = torch.randn(3, 3, 2, 11, 4, dtype=torch.float64)
    memory = attention.attention.memory(key, value, mask)
    context, weights = attention.attention(query, memory, causal=causal, need_weights=True)
    keys = torch.cat((key, leaky.key.mT.expand(3, 2, 1, 4)), dim=-2)
    values = torch.cat((value, leaky.value.expand(3, 2, 1, 4)), dim=-2)
    seen = seen_by(mask, causal=causal)
    seen = torch.cat((seen, seen.any(-1, keepdim=True)), dim=-1)
    expected = torch.softmax((query @ keys.mT / 2).masked_fill(~seen, -torch.inf), dim=-1).nan_to_num(0)
    assert_close(weights, expected[..., :-1])
    assert_close(context, expected @ values)
    assert_close(attention.attention(query, memory, causal=causal)[0], context)


def test_what_a_pattern_takes_from_a_row_does_not_go_to_the_leak() -> None:
    attention = MultiHeadAttention(8, 2, normalizer=Leaky, pattern=LocalP).double().attention
    leaky = attention.normalizer
    assert isinstance(leaky, Leaky)
    with torch.no_grad():
        leaky.key.normal_(), leaky.value.normal_()
    query, key, value = torch.randn(3, 3, 2, 11, 4, dtype=torch.float64)
    context, weights = attention(query, attention.memory(key, value), need_weights=True)
    assert weights is not None and attention.pattern is not None
    _, factor = attention.pattern(query, torch.arange(11), 11, None)
    share = 1 - (weights / factor).sum(-1, keepdim=True)
    assert_close(context, weights @ value + share * leaky.value)


@visible
@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_differential_is_a_loop_over_heads_and_streams(mask: Tensor | None, causal: bool, key_heads: int) -> None:
    attention = MultiHeadAttention(
        24, 4, normalizer=lambda **place: Differential(**{**place, "layer": 2}), num_key_heads=key_heads
    ).double()
    normalizer = attention.attention.normalizer
    assert isinstance(normalizer, Differential)
    torch.nn.init.normal_(normalizer.gain)
    x = torch.randn(3, 11, 24, dtype=torch.float64)
    query, key, value = attention.query(x), attention.key(x), attention.value(x)
    first = (normalizer.query_1 @ normalizer.key_1).exp()
    share = first - (normalizer.query_2 @ normalizer.key_2).exp() + 0.470713018
    seen = seen_by(mask, causal=causal)[:, 0]
    contexts = []
    for head in range(4):
        shared = head * key_heads // 4
        rows = []
        for stream in range(2):
            begin, key_begin = 3 * (stream * 4 + head), 3 * (stream * key_heads + shared)
            q, k = query[..., begin : begin + 3], key[..., key_begin : key_begin + 3]
            scores = (q @ k.mT / math.sqrt(3)).masked_fill(~seen, -torch.inf)
            rows.append(torch.softmax(scores, dim=-1).nan_to_num(0))
        context = (rows[0] - share * rows[1]) @ value[..., 6 * shared : 6 * shared + 6]
        length = (context.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        contexts.append((1 - 0.470713018) * normalizer.gain * context / length)
    expected = attention.output(torch.cat(contexts, dim=-1))
    actual, weights = attention(x, attention.memory(x, x, mask), causal=causal, need_weights=True)
    assert_close(actual, expected)
    assert weights.shape == (3, 4, 11, 11)
    assert_close(attention(x, attention.memory(x, x, mask), causal=causal)[0], expected)


def test_differential_begins_by_layer_and_shortens_by_one_less_its_beginning() -> None:
    made = [Differential(num_heads=2, d_value=2, layer=layer) for layer in range(4)]
    close(torch.tensor([normalizer.initial for normalizer in made]), [0.2, 0.355509, 0.470713, 0.556058])
    made[0].initial = 0.8  # 1 − λ₀ = .2
    close(made[0].finish(torch.tensor([[3.0, 4]]), torch.empty(1, 0), None), [0.169706, 0.226274])


@pytest.mark.parametrize("kind", [Leaky, Differential])
def test_what_has_parts_of_a_heads_size_is_refused_without_heads(kind: type[Normalizer]) -> None:
    with pytest.raises(UserError, match="model=transformer"):
        kind()


def test_parts_that_do_not_fit_into_heads_are_refused() -> None:
    with pytest.raises(UserError, match="even size, not 3"):
        MultiHeadAttention(12, 4, normalizer=Differential)
    with pytest.raises(UserError, match="Monotonic .* model=luong"):
        MultiHeadAttention(12, 4, normalizer=Monotonic)
    with pytest.raises(UserError, match=r"hand over past=Past\.nothing"):
        Monotonic()(torch.zeros(1, 1, 3), None, None)
    with pytest.raises(UserError, match="Differential .* LocalP .* use another pattern"):
        MultiHeadAttention(16, 4, normalizer=Differential, pattern=LocalP)
