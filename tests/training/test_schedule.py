"""Learning rates by hand. Steps count from 1: `rates(...)[n - 1]` is the rate of the n-th update."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from seq2seq.training.schedule import constant, cosine, inverse_square_root, noam


def rates(schedule: Callable[..., LambdaLR], steps: int, *, lr: float = 1.0, **options: Any) -> list[float]:
    """Return the rate of each update, as an optimizer sees it."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = schedule(optimizer, **options)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_constant_rises_to_the_rate_and_stays() -> None:
    assert rates(constant, 7, lr=0.8, warmup_steps=4) == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8])


def test_inverse_square_root_peaks_at_the_end_of_warmup() -> None:
    found = rates(inverse_square_root, 64, lr=0.3, warmup_steps=4)
    assert found[:5] == pytest.approx([0.075, 0.15, 0.225, 0.3, 0.3 * math.sqrt(4 / 5)])
    assert found[16 - 1] == pytest.approx(0.15)  # four times the warmup: half the peak
    assert found[64 - 1] == pytest.approx(0.075)


def test_noam_is_the_papers_rate_at_its_peak_and_around_it() -> None:
    found = rates(noam, 5000, d_model=512, warmup_steps=4000)
    assert found[0] == pytest.approx(512**-0.5 * 4000**-1.5)
    assert found[4000 - 1] == pytest.approx(512**-0.5 * 4000**-0.5)
    assert found[4000 - 1] == pytest.approx(6.987712e-4, rel=1e-6)
    assert found[2000 - 1] == pytest.approx(found[4000 - 1] / 2)
    assert found[5000 - 1] == pytest.approx(found[4000 - 1] * math.sqrt(4 / 5))
    assert max(found) == found[4000 - 1]


def test_noam_is_scaled_by_the_optimizers_rate() -> None:
    assert rates(noam, 3, lr=2.0, d_model=16, warmup_steps=2) == pytest.approx(
        [0.5 * 2**-1.5, 0.5 * 2**-0.5, 0.5 * 3**-0.5]
    )


def test_cosine_rises_to_the_rate_then_falls_to_zero_at_its_last_step() -> None:
    found = rates(cosine, 14, lr=0.2, warmup_steps=4, total_steps=12)
    assert found[:4] == pytest.approx([0.05, 0.1, 0.15, 0.2])
    assert found[6 - 1] == pytest.approx(0.1 * (1 + math.sqrt(0.5)))  # a quarter of the way down
    assert found[8 - 1] == pytest.approx(0.1)  # half of it
    assert found[12 - 1 :] == pytest.approx([0.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("schedule", "options", "expected"),
    [
        (constant, {}, [1.0, 1.0, 1.0]),
        (inverse_square_root, {}, [1.0, 2**-0.5, 3**-0.5]),
        (noam, {"d_model": 4}, [0.5, 0.5 * 2**-0.5, 0.5 * 3**-0.5]),
        (cosine, {"total_steps": 2}, [0.5, 0.0, 0.0]),
    ],
)
def test_no_warmup_starts_at_once(
    schedule: Callable[..., LambdaLR], options: dict[str, int], expected: list[float]
) -> None:
    assert rates(schedule, 3, warmup_steps=0, **options) == pytest.approx(expected)
