"""Time and memory of attention against sequence length, forward and backward: explicit, fused, additive, local, O(n).

One sentence, four heads of 32 that attend to themselves, float32. `SDPA` is a bare call of PyTorch's
scaled_dot_product_attention on the same tensors: the fused path is to cost what it costs. All take turns, there and
back, of as many passes as take 50 ms, one at least: a single short one would show what came before it, since threads
and caches are warm after some and cold after others. The slope is that of the logarithms over the four longest lengths:
1 is linear, 2 quadratic.

    python scripts/benchmark_attention.py
    python scripts/benchmark_attention.py --longest 65536 --rounds 2 --picture length.svg --kinds explicit fused \\
        additive "window 16" "chunks of 64" bigbird linear linear-causal performer
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import matplotlib
from arguments import above_0, picture

matplotlib.use("agg")
import numpy as np
import torch
from matplotlib import pyplot as plt
from torch import Tensor
from torch.nn import functional as F

from seq2seq.attention import Additive, Attention, BigBird, Chunked, Linear, Pattern, Performer, ScaledDot, Window
from seq2seq.training.memory import peak_mib, reset_peak

HEADS, D_HEAD = 4, 32
LENGTHS = [64 << i for i in range(11)]
LONGEST = {"additive": 2048, "bigbird": 8192, "explicit": 8192, "fused": 16384, "SDPA": 16384}
PATTERNS: dict[str, Pattern] = {
    **{f"window {width}": Window(D_HEAD, width=width) for width in (4, 16, 64)},
    "chunks of 64": Chunked(D_HEAD, size=64),
    "bigbird": BigBird(D_HEAD),
}
"""Windows and chunks run in slices; bigbird stands for what is a mask of all pairs."""

KINDS = ["explicit", "fused", "SDPA", "additive"]
"""What is measured where nobody says which."""

TURN = 0.05  # seconds

Ask = Callable[[Tensor], Tensor]


def make_asks(device: torch.device) -> dict[str, Ask]:
    """Return functions from x (1, heads, length, d_head), which is query, key and value, to the context."""
    dot = Attention(ScaledDot(D_HEAD, D_HEAD)).to(device)
    additive = Attention(Additive(D_HEAD, D_HEAD, num_heads=HEADS)).to(device)

    linear = Attention(Linear(D_HEAD, D_HEAD)).to(device)
    performer = Attention(Performer(D_HEAD, D_HEAD)).to(device)

    def ask(attention: Attention, **options: bool) -> Ask:
        return lambda x: attention(x, attention.memory(x, x), **options)[0]

    return {
        "explicit": ask(dot, need_weights=True),
        "fused": ask(dot),
        "SDPA": lambda x: F.scaled_dot_product_attention(x, x, x),
        "additive": ask(additive),
        **{name: ask(Attention(ScaledDot(D_HEAD, D_HEAD), pattern=made)) for name, made in PATTERNS.items()},
        "linear": ask(linear),
        "linear-causal": ask(linear, causal=True),
        "performer": ask(performer),
        "performer-causal": ask(performer, causal=True),
    }


def seconds(
    ask: Ask, length: int, device: torch.device, turn: float = TURN, dtype: torch.dtype = torch.float32
) -> float:
    """Return the time of a forward and backward pass, the mean of as many as `turn` seconds hold, one at least."""
    x = torch.randn(1, HEADS, length, D_HEAD, device=device, dtype=dtype, requires_grad=True)
    passes, begin = 0, time.perf_counter()
    while True:
        x.grad = None
        ask(x).sum().backward()
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        passes += 1
        if (spent := time.perf_counter() - begin) >= turn:
            return spent / passes


def mebibytes(name: str, length: int, device: torch.device) -> float:
    """Return how much more memory a pass needs at its peak than a short one: in a process of its own."""
    ask = make_asks(device)[name]
    seconds(ask, 8, device, turn=0)
    reset_peak(device)
    before = peak_mib(device)
    seconds(ask, length, device, turn=0)
    return peak_mib(device) - before


def fresh(function: Callable[[], float]) -> float:
    """Return what a function returns in a process of its own: one that has run keeps memory for later."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function).result()


def slope(lengths: list[int], values: list[float]) -> float:
    """Return the exponent of the growth over the four longest lengths."""
    return float(np.polyfit(np.log(lengths[-4:]), np.log(values[-4:]), 1)[0])


