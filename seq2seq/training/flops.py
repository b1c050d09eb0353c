"""How much arithmetic a training step is, and how much the device can do: what utilisation is measured by."""

import copy
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from seq2seq.data.batching import Batch
from seq2seq.models import EncoderDecoder


@dataclass(frozen=True)
class StepFlops:
    """Floating-point operations of the matrix products of a training step, forward and backward, by a batch's shape.

    For pairs of S source and T target positions they are a polynomial in 1, S, T, S², T², S · T, and the projection to
    the vocabulary costs the same for each real target token, also where it is frozen. Kernels that begin at some length
    are no polynomial: causal attention in O(n) beyond 128 tokens, and windows and chunks in slices beyond some 200, are
    counted as all pairs, for more than they are.
    """

    pair: tuple[float, ...]  # coefficients of 1, S, T, S², T², S · T
    token: int

    def __call__(self, batch: Batch) -> float:
        """Return those of a batch, from its shape alone."""
        pairs, source = batch.source.shape
        terms = _terms(source, batch.target_input.shape[1])
        return pairs * float(np.dot(self.pair, terms)) + self.token * batch.num_tokens


def step_flops(model: EncoderDecoder) -> StepFlops:
    """Return what a training step costs, counted on batches without data of the fewest shapes that settle it."""
    token = 6 * model.output.weight.numel()  # forward, and a gradient for each factor
    shapes = [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (1, 3)]
    twin = _on_meta(model)
    counts = [_count(twin, *shape) for shape in shapes]
    return StepFlops(tuple(np.linalg.solve([_terms(*shape) for shape in shapes], counts).tolist()), token)


def matrix_rate(device: torch.device, dtype: torch.dtype, *, seconds: float = 0.2) -> float:
    """Return the floating-point operations a second of large matrix products on a device, the best of a few.

    The numbers are random: a GPU multiplies ones or zeros faster, since fewer bits change.
    """
    size = 1024 if device.type == "cpu" else 8192
    one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    best, begin = float("inf"), time.perf_counter()
    while time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        one @ other
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def _terms(source: int, target: int) -> tuple[int, ...]:
    return 1, source, target, source**2, target**2, source * target


def _on_meta(model: EncoderDecoder) -> EncoderDecoder:
    """Return a copy without data, its weights shared and frozen as the original's are, and nothing in it compiled."""
    twins: dict[int, Any] = {
        id(old): nn.Parameter(torch.empty_like(old, device="meta"), old.requires_grad) for old in model.parameters()
    }
    twins |= {id(old): torch.empty_like(old, device="meta") for old in model.buffers()}
    return copy.deepcopy(model, twins)


def _count(model: EncoderDecoder, source: int, target: int) -> int:
    """Operations of a step on one pair, but for the projection; on the meta device a recurrence is plain products."""
    source_ids, target_ids = (torch.ones(1, length, dtype=torch.int64, device="meta") for length in (source, target))
    one = torch.ones(1, dtype=torch.int64, device="meta")
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        features = model.features(source_ids, source_ids.bool(), one, target_ids, one)
        if features.requires_grad:
            features.sum().backward()
    return counter.get_total_flops()
