"""Our own dropout: the right share of zeros, independent of each other, the right scale, and no change of the mean."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from seq2seq.dropout import Dropout, dropout

N = 200_000


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_share_of_zeros_and_scale(p: float) -> None:
    found = dropout(torch.ones(N), p, True)
    rounded = round(256 * p) / 256
    assert abs(rounded - p) <= 1 / 512
    assert found.unique().tolist() == pytest.approx([0.0, 1 / (1 - rounded)], rel=1e-6)
    # Five standard deviations of a binomial share.
    assert (found == 0).float().mean().item() == pytest.approx(rounded, abs=5 * (rounded * (1 - rounded) / N) ** 0.5)
    assert found.mean().item() == pytest.approx(1, abs=5 * (rounded / (1 - rounded) / N) ** 0.5)


def test_elements_are_dropped_independently_of_each_other() -> None:
    """Neighbours share a random word: no bit of it may tell of another."""
    zeros = (dropout(torch.ones(N), 0.3, True) == 0).double()
    for lag in range(1, 17):
        correlation = torch.corrcoef(torch.stack((zeros[:-lag], zeros[lag:])))[0, 1].item()
        assert abs(correlation) < 5 / N**0.5, lag
    positions = zeros.view(-1, 8).mean(0)  # of the eight bytes of a word
    assert_close(positions, positions.mean().expand(8), atol=5 * (0.21 / (N / 8)) ** 0.5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (0, 4), (2, 3, 9)], ids=str)
def test_any_shape_and_type_keeps_it(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = torch.randn(shape, dtype=dtype)
    found = dropout(x, 0.5, True)
    assert (found.shape, found.dtype) == (x.shape, dtype)
    assert ((found == 0) | (found == 2 * x)).all()


def test_gradient_passes_where_the_value_did() -> None:
    x = torch.randn(1000, requires_grad=True)
    found = dropout(x, 0.25, True)
    found.sum().backward()
    assert_close(x.grad, (found != 0) * (4 / 3))


def test_seed_decides() -> None:
    def drawn(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return dropout(torch.ones(100), 0.5, True)

    assert drawn(1).equal(drawn(1)) and not drawn(1).equal(drawn(2))


def test_evaluation_and_no_dropout_change_nothing() -> None:
    x = torch.randn(100)
    assert dropout(x, 0.5, False) is x
    assert dropout(x, 0.0, True).equal(x)
    assert Dropout(0.5).eval()(x) is x and not Dropout(0.5)(x).equal(x)


@pytest.mark.parametrize("p", [0.999, 1.0])
def test_nearly_everything_is_left_to_pytorch(p: float) -> None:
    torch.manual_seed(1)
    found = dropout(torch.ones(100), p, True)
    torch.manual_seed(1)
    assert found.equal(F.dropout(torch.ones(100), p, True))


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_impossible_share_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="dropout probability"):
        Dropout(p)
    with pytest.raises(ValueError, match="dropout probability"):
        dropout(torch.ones(2), p, True)


def test_runs_without_data() -> None:
    assert dropout(torch.empty(3, 4, device="meta"), 0.5, True).shape == (3, 4)
