"""Tokens a second and utilisation of training, batches ever larger, and where the time goes."""

import gc
import re
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from gpu.parts import (
    SMALL,
    SMALL_TRANSFORMER,
    Setting,
    compose,
    fit,
    module_without_data,
    random_batches,
    without_fused_attention,
)
from gpu.report import Report
from seq2seq.data.batching import Batch
from seq2seq.training.flops import StepFlops, matrix_rate, step_flops
from seq2seq.training.memory import peak_mib, reset_peak

TABLE = "Training speed"
SIZES = (3125, 6250, 12500, 25000, 50000, 100000)
"""Padded tokens a side of a batch; the first is a GPU's share of the paper's batch of 25,000."""

PRODUCT = re.compile(r"gemm|cutlass|cublas|xmma|nvjet|wgmma|matmul|addmm|bmm|\bmm\b", re.I)
ATTENTION = re.compile(r"flash|fmha|attention|efficient", re.I)
NO_KERNEL = re.compile(r"^(ProfilerStep|Optimizer\.|\[pl\]|\[.*Strategy\]|autograd::|## |Torch-Compiled)")
"""Names of kernels that are matrix products, of those that are attention, and of what is no kernel but a mark."""


class Kind(NamedTuple):
    """A way to train a model."""

    precision: str
    fused: bool
    compiled: bool

    def cells(self) -> dict[str, Any]:
        return {
            "precision": self.precision,
            "attention": "fused" if self.fused else "explicit",
            "compiled": "yes" if self.compiled else "no",
        }


class Clock(Callback):
    """Counts tokens and seconds of the steps after a warm-up, from one wait for the device to another."""

    def __init__(self, setting: Setting, cost: StepFlops, *, warmup: int, seconds: float) -> None:
        self.setting, self.cost, self.warmup, self.least = setting, cost, warmup, seconds
        self.tokens = self.steps = 0
        self.flops = self.seconds = 0.0
        self._begin = 0.0

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, _: Any, batch: Batch, __: int) -> None:
        """Count."""
        if trainer.global_step <= self.warmup:
            self.setting.synchronize()
            reset_peak(self.setting.device)
            self._begin = time.perf_counter()
            return
        self.steps += 1
        self.tokens += batch.num_tokens
        self.flops += self.cost(batch) * module.passes
        if time.perf_counter() - self._begin >= self.least:
            self.setting.synchronize()  # what was asked for last is done, too
            self.seconds = time.perf_counter() - self._begin
            trainer.should_stop = True


