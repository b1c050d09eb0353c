"""Tokens a second and utilisation of training, batches ever larger, and where the time goes."""

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import lightning
import torch
from lightning.pytorch.callbacks import Callback

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
from gpu.profiled import report_profile
from gpu.report import Report
from seq2seq.data.batching import Batch
from seq2seq.training.flops import StepFlops, matrix_rate, step_flops
from seq2seq.training.memory import peak_mib, reset_peak
from seq2seq.training.module import TranslationModule

SIZES = (3125, 6250, 12500, 25000, 50000, 100000)
"""Padded tokens a side of a batch of WMT14; the first is a GPU's share of the paper's batch of 25,000."""

MULTI30K_SIZES = (4096, 16384, 65536)


class Task(NamedTuple):
    """What is trained."""

    name: str
    overrides: list[str]
    vocab_size: int
    mean_length: float  # of a source, in pieces


class Kind(NamedTuple):
    """How it is trained."""

    precision: str = "bf16-mixed"
    fused: bool = True
    compiled: bool = False

    @property
    def warmup(self) -> int:
        """Steps before the clock is started."""
        return 12 if self.compiled else 5


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


BASE = Task("Transformer base, WMT14's shapes", ["experiment=wmt14_ende"], 37000, 26)
SMALL_BASE = Task("Transformer", [*BASE.overrides, *SMALL, *SMALL_TRANSFORMER], 211, 26)


def run_transformer(setting: Setting, report: Report) -> None:
    """The shapes of the base Transformer on WMT14."""
    bench = Bench.begin(setting, report)
    if setting.rehearsal:
        bench.up(SMALL_BASE, (256, 512), Kind())
        bench.measure(SMALL_BASE, 256, Kind(fused=False))
        bench.profile(SMALL_BASE, 256, Kind())
        return
    best = bench.up(BASE, SIZES, Kind())
    bench.profile(BASE, best, Kind())
    bench.measure(BASE, best, Kind(fused=False))
    bench.measure(BASE, best, Kind("32-true"))


def run_recurrent(setting: Setting, report: Report) -> None:
    """The two recurrent recipes of Multi30k."""
    bench = Bench.begin(setting, report)
    for name in ("multi30k_luong", "multi30k_bahdanau"):
        if setting.rehearsal:  # not every CPU has such an LSTM in bfloat16
            task = Task(name, [f"experiment={name}", "model.d_model=16", "model.d_embedding=16"], 211, 13)
            bench.measure(task, 256, Kind("32-true"))
            continue
        task = Task(name, [f"experiment={name}"], 6000, 13)
        best = bench.up(task, MULTI30K_SIZES, Kind())
        bench.measure(task, best, Kind("32-true"))
        bench.profile(task, best, Kind())


@dataclass(frozen=True)
class Bench:
    """Where results go, and what they are compared with."""

    setting: Setting
    report: Report
    rates: dict[str, float]  # operations a second of large matrix products, by precision

    @classmethod
    def begin(cls, setting: Setting, report: Report) -> "Bench":
        """Measure what the device can do: products of 8,192³ on a GPU."""
        dtypes = {"bf16-mixed": torch.bfloat16, "32-true": torch.float32}
        if setting.rehearsal:  # a product in bfloat16 takes seconds where a CPU has no units for it
            rates = dict.fromkeys(dtypes, matrix_rate(setting.device, torch.float32, seconds=0.01))
        else:
            rates = {name: matrix_rate(setting.device, dtype) for name, dtype in dtypes.items()}
        for name, rate in rates.items():
            report.row("Matrix products of the device", {"precision": name, "TFLOP/s": rate / 1e12})
        return cls(setting, report, rates)

    def up(self, task: Task, sizes: Sequence[int], kind: Kind) -> int:
        """Measure batches ever larger until memory ends or the rate hardly rises; return the fastest size."""
        best, fastest = sizes[0], 0.0
        for size in sizes:
            rate = self.measure(task, size, kind)
            if rate is None or rate < 1.03 * fastest:
                break
            best, fastest = size, rate
        return best

    def measure(self, task: Task, size: int, kind: Kind) -> float | None:
        """Report a row; return tokens a second, or None where memory or time does not suffice."""
        rehearsal = self.setting.rehearsal
        if self.setting.left < 12 and not rehearsal:
            return None
        module, batches = self._module(task, kind), self._batches(task, size)
        clock = Clock(
            self.setting,
            step_flops(module.model),
            warmup=1 if rehearsal else kind.warmup,
            seconds=0.01 if rehearsal else 2.0,
        )
        row: dict[str, Any] = {
            "model": task.name,
            "precision": kind.precision,
            "attention": "fused" if kind.fused else "explicit",
            "compiled": "yes" if kind.compiled else "no",
            "batch": size,
        }
        begin = time.perf_counter()
        try:
            fit(module, batches, self.setting, precision=kind.precision, steps=10_000, callbacks=[clock])
        except torch.OutOfMemoryError:
            self.report.row("Training speed", row | {"tokens/s": "out of memory"})
            return None
        flops, rate = clock.flops / clock.seconds, clock.tokens / clock.seconds
        row |= {
            "tokens/s": rate,
            "ms a step": 1e3 * clock.seconds / clock.steps,
            "TFLOP/s": flops / 1e12,
            "of the matrix rate": f"{100 * flops / self.rates[kind.precision]:.1f} %",
            "GiB": peak_mib(self.setting.device) / 1024,
            "seconds before": clock._begin - begin,
        }
        self.report.row("Training speed", row)
        return rate

    def profile(self, task: Task, size: int, kind: Kind) -> None:
        """Report where the time of some steps goes."""
        rehearsal = self.setting.rehearsal
        if self.setting.left < 12 and not rehearsal:
            return
        module, batches = self._module(task, kind), self._batches(task, size)
        warmup, steps = (1, 1) if rehearsal else (kind.warmup, 5)
        what = f"{task.name}, {size:,} tokens, {'compiled' if kind.compiled else 'not compiled'}"

        def train(watch: Callback) -> None:
            fit(module, batches, self.setting, precision=kind.precision, steps=warmup + steps, callbacks=[watch])

        report_profile(what, train, self.setting, self.report, warmup=warmup, steps=steps)

    def _module(self, task: Task, kind: Kind) -> TranslationModule:
        gc.collect()  # earlier ones
        if self.setting.device.type == "cuda":
            torch.cuda.empty_cache()
        if kind.compiled:
            torch._dynamo.reset()  # what was compiled for an earlier model is not to count
        options = [f"trainer.precision={kind.precision}", f"training.compile={kind.compiled}"]
        module = module_without_data(compose([*task.overrides, *options]), task.vocab_size)
        if not kind.fused:
            without_fused_attention(module.model)
        return module

    def _batches(self, task: Task, size: int) -> list[Batch]:
        count = 3 if self.setting.rehearsal else 12
        return random_batches(size, task.vocab_size, count, mean_length=task.mean_length)