def table(title: str, columns: dict[str, dict[int, float]], unit: str) -> None:
    """Print values by length and kind, and the slope of each kind."""
    print(f"\n| {title} | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for length in sorted({length for column in columns.values() for length in column}):
        cells = (f"{column[length]:,.1f} {unit}" if length in column else "" for column in columns.values())
        print(f"| {length} | " + " | ".join(cells) + " |")
    slopes = (f"{slope(list(column), list(column.values())):.2f}" for column in columns.values())
    print("| slope | " + " | ".join(slopes) + " |")


def draw(path: str, columns: dict[str, dict[str, dict[int, float]]]) -> None:
    """Draw values by length and kind, a panel a unit, the slope beside each name; grey: the slopes 1 and 2."""
    figure, panels = plt.subplots(1, len(columns), figsize=(5.2 * len(columns), 4.6), layout="constrained")
    for panel, (unit, kinds) in zip(panels, columns.items(), strict=True):
        ends = []
        for name, values in kinds.items():
            lengths, found = list(values), list(values.values())
            (line,) = panel.plot(lengths, found, marker="o", markersize=3)
            ends.append((found[-1], lengths[-1], f"{name}  {slope(lengths, found):.1f}", line.get_color()))
        panel.set(xscale="log", yscale="log", xlabel="length, tokens", ylabel=unit)
        panel.set_xlim(min(LENGTHS) / 1.3, max(LENGTHS) * 12)  # room for the names
        panel.set_xticks(LENGTHS[::2], [f"{length:,}" for length in LENGTHS[::2]], fontsize=8)
        panel.minorticks_off()
        low, high = np.log(panel.get_ylim())
        last: dict[int, float] = {}
        for value, length, label, color in sorted(ends):
            at = max(np.log(value), last.get(length, -np.inf) + 0.045 * (high - low))  # names do not overlap
            panel.annotate(label, (length, value), (length * 1.3, np.exp(at)), color=color, fontsize=8, va="center")
            last[length] = at
        for exponent in (1, 2):
            base = np.exp(low + 0.05 * (high - low))
            end = min(max(LENGTHS), min(LENGTHS) * np.exp(0.8 * (high - low) / exponent))
            reach = np.array([min(LENGTHS), end])
            panel.plot(reach, base * (reach / reach[0]) ** exponent, color="0.8", linestyle="--", linewidth=1, zorder=0)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=above_0, default=9, help="two turns of each kind (%(default)s)")
    parser.add_argument("--threads", type=above_0, default=2, help="CPU threads (%(default)s)")
    parser.add_argument("--longest", type=above_0, default=8192, help="of the lengths, up to 65536 (%(default)s)")
    parser.add_argument("--kinds", nargs="+", default=KINDS, help="explicit, fused, SDPA, additive; window 4, 16, 64,"
                        " chunks of 64, bigbird; linear, performer, each also -causal (%(default)s)")  # fmt: skip
    parser.add_argument("--picture", type=picture, metavar="FILE", help="draw times and memory (PNG or SVG)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)

    unknown = [name for name in options.kinds if name not in make_asks(device)]
    if unknown:
        parser.error(f"there is no kind {unknown[0]!r}; choose among {', '.join(make_asks(device))}")
    asks = {name: ask for name, ask in make_asks(device).items() if name in options.kinds}
    times: dict[str, dict[int, float]] = {name: {} for name in asks}
    memory: dict[str, dict[int, float]] = {name: {} for name in asks}
    ratios: dict[int, float] = {}
    for length in (length for length in LENGTHS if length <= options.longest):
        names = [name for name in asks if length <= LONGEST.get(name, length)]
        runs: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(options.rounds + 1):
            there = {name: seconds(asks[name], length, device) for name in names}
            back = {name: seconds(asks[name], length, device) for name in reversed(names)}
            for name, found in runs.items():
                found.append((there[name] + back[name]) / 2)
        for name, found in runs.items():
            times[name][length] = 1e3 * statistics.median(found[1:])  # the first warms up
            memory[name][length] = max(0.1, fresh(partial(mebibytes, name, length, device)))
        if {"fused", "SDPA"} <= runs.keys():
            pairs = zip(runs["fused"][1:], runs["SDPA"][1:], strict=True)
            ratios[length] = statistics.median(ours / bare for ours, bare in pairs)
    print(f"{HEADS} heads of {D_HEAD}, {device.type}, {options.threads} threads, median of {options.rounds}")
    table("length: time", times, "ms")
    table("length: memory", memory, "MiB")
    if options.picture:
        draw(options.picture, {"milliseconds": times, "MiB": memory})
    if ratios:
        print("\nfused ÷ SDPA: " + ", ".join(f"{length}: {ratio:.2f}" for length, ratio in ratios.items()))


if __name__ == "__main__":
    main()
