"""Training with `training.compile=true`: the same losses, and how fast. Last, since compilers may take all the time."""

import time
from functools import partial

import torch

from gpu.parts import Setting, exact_float32, small_text
from gpu.precision import MODELS, train
from gpu.report import Report
from gpu.speed import BASE, Bench, Kind
from seq2seq.attention import attention

LARGE, SMALL = 100000, 3125
"""Padded tokens a side of a batch of WMT14: of one GPU alone, and its share of the paper's batch."""


def run(setting: Setting, report: Report) -> None:
    """Measure the base Transformer, plain and compiled; then compare the losses of a small one, without dropout."""
    torch._logging.set_logs(recompiles=True, graph_breaks=True)
    if setting.rehearsal:  # of the compiler what reads the code: the rest takes a minute
        torch.compile = partial(torch.compile, backend="eager")
        _losses(setting, report)
        return
    if torch.__version__ < "2.13":  # earlier ones take a compilation for an export, where attention is written out
        attention.is_exporting = lambda: False
    bench = Bench.begin(setting, report)
    bench.measure(BASE, LARGE, Kind())
    bench.measure(BASE, LARGE, Kind(compiled=True))
    bench.profile(BASE, LARGE, Kind(compiled=True))
    for compiled in (False, True):
        bench.measure(BASE, SMALL, Kind(compiled=compiled))
    _losses(setting, report)


def _losses(setting: Setting, report: Report) -> None:
    exact_float32()
    on_gpu = setting.device.type == "cuda"
    text, steps = small_text(setting.folder / "text", 800 if on_gpu else 100), 12 if on_gpu else 2
    losses, begin = {}, time.perf_counter()
    for compiled in (False, True):
        options = [*text, *MODELS["Transformer"], "model.dropout=0", f"training.compile={compiled}",
                   "trainer.precision=32-true"]  # fmt: skip
        name = f"Transformer, {'compiled' if compiled else 'plain'}"
        losses[compiled], _ = train(name, options, steps, setting, report, waits=False)
        seconds, begin = time.perf_counter() - begin, time.perf_counter()
    apart = max(abs(one - other) for one, other in zip(losses[False], losses[True], strict=True))
    report.check(
        f"compiled: the losses of {steps} steps", apart < 1e-3, f"{apart:.2g} apart, {seconds:.0f} s with compiling"
    )
