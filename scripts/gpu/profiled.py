"""Where the time of a training step goes: the kernels that take longest, and how long the device waits for the next."""

import re
import time
from collections.abc import Callable
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from gpu.parts import Setting
from gpu.report import Report

PRODUCT = re.compile(r"gemm|cutlass|cublas|xmma|nvjet|wgmma|matmul|addmm|bmm|\bmm\b", re.I)
ATTENTION = re.compile(r"flash|fmha|attention", re.I)
MARK = re.compile(r"^(ProfilerStep|Optimizer\.|\[pl\]|\[.*Strategy\]|autograd::|## |Torch-Compiled)")
"""Names of kernels that are matrix products, of those that are attention, and of what is no kernel but a mark."""

Kernels = dict[str, tuple[float, int]]
"""Milliseconds and calls, by name."""


class Profiled(Callback):
    """Profiles some steps after a warm-up."""

    def __init__(self, setting: Setting, *, warmup: int, steps: int) -> None:
        self.setting, self.warmup, self.steps = setting, warmup, steps
        self.profile = profile(activities=[ProfilerActivity.CPU if setting.rehearsal else ProfilerActivity.CUDA])
        self.milliseconds = 0.0
        self._begin = 0.0

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Begin or end."""
        if trainer.global_step == self.warmup:
            self.setting.synchronize()
            self.profile.__enter__()
            self._begin = time.perf_counter()
        elif trainer.global_step == self.warmup + self.steps:
            self.setting.synchronize()
            self.milliseconds = 1e3 * (time.perf_counter() - self._begin)
            self.profile.__exit__(None, None, None)

    def kernels(self) -> Kernels:
        """Return what ran on the device; in a rehearsal, the CPU's operations."""
        found: Kernels = {}
        for event in self.profile.key_averages():
            mark = MARK.match(event.key) or getattr(event, "is_user_annotation", False)
            if mark or (event.device_type == DeviceType.CUDA) == self.setting.rehearsal:
                continue
            microseconds = event.self_cpu_time_total if self.setting.rehearsal else event.self_device_time_total
            before = found.get(event.key, (0.0, 0))
            found[event.key] = before[0] + microseconds / 1e3, before[1] + event.count
        return found


def report_profile(
    what: str, train: Callable[[Callback], None], setting: Setting, report: Report, *, warmup: int, steps: int
) -> None:
    """Report a row of a training that takes a callback, and the kernels that take longest."""
    watch = Profiled(setting, warmup=warmup, steps=steps)
    train(watch)
    kernels = watch.kernels()
    busy = max(sum(spent for spent, _ in kernels.values()), 1e-9)

    def share(names: re.Pattern[str]) -> str:
        return f"{100 * sum(spent for name, (spent, _) in kernels.items() if names.search(name)) / busy:.0f} %"

    row: dict[str, Any] = {
        "training": what,
        "ms a step": watch.milliseconds / steps,
        "kernels, ms": busy / steps,
        "gaps": f"{100 * max(0.0, 1 - busy / watch.milliseconds):.0f} %",
        "matrix products": share(PRODUCT),
        "attention": share(ATTENTION),
        "kernels a step": sum(calls for _, calls in kernels.values()) / steps,
    }
    report.row("Where the time goes", row)
    longest = sorted(kernels.items(), key=lambda kernel: -kernel[1][0])
    for name, (spent, calls) in longest[: 3 if setting.rehearsal else 14]:
        row = {"kernel": name[:100], "ms a step": spent / steps, "share": f"{100 * spent / busy:.1f} %"}
        report.row(f"Kernels of {what}", row | {"calls a step": calls / steps})
