"""Attention: the explicit path against a plain loop, the fused path against the explicit one."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from seq2seq.attention import (
    Additive,
    Attention,
    Cosine,
    Dot,
    Entmax15,
    General,
    Linear,
    Location,
    LogLength,
    Normalizer,
    ScaledDot,
    Score,
    Softmax,
    Sparsemax,
    padding_mask,
)
from seq2seq.errors import UserError

FUSED: list[type[Score]] = [Dot, ScaledDot, General, Cosine]
EXPLICIT: list[type[Score]] = [Additive, Location]
NORMALIZERS = [Softmax, Sparsemax, Entmax15]


class Visibility(NamedTuple):
    """Lengths of queries and keys, and which keys are hidden beside a causal mask."""

    queries: int
    keys: int
    causal: bool
    padding: tuple[int, int] | None = None  # number of real keys of each sentence
    blind: bool = False  # query 1 of sentence 0 sees nothing

    def mask(self, *, heads: bool) -> Tensor | None:
        if self.padding is None:
            return None
        mask = padding_mask(torch.tensor(self.padding), self.keys)[:, None]
        if self.blind:
            mask = mask.repeat(1, self.queries, 1)
            mask[0, 1] = False
        return mask[:, None] if heads else mask

    def visible(self, *, sentence: int, query: int) -> list[int]:
        last = query + 1 if self.causal else self.keys
        real = self.keys if self.padding is None else self.padding[sentence]
        return [] if self.blind and (sentence, query) == (0, 1) else list(range(min(last, real, self.keys)))


VISIBILITY = {
    "none": Visibility(5, 7, False),
    "padding": Visibility(5, 7, False, (7, 3)),
    "causal": Visibility(7, 7, True),
    "causal, more keys": Visibility(5, 7, True),
    "causal, more queries": Visibility(7, 5, True),
    "padding and causal": Visibility(7, 7, True, (3, 7)),
    "padding and causal, unequal": Visibility(7, 5, True, (3, 5)),
    "blind query": Visibility(5, 7, False, (7, 3), blind=True),
    "empty sentence": Visibility(5, 7, False, (7, 0)),
    "empty sentence, causal, blind query": Visibility(7, 7, True, (7, 0), blind=True),
}
visibilities = pytest.mark.parametrize("visibility", VISIBILITY.values(), ids=VISIBILITY)
ranks = pytest.mark.parametrize("heads", [None, 3], ids=["3-D", "4-D"])


class Case(NamedTuple):
    attention: Attention
    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None

    def run(self, **options: Any) -> tuple[Tensor, Tensor | None]:
        return self.attention(self.query, self.attention.memory(self.key, self.value, self.mask), **options)

    def gradients(self, context: Tensor) -> list[Tensor]:
        torch.manual_seed(1)
        inputs = [self.query, self.key, self.value, *self.attention.parameters()]
        return list(torch.autograd.grad((context * torch.randn_like(context)).sum(), inputs, materialize_grads=True))


def make(
    score: type[Score],
    visibility: Visibility,
    *,
    heads: int | None,
    dtype: torch.dtype = torch.float64,
    normalizer: Callable[[], Normalizer] = lambda: Softmax(temperature=0.7),
) -> Case:
    leading = (2,) if heads is None else (2, heads)
    attention = Attention(score(5, 5, num_heads=heads), normalizer()).to(dtype)
    query, key, value = (
        torch.randn(*leading, length, d, dtype=dtype, requires_grad=True)
        for length, d in ((visibility.queries, 5), (visibility.keys, 5), (visibility.keys, 3))
    )
    return Case(attention, query, key, value, visibility.mask(heads=heads is not None))


@pytest.fixture
def fused_calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return the keyword arguments of every call of the fused kernel, as they happen."""
    calls: list[dict[str, Any]] = []
    kernel = F.scaled_dot_product_attention

    def spy(*args: Any, **kwargs: Any) -> Tensor:
        calls.append(kwargs)
        return kernel(*args, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    return calls


@ranks
@visibilities
@pytest.mark.parametrize("score", FUSED + EXPLICIT)
def test_explicit_path_equals_a_softmax_over_visible_keys_row_by_row(
    score: type[Score], visibility: Visibility, heads: int | None
) -> None:
    case = make(score, visibility, heads=heads)
    context, weights = case.run(causal=visibility.causal, need_weights=True)
    scores = case.attention.score(case.query, case.attention.score.project_keys(case.key))
    expected = torch.zeros_like(scores)
    for sentence in range(2):
        for query in range(visibility.queries):
            seen = visibility.visible(sentence=sentence, query=query)
            exponentials = (scores[sentence, ..., query, seen] / 0.7).exp()
            expected[sentence, ..., query, seen] = exponentials / exponentials.sum(-1, keepdim=True)
    assert_close(weights, expected)
    assert_close(context, expected @ case.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@ranks
@visibilities
@pytest.mark.parametrize(
    ("score", "normalizer"), [*((score, partial(Softmax, temperature=0.7)) for score in FUSED), (ScaledDot, LogLength)]
)
def test_fused_path_equals_explicit_path_in_context_and_gradients(
    score: type[Score],
    normalizer: Callable[..., Normalizer],
    visibility: Visibility,
    heads: int | None,
    dtype: torch.dtype,
    fused_calls: list[dict[str, Any]],
) -> None:
    case = make(score, visibility, heads=heads, dtype=dtype, normalizer=partial(normalizer, num_heads=heads))
    explicit, _ = case.run(causal=visibility.causal, need_weights=True)
    assert not fused_calls
    fused, weights = case.run(causal=visibility.causal)
    assert len(fused_calls) == 1
    assert weights is None
    tolerance: dict[str, Any] = {"atol": 1e-5, "rtol": 1e-4} if dtype is torch.float32 else {}
    assert_close(fused, explicit, **tolerance)
    for actual, expected in zip(case.gradients(fused), case.gradients(explicit), strict=True):
        assert actual.isfinite().all()
        assert_close(actual, expected, **tolerance)


@visibilities
def test_fused_kernel_gets_is_causal_only_for_equal_lengths_and_no_other_mask(
    visibility: Visibility, fused_calls: list[dict[str, Any]]
) -> None:
    make(Dot, visibility, heads=3).run(causal=visibility.causal)
    assert fused_calls[0]["is_causal"] == (visibility == VISIBILITY["causal"])


@pytest.mark.parametrize(
    ("score", "normalizer"),
    [(Additive, Softmax), (Location, Softmax), (Dot, Sparsemax), (Cosine, Entmax15)],
)
def test_without_a_fused_form_the_context_is_the_same_whether_or_not_weights_are_wanted(
    score: type[Score], normalizer: type[Normalizer], fused_calls: list[dict[str, Any]]
) -> None:
    case = make(score, VISIBILITY["padding and causal"], heads=3, normalizer=normalizer)
    context, weights = case.run(causal=True)
    assert weights is None
    assert not fused_calls
    assert_close(context, case.run(causal=True, need_weights=True)[0])


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("visibility", ["blind query", "empty sentence"])
@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("score", FUSED + EXPLICIT)
def test_query_with_nothing_visible_gets_zero_context_and_finite_gradients(
    score: type[Score], normalizer: type[Normalizer], visibility: str, need_weights: bool
) -> None:
    case = make(score, VISIBILITY[visibility], heads=3, normalizer=normalizer, dtype=torch.float32)
    hidden = (0, slice(None), 1) if visibility == "blind query" else (1,)
    context, weights = case.run(need_weights=need_weights)
    assert context[hidden].count_nonzero() == 0
    assert context.count_nonzero() == context.numel() - context[hidden].numel()
    assert weights is None or weights[hidden].count_nonzero() == 0
    gradients = case.gradients(context)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[0][hidden].count_nonzero() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("normalizer", [Softmax, Entmax15])
@pytest.mark.parametrize("score", FUSED + EXPLICIT)
def test_padding_of_zeros_and_an_empty_sentence_are_finite_in_every_precision(
    score: type[Score], normalizer: type[Normalizer], need_weights: bool, dtype: torch.dtype
) -> None:
    case = make(score, VISIBILITY["empty sentence, causal, blind query"], heads=3, normalizer=normalizer, dtype=dtype)
    with torch.no_grad():
        case.key[1] = 0
        case.query[0, :, 1] = 0
    context, _ = case.run(causal=True, need_weights=need_weights)
    assert context.dtype is dtype and context[1].count_nonzero() == 0
    assert all(gradient.isfinite().all() for gradient in case.gradients(context))


def test_half_precision_comes_close_to_float64_with_scores_as_large_as_they_may_be() -> None:
    case = make(Dot, VISIBILITY["padding"], heads=3, normalizer=Entmax15, dtype=torch.float64)
    for dtype in (torch.float16, torch.bfloat16):
        query, key, value = (x.detach().to(dtype) for x in (case.query, case.key, case.value))
        half = Case(case.attention, query, key, value, case.mask)
        assert_close(half.run()[0].double(), case.run()[0], atol=0.05, rtol=0.05)


WRONG = {
    "float": (torch.ones(2, 1, 7), "torch.float32; give torch.bool, True = may attend"),
    "int": (torch.ones(2, 1, 7, dtype=torch.int64), "torch.int64; give torch.bool"),
    "bytes": (torch.ones(2, 1, 7, dtype=torch.uint8), "torch.uint8; give torch.bool"),
    "list": ([[True] * 7], "list; give torch.bool"),
    "other keys": (torch.ones(2, 1, 6, dtype=torch.bool), r"(2, 1, 6), which does not broadcast to (2, 5, 7)"),
    "queries for keys": (torch.ones(7, 5, dtype=torch.bool), r"(7, 5), which does not broadcast to (2, 5, 7)"),
    "no axis of queries": (torch.ones(2, 7, dtype=torch.bool), r"(2, 7), which does not broadcast to (2, 5, 7)"),
    "more sentences": (torch.ones(3, 1, 7, dtype=torch.bool), r"(3, 1, 7), which does not broadcast to (2, 5, 7)"),
    "an axis of heads": (torch.ones(2, 1, 1, 7, dtype=torch.bool), r"(2, 1, 1, 7), which does not broadcast"),
}


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize(("mask", "said"), WRONG.values(), ids=WRONG)
def test_mask_that_is_not_bool_or_does_not_fit_is_refused_alike_on_both_paths(
    mask: Any, said: str, need_weights: bool, causal: bool
) -> None:
    case = make(Dot, VISIBILITY["padding"], heads=None)._replace(mask=mask)
    with pytest.raises(UserError) as error:
        case.run(need_weights=need_weights, causal=causal)
    assert said in str(error.value) and "\n" not in str(error.value)


@ranks
@pytest.mark.parametrize("shape", [(), (7,), (1,), (1, 7), (5, 1), (5, 7), (2, 1, 7), (1, 1, 7)], ids=str)
def test_mask_of_every_shape_that_broadcasts_means_the_same_on_both_paths(
    shape: tuple[int, ...], heads: int | None
) -> None:
    mask = torch.rand(shape) < 0.7
    mask = mask[:, None] if heads and len(shape) == 3 else mask
    case = make(Dot, VISIBILITY["padding"], heads=heads)._replace(mask=mask)
    fused, explicit = case.run()[0], case.run(need_weights=True)[0]
    assert_close(fused, explicit)
    whole = mask.expand(*case.query.shape[:-1], 7)
    assert_close(explicit, case._replace(mask=whole).run(need_weights=True)[0])


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("score", FUSED + EXPLICIT)
def test_what_stands_at_a_hidden_key_changes_nothing(score: type[Score], need_weights: bool) -> None:
    case = make(score, VISIBILITY["padding"], heads=None)
    expected, _ = case.run(need_weights=need_weights)
    with torch.no_grad():
        case.key[1, 3:] = 1000
        case.value[1, 3:] = -1000
    assert_close(case.run(need_weights=need_weights)[0], expected)


def test_weights_are_those_before_dropout_and_evaluation_drops_nothing() -> None:
    attention = Attention(Dot(5, 5), dropout=0.5)
    memory = attention.memory(torch.randn(2, 11, 5), torch.randn(2, 11, 3))
    query = torch.randn(2, 7, 5)
    kept, weights = attention.eval()(query, memory, need_weights=True)
    dropped, same_weights = attention.train()(query, memory, need_weights=True)
    assert_close(same_weights, weights, atol=0, rtol=0)
    assert not torch.allclose(dropped, kept)
    assert not torch.allclose(attention(query, memory)[0], kept)
    assert_close(attention.eval()(query, memory)[0], kept)


@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("score", FUSED + EXPLICIT)
def test_weights_are_float32_and_sum_to_one_under_bfloat16(score: type[Score], normalizer: type[Normalizer]) -> None:
    case = make(score, VISIBILITY["padding"], heads=None, normalizer=normalizer, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        context, weights = case.run(need_weights=True)
        case.gradients(context.float())
        assert_close(case.run()[0].float(), case.run(need_weights=True)[0].float(), atol=0.05, rtol=0.05)
    half = make(score, VISIBILITY["padding"], heads=None, normalizer=normalizer, dtype=torch.bfloat16)
    half_context, half_weights = half.run(need_weights=True)
    assert half_context.dtype is torch.bfloat16
    for w in (weights, half_weights):
        assert w is not None and w.dtype is torch.float32
        assert_close(w.sum(-1), torch.ones(2, 5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_fused_kernel_is_differentiated_in_float32_on_a_cpu(
    dtype: torch.dtype, autocast: bool, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make(ScaledDot, VISIBILITY["padding"], heads=3, dtype=dtype)
    kernel, computed = F.scaled_dot_product_attention, []

    def spy(*inputs: Any, **options: Any) -> Tensor:
        context = kernel(*inputs, **options)
        computed.append(context.dtype)
        return context

    monkeypatch.setattr(F, "scaled_dot_product_attention", spy)
    with torch.set_grad_enabled(training), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        context, _ = case.run()
    assert computed == [torch.float32 if training or not autocast and dtype is torch.float32 else torch.bfloat16]
    assert context.dtype is dtype
    if training:
        assert [gradient.dtype for gradient in case.gradients(context)] == [dtype] * 3


@pytest.mark.parametrize("autocast", [True, False])
def test_bias_beside_half_precision_is_not_rounded_on_a_cpu(autocast: bool) -> None:
    query, key, value = torch.randn(3, 2, 3, 7, 4, dtype=torch.bfloat16)
    attention = Attention(ScaledDot(4, 4, num_heads=3), biased=True)
    bias = 200.3 + torch.randn(3, 7, 7)  # in bfloat16 these numbers are 1 apart
    memory = attention.memory(key, value)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        fused, _ = attention(query, memory, bias=bias)
    explicit, _ = attention(query, memory, bias=bias, need_weights=True)
    assert_close(fused, explicit, atol=0.05, rtol=0.02)


class Doubled(ScaledDot):
    """A score of a user's own."""

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return super().forward(2 * query, keys)

    def fused_query(self, query: Tensor) -> tuple[Tensor, float]:
        return super().fused_query(2 * query)


@visibilities
@pytest.mark.parametrize("score", [*FUSED, Doubled])
def test_fused_path_equals_explicit_path_under_autocast(score: type[Score], visibility: Visibility) -> None:
    case = make(score, visibility, heads=3, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        fused, _ = case.run(causal=visibility.causal)
        explicit, _ = case.run(causal=visibility.causal, need_weights=True)
    for actual, expected in zip(
        (fused, *case.gradients(fused)), (explicit, *case.gradients(explicit.float())), strict=True
    ):
        assert_close(actual.float(), expected.float(), atol=0.1, rtol=0.1)


class Shifted(ScaledDot):
    """A new `forward` that says nothing of a fused form: the inherited one is of another score."""

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return super().forward(query, keys) + torch.arange(keys.shape[-2])


class ShiftedLinear(Linear):
    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        return super().forward(query, keys) + torch.arange(keys.shape[-2])


@pytest.mark.parametrize(("kind", "kernel"), [(Shifted, "fused"), (ShiftedLinear, "linear")])
def test_inherited_kernel_is_not_taken_for_a_new_score(kind: type[Score], kernel: str) -> None:
    x = torch.randn(2, 5, 8)
    assert Attention(kind.__mro__[1](8, 8)).kernel("cpu") == kernel
    attention = Attention(kind(8, 8))
    memory = attention.memory(x, x)
    assert attention.kernel("cpu") == "explicit"
    assert_close(attention(x, memory)[0], attention(x, memory, need_weights=True)[0])


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5), (3, 1, 5)], ids=str)
def test_bias_without_heads_joins_the_scores_of_its_own_sentence(shape: tuple[int, ...], padded: bool) -> None:
    query, key, value = (torch.randn(3, length, 8) for length in (4, 5, 5))
    attention = Attention(ScaledDot(8, 8), biased=True)
    mask = padding_mask(torch.tensor([5, 2, 0]), 5)[:, None] if padded else None
    memory, bias = attention.memory(key, value, mask), torch.randn(shape)
    expected, _ = attention(query, memory, bias=bias, need_weights=True)
    assert_close(attention(query, memory, bias=bias)[0], expected)


@pytest.mark.parametrize("hides", ["nothing", "padding", "all of a sentence", "by a bias"])
@pytest.mark.parametrize(("queries", "keys"), [(5, 3), (5, 15), (1, 13), (1, 5), (5, 16)])
@pytest.mark.parametrize("heads", [(), (4,)])
@torch.no_grad()
def test_many_short_rows_of_a_search_get_the_context_of_the_explicit_path(
    hides: str, queries: int, keys: int, heads: tuple[int, ...]
) -> None:
    """As beams ask: without gradients, for many sentences at once."""
    generator = torch.Generator().manual_seed(queries * keys)
    query, key, value = (
        torch.randn(37, *heads, length, 32, generator=generator) for length in (queries, keys, keys)
    )  # fmt: skip
    attention = Attention(ScaledDot(32, 32, num_heads=4 if heads else None), biased=hides == "by a bias")
    mask = bias = None
    if hides in ("padding", "all of a sentence"):
        mask = torch.arange(keys) < torch.randint(1, keys + 1, (37, *(1 for _ in heads), 1, 1), generator=generator)
    if hides == "all of a sentence":
        assert mask is not None
        mask[7] = False
    if hides == "by a bias":
        bias = torch.randn(queries, keys, generator=generator)
        bias[:, -1] = -torch.inf
    memory = attention.memory(key, value, mask)
    expected, weights = attention(query, memory, bias=bias, need_weights=True)
    found, none = attention(query, memory, bias=bias)
    assert_close(found, expected)
    assert weights is not None and none is None
    if hides == "all of a sentence":
        assert (found[7] == 0).all()
