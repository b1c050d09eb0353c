"""Time and memory of attention against length, forward and backward: fused, explicit, additive, O(n), in slices."""

import gc
import warnings
from typing import Any

import torch
from benchmark_attention import D_HEAD, HEADS, Ask, make_asks, seconds

from gpu.parts import Setting, exact_float32
from gpu.report import Report
from seq2seq.training.memory import MIB, peak_mib, reset_peak

LENGTHS = [128 << i for i in range(9)]
LONGEST = {"additive": 8192}
"""To 32,768; where a kind is tried no further."""

KINDS = [("fused", torch.float32), ("fused", torch.bfloat16), ("explicit", torch.float32), ("explicit", torch.bfloat16),
         ("additive", torch.float32), ("linear", torch.float32), ("linear-causal", torch.float32),
         ("performer", torch.float32), ("window 64", torch.float32), ("window 64", torch.bfloat16),
         ("chunks of 64", torch.float32)]  # fmt: skip


def run(setting: Setting, report: Report) -> None:
    """Report a row a length: milliseconds and MiB of each kind."""
    exact_float32()
    lengths = [16, 32] if setting.rehearsal else LENGTHS
    asks = make_asks(setting.device)
    full: set[tuple[str, torch.dtype]] = set()
    for length in lengths:
        cells: dict[str, Any] = {"length": length}
        for kind in KINDS:
            name, dtype = kind
            if kind in full or length > LONGEST.get(name, length) or setting.left < 4 and not setting.rehearsal:
                continue
            head = f"{name}, {'bf16' if dtype is torch.bfloat16 else 'float32'}"
            try:
                cells[head] = _row(asks[name], length, dtype, setting)
            except torch.OutOfMemoryError:
                full.add(kind)
                cells[head] = "out of memory"
                gc.collect()  # what the trace held
        report.row(f"Attention forward and backward, {HEADS} heads of {D_HEAD}, one sentence", cells)


def _row(ask: Ask, length: int, dtype: torch.dtype, setting: Setting) -> str:
    turn = 0.0 if setting.rehearsal else 0.05
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds(ask, length, setting.device, turn=0, dtype=dtype)
        if setting.device.type == "cuda":
            torch.cuda.empty_cache()
        held = torch.cuda.memory_allocated(setting.device) / MIB if setting.device.type == "cuda" else 0.0
        if not setting.rehearsal:
            reset_peak(setting.device)
        spent = min(seconds(ask, length, setting.device, turn=turn, dtype=dtype) for _ in range(3))
    return f"{1e3 * spent:.3g} ms, {peak_mib(setting.device) - held:,.0f} MiB"
