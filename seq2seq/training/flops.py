"""How much arithmetic a training step is, and how much the device can do: what utilisation is measured by."""

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

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
    """Return what a training step costs, counted on the fewest small batches that settle it."""
    token = 6 * model.output.weight.numel()  # forward, and a gradient for each factor
    shapes = [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (1, 3)]
    twin = _on_cpu(model)
    with _as_products():
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


def _on_cpu(model: EncoderDecoder) -> EncoderDecoder:
    """Return a copy on the CPU, its weights shared and frozen as the original's are, and nothing in it compiled.

    The smallest passes are fastest there: the meta device, without data, computes shapes in Python, which takes longer.
    """
    weights = {id(old): nn.Parameter(_plain(old), old.requires_grad) for old in model.parameters()}
    buffers = {id(old): _plain(old).clone() for old in model.buffers()}
    return copy.deepcopy(model, {**weights, **buffers})


def _plain(tensor: Tensor) -> Tensor:
    """Return a tensor on the CPU, numbers in float32, sharing its memory where it is so already."""
    return tensor.detach().to("cpu", torch.float32 if tensor.is_floating_point() else None)


@contextmanager
def _as_products() -> Iterator[None]:
    """Let a recurrence and attention run as the products that they are, and draw no random number that others get."""
    fused = torch.backends.mkldnn.enabled
    with torch.random.fork_rng(devices=[]), sdpa_kernel(SDPBackend.MATH):
        torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
        try:
            yield
        finally:
            torch.backends.mkldnn.enabled = fused


def _count(model: EncoderDecoder, source: int, target: int) -> int:
    """Operations of a step on one pair, but for the projection."""
    source_ids, target_ids = (torch.ones(1, length, dtype=torch.int64) for length in (source, target))
    one, first = torch.ones(1, dtype=torch.int64), torch.arange(target)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with _Products() as counted, torch.enable_grad():
        features = model.features(source_ids, source_ids.bool(), one * source, target_ids, first)
        if features.requires_grad:
            torch.autograd.grad(features.sum(), parameters, allow_unused=True)
    return counted.operations


class _Products(TorchDispatchMode):
    """Counts the operations of matrix products, as PyTorch's counter does.

    That one also asks which module each belongs to, and whether any other operation has products inside, for longer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if count := flop_registry.get(func.overloadpacket):
            self.operations += count(*args, **(kwargs or {}), out_val=result)
        return result