class Profiled(Callback):
    """Profiles some steps after a warm-up."""

    def __init__(self, setting: Setting, *, warmup: int, steps: int) -> None:
        self.setting, self.warmup, self.steps = setting, warmup, steps
        activity = ProfilerActivity.CPU if setting.rehearsal else ProfilerActivity.CUDA
        self.profile = profile(activities=[activity])
        self.seconds = 0.0
        self._begin = 0.0

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Begin or end."""
        if trainer.global_step == self.warmup:
            self.setting.synchronize()
            self.profile.__enter__()
            self._begin = time.perf_counter()
        elif trainer.global_step == self.warmup + self.steps:
            self.setting.synchronize()
            self.seconds = time.perf_counter() - self._begin
            self.profile.__exit__(None, None, None)


def run_transformer(setting: Setting, report: Report) -> None:
    """The shapes of the base Transformer on WMT14."""
    overrides = ["experiment=wmt14_ende", *([*SMALL, *SMALL_TRANSFORMER] if setting.rehearsal else [])]
    vocab_size, sizes = (211, (256, 512)) if setting.rehearsal else (37000, SIZES)
    half = "bf16-mixed"
    rates = _rates(setting, report)
    name = "Transformer base, WMT14 shapes"
    best = _up(name, overrides, vocab_size, sizes, Kind(half, True, False), setting, report, rates)
    kinds = [Kind(half, False, False)] if setting.rehearsal else [
        Kind(half, True, True), Kind(half, False, False), Kind("32-true", True, False)
    ]  # fmt: skip
    for kind in kinds:
        for size in [best, 2 * best] if kind.compiled else [best]:
            if setting.left < 15:
                return
            _measure(name, overrides, vocab_size, size, kind, setting, report, rates)
    for compiled in (False,) if setting.rehearsal else (False, True):
        if setting.left > 10:
            _profile(name, overrides, vocab_size, best, Kind(half, True, compiled), setting, report)


def run_recurrent(setting: Setting, report: Report) -> None:
    """The two recurrent recipes of Multi30k."""
    rates = _rates(setting, report)
    small = ["model.d_model=16", "model.d_embedding=16"] if setting.rehearsal else []
    vocab_size, sizes = (211, (256,)) if setting.rehearsal else (6000, (4096, 16384, 65536))
    for name in ("multi30k_luong", "multi30k_bahdanau"):
        if setting.left < 8:
            return
        overrides = [f"experiment={name}", *small]
        kind = Kind("32-true" if setting.rehearsal else "bf16-mixed", True, False)  # not every CPU has such an LSTM
        best = _up(name, overrides, vocab_size, sizes, kind, setting, report, rates, mean_length=13)
        if setting.rehearsal:
            continue
        _measure(name, overrides, vocab_size, best, Kind("32-true", True, False), setting, report, rates, mean_length=13)
        if setting.left > 8:
            _profile(name, overrides, vocab_size, best, kind, setting, report, mean_length=13)


def _rates(setting: Setting, report: Report) -> dict[str, float]:
    """Return what the device can do in each precision, operations a second, of products of 8,192³."""
    if setting.rehearsal:
        rate = matrix_rate(setting.device, torch.float32, seconds=0.01)
        found = {"bf16-mixed": rate, "32-true": rate}
    else:
        dtypes = {"bf16-mixed": torch.bfloat16, "32-true": torch.float32}
        found = {name: matrix_rate(setting.device, dtype) for name, dtype in dtypes.items()}
    for name, rate in found.items():
        report.row("Matrix products of the device", precision=name, **{"TFLOP/s": rate / 1e12})
    return found


def _up(
    name: str, overrides: list[str], vocab_size: int, sizes: Sequence[int], kind: Kind, setting: Setting,
    report: Report, rates: dict[str, float], *, mean_length: float = 26.0,
) -> int:  # fmt: skip
    """Measure batches ever larger until memory ends or the rate does not rise; return the best size."""
    best, fastest = sizes[0], 0.0
    for size in sizes:
        rate = _measure(name, overrides, vocab_size, size, kind, setting, report, rates, mean_length=mean_length)
        if rate is None or setting.left < 20 and not setting.rehearsal:
            break
        if rate > fastest:
            best, gain, fastest = size, rate / max(fastest, 1e-9), rate
        if rate < fastest or gain < 1.03:
            break
    return best


def _measure(
    name: str, overrides: list[str], vocab_size: int, size: int, kind: Kind, setting: Setting, report: Report,
    rates: dict[str, float], *, mean_length: float = 26.0,
) -> float | None:  # fmt: skip
    """Report a row; return tokens a second, None where memory does not suffice."""
    module = _module(overrides, vocab_size, kind)
    batches = random_batches(size, vocab_size, 3 if setting.rehearsal else 12, mean_length=mean_length)
    warmup = 1 if setting.rehearsal else 12 if kind.compiled else 5
    clock = Clock(setting, step_flops(module.model), warmup=warmup, seconds=0.01 if setting.rehearsal else 2.0)
    cells = {"model": name, **kind.cells(), "batch": size}
    try:
        fit(module, batches, setting, precision=kind.precision, steps=10_000, callbacks=[clock])
    except torch.OutOfMemoryError:
        report.row(TABLE, **cells, **{"tokens/s": "out of memory"})
        return None
    finally:
        del module
        gc.collect()
        if setting.device.type == "cuda":
            torch.cuda.empty_cache()
    flops = clock.flops / clock.seconds
    figures = {
        "tokens/s": clock.tokens / clock.seconds,
        "ms a step": 1e3 * clock.seconds / clock.steps,
        "TFLOP/s": flops / 1e12,
        "of the matrix rate": f"{100 * flops / rates[kind.precision]:.1f} %",
        "GiB": peak_mib(setting.device) / 1024,
    }
    report.row(TABLE, **cells, **figures)
    return clock.tokens / clock.seconds


def _module(overrides: list[str], vocab_size: int, kind: Kind) -> Any:
    more = [f"trainer.precision={kind.precision}", f"training.compile={kind.compiled}"]
    if kind.compiled:
        torch._dynamo.reset()  # what was compiled for another model is not to count
    module = module_without_data(compose([*overrides, *more]), vocab_size)
    if not kind.fused:
        without_fused_attention(module.model)
    return module


def _profile(
    name: str, overrides: list[str], vocab_size: int, size: int, kind: Kind, setting: Setting, report: Report,
    *, mean_length: float = 26.0,
) -> None:  # fmt: skip
    """Report the kernels that take longest, and how much of the time they are."""
    warmup, steps = (1, 1) if setting.rehearsal else (12 if kind.compiled else 5, 5)
    profiled = Profiled(setting, warmup=warmup, steps=steps)
    batches = random_batches(size, vocab_size, 12, mean_length=mean_length)
    module = _module(overrides, vocab_size, kind)
    fit(module, batches, setting, precision=kind.precision, steps=warmup + steps, callbacks=[profiled])
    kernels: dict[str, tuple[float, int]] = {}
    for event in profiled.profile.key_averages():
        on_device = event.device_type == DeviceType.CUDA
        mark = NO_KERNEL.match(event.key) or getattr(event, "is_user_annotation", False)
        if mark or on_device == setting.rehearsal:  # what is to be seen are kernels; of a CPU, operations
            continue
        spent = event.self_cpu_time_total if setting.rehearsal else event.self_device_time_total
        before = kernels.get(event.key, (0.0, 0))
        kernels[event.key] = before[0] + spent / 1e3, before[1] + event.count
    busy = max(sum(spent for spent, _ in kernels.values()), 1e-9)

    def share(names: re.Pattern[str]) -> str:
        return f"{100 * sum(spent for name, (spent, _) in kernels.items() if names.search(name)) / busy:.0f} %"

    what = f"{name}, {size:,} tokens, {'compiled' if kind.compiled else 'not compiled'}"
    report.row(
        "Where the time goes",
        **{
            "training": what,
            "ms a step": 1e3 * profiled.seconds / steps,
            "kernels, ms": busy / steps,
            "gaps": f"{100 * max(0.0, 1 - busy / (1e3 * profiled.seconds)):.0f} %",
            "matrix products": share(PRODUCT),
            "attention": share(ATTENTION),
            "kernels a step": sum(count for _, count in kernels.values()) / steps,
        },
    )
    for kernel, (spent, count) in sorted(kernels.items(), key=lambda item: -item[1][0])[: 3 if setting.rehearsal else 14]:
        row = {"kernel": kernel[:100], "ms a step": spent / steps, "share": f"{100 * spent / busy:.1f} %"}
        report.row(f"Kernels of {what}", **row, **{"calls a step": count / steps})
