"""Normalisers against hand-computed values, bisection and numerical gradients."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seq2seq.attention import Entmax, Entmax15, LogLength, Normalizer, Softmax, Sparsemax, TopK, padding_mask
from seq2seq.errors import UserError

NORMALIZERS = [Softmax, Sparsemax, Entmax15, Entmax, TopK, LogLength]
MASK = padding_mask(torch.tensor([11, 5, 1]), 11)[:, None]


def by_bisection(scores: list[float], power: float) -> list[float]:
    """Return max(x - τ, 0) ** power for the τ that makes the sum 1, the definition of sparsemax and entmax-1.5."""
    low, high = min(scores) - 2, max(scores)
    for _ in range(200):
        threshold = (low + high) / 2
        if sum(max(x - threshold, 0) ** power for x in scores) > 1:
            low = threshold
        else:
            high = threshold
    return [max(x - high, 0) ** power for x in scores]


def reference(normalizer: Normalizer, scores: list[float]) -> list[float]:
    match normalizer:
        case Softmax(temperature=t):
            exponentials = [math.exp(x / t) for x in scores]
            return [x / sum(exponentials) for x in exponentials]
        case Sparsemax():
            return by_bisection(scores, 1)
        case _:
            return by_bisection([x / 2 for x in scores], 2)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "normalizer", [Softmax(), Softmax(temperature=0.3), Softmax(temperature=7), Sparsemax(), Entmax15()], ids=repr
)
def test_weights_equal_their_definition_over_visible_keys(
    normalizer: Normalizer, dtype: torch.dtype, masked: bool
) -> None:
    scores = torch.randn(3, 7, 11, dtype=dtype)
    weights = normalizer(scores, MASK if masked else None)
    assert weights.dtype is dtype
    for b, length in enumerate((11, 5, 1) if masked else (11,) * 3):
        for i in range(7):
            expected = reference(normalizer, scores[b, i, :length].tolist()) + [0.0] * (11 - length)
            assert_close(weights[b, i], torch.tensor(expected, dtype=dtype), atol=1e-5, rtol=1e-5)


def test_sparsemax_and_entmax_of_hand_computed_rows() -> None:
    assert_close(Sparsemax()(torch.tensor([[0.5, 0.2, -1]])), torch.tensor([[0.65, 0.35, 0]]))
    root = (1 - math.sqrt(7)) / 4
    assert_close(Entmax15()(torch.tensor([[1.0, 0]])), torch.tensor([[(0.5 - root) ** 2, root**2]]))
    assert_close(Entmax15()(torch.tensor([[2.0, 0, -1]])), torch.tensor([[1.0, 0, 0]]))


def test_temperature_sharpens_below_one_and_flattens_above() -> None:
    scores = torch.tensor([[0.0, 1, 2]])
    assert_close(Softmax(temperature=0.5)(scores), Softmax()(2 * scores))
    assert_close(Softmax(temperature=4)(scores), Softmax()(scores / 4))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_temperature_must_be_positive(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        Softmax(temperature=temperature)


@pytest.mark.parametrize("kind", NORMALIZERS)
@pytest.mark.parametrize("scale", [1e5, 1e30])
def test_huge_scores_do_not_overflow(kind: type[Normalizer], scale: float) -> None:
    scores = scale * torch.tensor([[1.0, 1, -1, 0, 2], [-1, -1, -1, -1, -1]])
    mask = torch.tensor([[True, True, True, True, False]])
    expected = torch.tensor([[0.5, 0.5, 0, 0, 0], [0.25, 0.25, 0.25, 0.25, 0]])
    assert_close(kind()(scores, mask), expected)
    assert_close(kind()(scores[:, :4]), expected[:, :4])


@pytest.mark.parametrize("kind", NORMALIZERS)
def test_adding_a_constant_to_a_row_changes_nothing(kind: type[Normalizer]) -> None:
    scores = torch.randn(3, 7, 11, dtype=torch.float64)
    assert_close(kind()(scores + 1000, MASK), kind()(scores, MASK))


@pytest.mark.parametrize("hidden", [1e30, -1e30, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("kind", NORMALIZERS)
def test_hidden_key_gets_exactly_zero_whatever_its_score(kind: type[Normalizer], hidden: float) -> None:
    scores = torch.randn(3, 7, 11)
    weights = kind()(scores.masked_fill(~MASK, hidden), MASK)
    assert weights.masked_select(~MASK).count_nonzero() == 0
    assert_close(weights, kind()(scores, MASK), atol=0, rtol=0)


@pytest.mark.parametrize("kind", NORMALIZERS)
def test_thousands_of_hidden_keys_take_nothing_from_a_visible_one(kind: type[Normalizer]) -> None:
    scores = torch.randn(2, 4999)
    mask = torch.zeros(2, 4999, dtype=torch.bool)
    mask[0, 4001] = mask[1, 17] = mask[1, 19] = True
    scores[1, 17] = scores[1, 19] = -3
    assert_close(kind()(scores, mask).masked_select(mask), torch.tensor([1, 0.5, 0.5]))


def test_high_temperature_gives_hidden_keys_no_share() -> None:
    weights = Softmax(temperature=5000)(torch.randn(3, 7, 11), MASK)
    assert_close(weights.sum(-1), torch.ones(3, 7))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", NORMALIZERS)
def test_half_precision_scores_are_normalised_in_float32(kind: type[Normalizer], dtype: torch.dtype) -> None:
    scores = (40 * torch.randn(2, 3, 997)).to(dtype)
    mask = padding_mask(torch.tensor([997, 500]), 997)[:, None]
    weights = kind()(scores, mask)
    assert weights.dtype is torch.float32
    assert_close(weights, kind()(scores.float(), mask), atol=0, rtol=0)
    assert_close(weights.sum(-1), torch.ones(2, 3))


@pytest.mark.parametrize("kind", NORMALIZERS)
def test_row_with_no_visible_key_is_zero_and_has_no_gradient(kind: type[Normalizer]) -> None:
    scores = (torch.randn(2, 3, 5) / 10).requires_grad_()  # Close together: no row is a saturated one.
    mask = torch.ones(2, 3, 5, dtype=torch.bool)
    mask[0, 1] = False
    weights = kind()(scores, mask)
    assert weights[0, 1].count_nonzero() == 0
    assert_close(weights.sum(-1), mask[..., 0].float())
    (weights * torch.randn(5)).sum().backward()
    assert scores.grad is not None and scores.grad.isfinite().all()
    assert scores.grad[0, 1].count_nonzero() == 0
    assert scores.grad[0, 0].count_nonzero()


@pytest.mark.parametrize("mask", [None, MASK], ids=["all visible", "padded"])
@pytest.mark.parametrize("kind", NORMALIZERS)
def test_gradient_equals_finite_differences(kind: type[Normalizer], mask: Tensor | None) -> None:
    scores = torch.randn(3, 2, 11, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: kind()(x, mask), (scores,))


def learned(alpha: float) -> Entmax:
    normalizer = Entmax()
    with torch.no_grad():
        normalizer.raw_alpha.fill_(math.log((alpha - 1.01) / (1.99 - alpha)))
    return normalizer


@pytest.mark.parametrize(
    ("normalizer", "expected"),
    [
        (TopK(k=2), [0.731059, 0.268941, 0]),
        (LogLength(initial_scale=1), [0.692308, 0.230769, 0.076923]),
        (learned(1.25), [0.750700, 0.214850, 0.034450]),
        (learned(1.5), [0.830719, 0.169281, 0]),
        (learned(1.75), [0.901807, 0.098193, 0]),
    ],
    ids=["top-2", "log length", "alpha 1.25", "alpha 1.5", "alpha 1.75"],
)
def test_weights_of_scores_2_1_0(normalizer: Normalizer, expected: list[float]) -> None:
    weights = normalizer(torch.tensor([[2.0, 1, 0]]))
    assert_close(weights, torch.tensor([expected]), atol=1e-6, rtol=0)


def test_top_k_keeps_ties_and_all_of_a_short_row() -> None:
    scores = torch.tensor([[1.0, 0, 1, 1, -1], [3, 2, 1, 0, 0]])
    assert_close(TopK(k=2)(scores)[0], torch.tensor([1 / 3, 0, 1 / 3, 1 / 3, 0]))
    assert_close(TopK(k=9)(scores), Softmax()(scores))
    mask = torch.tensor([[True, False, False, False, True]])
    assert_close(TopK(k=3)(scores, mask), Softmax()(scores, mask))


@pytest.mark.parametrize("k", [0, -1, 2.5])
def test_top_k_of_no_key_is_refused(k: int) -> None:
    with pytest.raises(UserError, match=rf"k={k} of the normaliser TopK must be a whole number of 1 or more"):
        TopK(k=k)


def test_log_length_counts_what_each_row_sees_and_scales_each_head() -> None:
    scores = torch.randn(3, 2, 7, 11)
    normalizer = LogLength(num_heads=2)
    with torch.no_grad():
        normalizer.scale.copy_(torch.tensor([0.5, 2])[:, None, None])
    weights = normalizer(scores, MASK[:, None])
    for b, n in enumerate((11, 5, 1)):
        for head, scale in enumerate((0.5, 2)):
            expected = torch.softmax(scores[b, head, :, :n] * scale * math.log(n), dim=-1)
            assert_close(weights[b, head, :, :n], expected)


@pytest.mark.parametrize("shape", [(), (1,), (11,), (7, 1), (1, 11), (7, 11), (3, 7, 1)], ids=str)
def test_log_length_counts_under_a_mask_of_any_shape(shape: tuple[int, ...]) -> None:
    mask, scores = torch.rand(shape) < 0.7, torch.randn(3, 7, 11)
    assert_close(LogLength()(scores, mask), LogLength()(scores, mask.expand(3, 7, 11)))


def test_alpha_is_learned_a_head_and_stays_between_softmax_and_sparsemax() -> None:
    normalizer = Entmax(num_heads=3)
    with torch.no_grad():
        normalizer.raw_alpha.copy_(torch.tensor([-100.0, 0, 100])[:, None, None])
    scores = torch.randn(2, 3, 7, 11, requires_grad=True)
    weights = normalizer(scores, MASK[:2, None])
    assert_close(normalizer.alpha.flatten(), torch.tensor([1.01, 1.5, 1.99]))
    assert_close(weights[:, 0], Softmax()(scores, MASK[:2, None])[:, 0], atol=0.05, rtol=0)
    assert_close(weights[:, 1], Entmax15()(scores, MASK[:2, None])[:, 1], atol=1e-5, rtol=1e-5)
    assert_close(weights[:, 2], Sparsemax()(scores, MASK[:2, None])[:, 2], atol=0.05, rtol=0)
    (weights * torch.randn(11)).sum().backward()
    assert scores.grad is not None and scores.grad.isfinite().all()
    assert normalizer.raw_alpha.grad is not None and normalizer.raw_alpha.grad.isfinite().all()


@pytest.mark.parametrize("kind", [Entmax, LogLength])
def test_gradient_of_a_number_a_head_equals_finite_differences(kind: type[Normalizer]) -> None:
    normalizer = kind(num_heads=2).double()
    scores = torch.randn(3, 2, 2, 11, dtype=torch.float64)
    (name, parameter), *others = normalizer.named_parameters()
    assert not others

    def weights(value: Tensor) -> Tensor:
        return torch.func.functional_call(normalizer, {name: value}, (scores, MASK[:, None]))

    assert torch.autograd.gradcheck(weights, (parameter,))
