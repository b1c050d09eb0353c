"""Every score against its formula, pair by pair, in float64."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from seq2seq.attention import (
    Additive,
    Concat,
    Cosine,
    Coverage,
    Dot,
    General,
    Linear,
    Location,
    Past,
    Performer,
    ScaledDot,
    Score,
    Synthesizer,
    Uniform,
)
from seq2seq.attention.energies import SUMS
from seq2seq.errors import UserError

Formula = Callable[[dict[str, Tensor], Tensor, Tensor, int], Tensor]
FORMULAS: dict[type[Score], Formula] = {
    Dot: lambda p, q, k, j: sum(a * b for a, b in zip(q, k, strict=True)),
    ScaledDot: lambda p, q, k, j: q.dot(k) / math.sqrt(len(k)),
    General: lambda p, q, k, j: q.dot(p["weight"].mv(k)),
    Additive: lambda p, q, k, j: p["energy"][:, 0].dot((p["query_weight"].T.mv(q) + p["key_weight"].T.mv(k)).tanh()),
    Cosine: lambda p, q, k, j: p["log_scale"].squeeze().exp() * q.dot(k) / (q.dot(q) * k.dot(k)).sqrt(),
    Location: lambda p, q, k, j: p["weight"][:, j].dot(q),
    Synthesizer: lambda p, q, k, j: (
        p["weight"][:, j].dot((p["hidden_weight"].T.mv(q) + p["hidden_bias"].view(-1)).relu()) + p["bias"].view(-1)[j]
    ),
    Uniform: lambda p, q, k, j: q.new_zeros(()),
    Linear: lambda p, q, k, j: (F.elu(q) + 1).dot(F.elu(k) + 1).log(),
    Performer: lambda p, q, k, j: (
        (random_features(p["directions"], q / 5**0.25)).dot(random_features(p["directions"], k / 5**0.25)).log()
    ),
}
SAME_SIZE = (Dot, ScaledDot, Cosine, Linear, Performer)
FUSED = (Dot, ScaledDot, General, Cosine)


def random_features(directions: Tensor, x: Tensor) -> Tensor:
    return (directions.mv(x) - x.dot(x) / 2).exp() / math.sqrt(len(directions))


def make(kind: type[Score], *, heads: int | None = None) -> tuple[Score, Tensor, Tensor]:
    d_query, d_key = 5, 5 if kind in SAME_SIZE else 3
    leading = (2,) if heads is None else (2, heads)
    query = torch.randn(*leading, 7, d_query, dtype=torch.float64)
    key = torch.randn(*leading, 11, d_key, dtype=torch.float64)
    return kind(d_query, d_key, num_heads=heads).double(), query, key


@pytest.mark.parametrize("heads", [None, 3])
@pytest.mark.parametrize("kind", FORMULAS)
def test_score_equals_its_formula_pair_by_pair(kind: type[Score], heads: int | None) -> None:
    score, query, key = make(kind, heads=heads)
    with torch.no_grad():  # Cosine's heads start equal; a mix-up of heads must show.
        for parameter in score.parameters():
            parameter.add_(torch.randn_like(parameter) / 3)
        scores = score(query, score.project_keys(key))
    assert scores.shape == (*query.shape[:-1], key.shape[-2])
    expected = torch.empty_like(scores)
    for index in torch.cartesian_prod(*(torch.arange(n) for n in scores.shape)).tolist():
        *leading, i, j = index
        parameters = {n: p.detach() if heads is None else p[leading[1]].detach() for n, p in score.named_parameters()}
        parameters |= dict(score.named_buffers())
        expected[tuple(index)] = FORMULAS[kind](parameters, query[*leading, i], key[*leading, j], j)
    assert_close(scores, expected)


@pytest.mark.parametrize("heads", [None, 3])
@pytest.mark.parametrize("kind", FORMULAS)
def test_fused_form_is_the_score_itself(kind: type[Score], heads: int | None) -> None:
    score, query, key = make(kind, heads=heads)
    keys = score.project_keys(key)
    fused = score.fused_query(query)
    assert (fused is not None) == (kind in FUSED)
    if fused is not None:
        assert_close(fused[1] * fused[0] @ keys.mT, score(query, keys))


def test_concat_is_additive_with_one_matrix_over_both() -> None:
    score, query, key = make(Concat)
    assert isinstance(score, Additive)
    together = torch.cat((score.query_weight, score.key_weight)).T
    pairs = torch.cat((query[:, :, None].expand(2, 7, 11, 5), key[:, None].expand(2, 7, 11, 3)), dim=-1)
    expected = ((pairs @ together.T).tanh() * score.energy[:, 0]).sum(-1)
    assert_close(score(query, score.project_keys(key)), expected)


def test_additive_width_is_a_choice() -> None:
    assert Additive(5, 3, d_attention=13).project_keys(torch.randn(2, 11, 3)).shape == (2, 11, 13)
    assert Additive(5, 3).project_keys(torch.randn(2, 11, 3)).shape == (2, 11, 5)


@pytest.mark.parametrize("heads", [None, 3])
def test_additive_in_parts_is_the_same_with_the_same_gradients(
    heads: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, query, key = make(Additive, heads=heads)
    found = []
    for sums in (1 << 20, 2 * score.project_keys(key).numel()):  # all queries at once, or two of the seven
        monkeypatch.setitem(SUMS, "cpu", sums)
        tensors = [query.clone().requires_grad_(), key.clone().requires_grad_(), *score.parameters()]
        scores = score(tensors[0], score.project_keys(tensors[1]))
        found.append((scores, *torch.autograd.grad(scores.square().sum(), tensors)))
    assert_close(*found)
    with torch.no_grad():
        assert_close(score(query, score.project_keys(key)), found[0][0])


@pytest.mark.parametrize("sums", [1 << 20, 1])
def test_additive_remembers_no_sum_but_a_small_one(sums: int, monkeypatch: pytest.MonkeyPatch) -> None:
    score, query, key = make(Additive)
    monkeypatch.setitem(SUMS, "cpu", sums)
    saved: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        score(query, score.project_keys(key))
    sum_of_all = 2 * 7 * 11 * 5
    assert (max(saved) >= sum_of_all) == (sums > 1)


def test_coverage_adds_what_its_own_hypothesis_looked_at_and_without_a_past_is_additive() -> None:
    score, query, key = make(Coverage)
    assert isinstance(score, Coverage)
    total = torch.rand(2, 7, 11, dtype=torch.float64)
    scores = score(query, score.project_keys(key), Past(total, total))
    hidden = (
        score.query_weight.T.mv(query[1, 3]) + score.key_weight.T.mv(key[1, 8]) + score.past_weight * total[1, 3, 8]
    )
    assert_close(scores[1, 3, 8], score.energy[:, 0].dot(hidden.tanh()))
    nothing = torch.zeros_like(total)
    alone = score(query, score.project_keys(key))
    assert_close(score(query, score.project_keys(key), Past(nothing, nothing)), alone)
    assert_close(alone, Additive.forward(score, query, score.project_keys(key)))


def test_cosine_ignores_lengths_and_starts_at_its_scale() -> None:
    score = Cosine(5, 5, initial_scale=3.0)
    query, key = torch.randn(7, 5), torch.randn(11, 5)
    scores = score(query, score.project_keys(key))
    assert_close(score(100 * query, score.project_keys(key / 100)), scores)
    assert_close(score(key, score.project_keys(key)).diagonal(), torch.full((11,), 3.0))


def test_cosine_of_a_zero_vector_is_finite_also_in_its_gradient() -> None:
    score = Cosine(5, 5)
    query, key = torch.zeros(2, 5, requires_grad=True), torch.zeros(3, 5, requires_grad=True)
    score(query, score.project_keys(key)).sum().backward()
    assert query.grad is not None and query.grad.isfinite().all()
    assert key.grad is not None and key.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("length", [0.0, 1e-7, 1e-5, 1e-3])
def test_cosine_of_a_short_vector_is_finite_in_every_precision(length: float, dtype: torch.dtype) -> None:
    score = Cosine(5, 5).to(dtype)
    query, key = (length * torch.randn(7, 5) for _ in range(2))
    query, key = query.to(dtype).requires_grad_(), key.to(dtype).requires_grad_()
    scores = score(query, score.project_keys(key))
    scores.sum().backward()
    assert query.grad is not None and key.grad is not None
    assert scores.isfinite().all() and query.grad.isfinite().all() and key.grad.isfinite().all()
    if not length:  # no direction: the gradient is not that of a step into one
        assert scores.count_nonzero() == 0 and max(query.grad.abs().max(), key.grad.abs().max()) <= 10


@pytest.mark.parametrize("kind", [Location, Synthesizer, Uniform])
def test_score_by_place_never_looks_at_the_key(kind: type[Score]) -> None:
    score, query, key = make(kind)
    assert not score.asks_key
    assert_close(score(query, score.project_keys(key)), score(query, score.project_keys(-key)), atol=0, rtol=0)


@pytest.mark.parametrize("kind", [Location, Synthesizer])
def test_location_beyond_its_positions_is_a_user_error(kind: type[Location]) -> None:
    score = kind(5, 3, max_positions=11)
    score(torch.randn(2, 5), torch.randn(11, 3))
    with pytest.raises(UserError, match=r"11 positions.* has 13.*max_positions"):
        score(torch.randn(2, 5), torch.randn(13, 3))


@pytest.mark.parametrize("kind", SAME_SIZE)
def test_unequal_sizes_are_a_user_error_where_the_score_needs_equal_ones(kind: type[Score]) -> None:
    with pytest.raises(UserError, match=rf"{kind.__name__} .*not 5 and 3; use score=general"):
        kind(5, 3)


@pytest.mark.parametrize("d", [3, 499])
def test_scaling_keeps_the_variance_of_scores_at_one(d: int) -> None:
    query, key = torch.randn(211, d), torch.randn(223, d)
    assert ScaledDot(d, d)(query, key).var().item() == pytest.approx(1, rel=0.2)
    assert Dot(d, d)(query, key).var().item() == pytest.approx(d, rel=0.2)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Additive, {"d_attention": 0}),
        (Coverage, {"d_attention": -1}),
        (Location, {"max_positions": 0}),
        (Synthesizer, {"max_positions": -3}),
        (Synthesizer, {"d_hidden": 0}),
        (Performer, {"num_features": 0}),
        (Cosine, {"initial_scale": 0.0}),
        (Additive, {"d_attention": 1.5}),
        (Performer, {"num_features": "many"}),
    ],
)
def test_size_that_cannot_be_is_a_user_error(kind: type[Score], options: dict[str, Any]) -> None:
    ((name, value),) = options.items()
    with pytest.raises(UserError, match=rf"{name}={value} of the score {kind.__name__} must be"):
        kind(5, 5, **options)


def test_performer_comes_to_the_scaled_dot_product_as_features_grow() -> None:
    query, key = 0.5 * torch.randn(31, 16), 0.5 * torch.randn(37, 16)
    expected = ScaledDot(16, 16)(query, key)
    errors = []
    for num_features in (16, 256, 4096):
        score = Performer(16, 16, num_features=num_features)
        errors.append((score(query, score.project_keys(key)).exp() / expected.exp() - 1).square().mean().sqrt().item())
    assert errors[0] > 2 * errors[1] > 4 * errors[2] and errors[2] < 0.1


def test_directions_of_a_performer_are_at_right_angles_as_many_as_a_head_is_wide_and_are_saved() -> None:
    score = Performer(5, 5, num_features=12)
    product = score.directions @ score.directions.T
    for first in (0, 5, 10):
        block = product[first : first + 5, first : first + 5]
        assert_close(block, block.diagonal().diag(), atol=1e-5, rtol=0)
    other = Performer(5, 5, num_features=12)
    assert not torch.equal(other.directions, score.directions)
    other.load_state_dict(score.state_dict())
    assert torch.equal(other.directions, score.directions) and not list(score.parameters())


@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0, 1e3])
@pytest.mark.parametrize("kind", [Linear, Performer])
def test_scores_of_features_are_finite_with_finite_gradients_at_any_size(kind: type[Score], size: float) -> None:
    score = kind(16, 16)
    query, key = ((size * torch.randn(7, 16)).requires_grad_() for _ in range(2))
    scores = score(query, score.project_keys(key))
    scores.softmax(-1).square().sum().backward()
    assert scores.isfinite().all()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in (query, key))
