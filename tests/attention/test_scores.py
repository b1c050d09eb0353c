"""Every score against its formula, pair by pair, in float64."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seq2seq.attention import Additive, Concat, Cosine, Dot, General, Location, ScaledDot, Score
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
}
SAME_SIZE = (Dot, ScaledDot, Cosine)
FUSED = (Dot, ScaledDot, General, Cosine)


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


def test_location_never_looks_at_the_key() -> None:
    score, query, key = make(Location)
    assert_close(score(query, score.project_keys(key)), score(query, score.project_keys(-key)), atol=0, rtol=0)


def test_location_beyond_its_positions_is_a_user_error() -> None:
    score = Location(5, 3, max_positions=11)
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
