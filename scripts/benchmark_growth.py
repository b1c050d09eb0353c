"""Cost as work grows: seconds and memory of a beam search, or of a training step, against what makes work.

Models with random weights, which are as fast as trained ones: 10,000 pieces, and 4 layers of 128 in a Transformer, of
256 in a recurrent one of Luong. 16 sentences of 16 tokens are translated into as many, beam 5, or learnt from; one of
these grows. No sentence ends before it must, so that all have the same work. Seconds are those of the processor, a
sentence, on one thread, the encoder's too; the smallest of some passes after a first one. Memory is what that first one
needs at its peak beside the weights, in training gradients and the optimizer's moments too, of a process of its own, in
MiB, on Linux. The slope is that of the logarithms over the last four: 1 is linear.

    python scripts/benchmark_growth.py --picture growth.png
    python scripts/benchmark_growth.py --work training --picture growth_training.png
"""

import argparse
import ctypes
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, NamedTuple

import matplotlib
from arguments import above_0, picture

matplotlib.use("agg")
import numpy as np
import torch
from benchmark_variants import training
from gpu.parts import FIRST_ID, compose, tokenizers
from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator, StrMethodFormatter
from torch import Tensor

from seq2seq.build import build_model
from seq2seq.data.batching import collate
from seq2seq.data.tokenizer import EOS
from seq2seq.decoding.search import BeamSearch, wu_penalty
from seq2seq.models import DecoderState, EncoderDecoder
from seq2seq.training.memory import peak_mib, reset_peak

WIDE = [f"{side}.d_feedforward=256" for side in ("encoder", "decoder")]
MODELS = {"Transformer": ["model=transformer", "model.d_model=128", *WIDE], "Luong": ["model=luong"]}
GROWTH = {
    "length": [8, 16, 32, 64, 128],
    "vocabulary": [1000, 4000, 16000, 64000],
    "layers": [1, 2, 4, 8, 16],
    "beam": [1, 2, 4, 8, 16],
    "sentences": [4, 8, 16, 32, 64, 128],
}
WORKS = {
    "search": ("length", "vocabulary", "layers", "beam"),
    "training": ("length", "vocabulary", "layers", "sentences"),
}
"""What may grow of each work."""


class Size(NamedTuple):
    """How much work a pass is."""

    length: int = 16  # tokens of each source, and of each translation
    vocabulary: int = 10000
    layers: int = 4
    beam: int = 5
    sentences: int = 16  # of a batch


class Cost(NamedTuple):
    """What a pass takes."""

    milliseconds: float  # a sentence
    mib: float


class Endless:
    """A model of which no sentence ends before it must."""

    def __init__(self, model: EncoderDecoder) -> None:
        self.model = model

    def begin(self, *source: Tensor) -> DecoderState:
        """Return the model's state."""
        return self.model.begin(*source)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return the model's logits with an end that hardly comes, and its state."""
        logits, state = self.model.step(tokens, state)
        logits[..., EOS] = -1e4
        return logits, state


def search_of(model: EncoderDecoder, size: Size, length: int) -> Callable[[], Any]:
    """Return a beam search of sentences of so many tokens."""
    passes: dict[str, Any] = {"beam_size": size.beam, "n_best": 1, "max_ratio": 99.0, "length_penalty": wu_penalty(1.0)}
    source = torch.randint(FIRST_ID, size.vocabulary, (size.sentences, length))
    real = torch.ones_like(source, dtype=torch.bool)
    search, endless = BeamSearch(max_length=length, **passes), Endless(model.eval())
    return lambda: search(endless, source, real, real.sum(1))


def cost(work: str, name: str, size: Size, rounds: int) -> Cost:
    """Return what a work costs with one of the models."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = compose([*MODELS[name], f"model.num_layers={size.layers}"])
    model = build_model(config, tokenizers(size.vocabulary))

    def made(length: int) -> Callable[[], Any]:
        ids = torch.randint(FIRST_ID, size.vocabulary, (size.sentences, 2, length - 1)).tolist()
        batch = collate([(source, target, i) for i, (source, target) in enumerate(ids)])
        return search_of(model, size, length) if work == "search" else training(model, config, batch)

    made(2)()  # warms up
    act = made(size.length)
    device = torch.device("cpu")
    ctypes.CDLL(None).malloc_trim(0)  # what is free already would not be counted
    reset_peak(device)
    before = peak_mib(device)
    act()
    mib = peak_mib(device) - before
    seconds = []
    for _ in range(rounds):
        begin = time.process_time()
        act()
        seconds.append(time.process_time() - begin)
    return Cost(1e3 / size.sentences * min(seconds), mib)


def alone(*work: Any) -> Cost:
    """Return the cost in a process of its own: one that has run keeps memory for later."""
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        return pool.submit(cost, *work).result()


def slope(sizes: list[int], values: list[float]) -> float:
    """Return the exponent of the growth over the last four."""
    return float(np.polyfit(np.log(sizes[-4:]), np.log(values[-4:]), 1)[0])


def draw(path: str, found: dict[str, dict[str, list[Cost]]]) -> None:
    """Draw a column for what grows: milliseconds above, MiB below, the slopes beside the names."""
    figure, panels = plt.subplots(2, len(found), figsize=(11, 5), sharex="col", sharey="row", layout="constrained")
    for column, (grows, models) in zip(panels.T, found.items(), strict=True):
        sizes = GROWTH[grows]
        for panel, unit in zip(column, Cost._fields, strict=True):
            for name, costs in models.items():
                values = [getattr(one, unit) for one in costs]
                panel.plot(sizes, values, marker="o", markersize=3, label=f"{name}  {slope(sizes, values):.2f}")
            panel.set(xscale="log", yscale="log")
            panel.set_xticks(sizes, [f"{size:,}" for size in sizes], fontsize=7)
            panel.minorticks_off()
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            panel.spines[["top", "right"]].set_visible(False)
            panel.legend(frameon=False, fontsize=8, title="slope", title_fontsize=8, loc="upper left")
        column[-1].set_xlabel(grows)
    for panel, label in zip(panels[:, 0], ("milliseconds a sentence", "MiB"), strict=True):
        panel.set_ylabel(label)
    figure.savefig(path, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=above_0, default=3, help="passes of each size (%(default)s)")
    parser.add_argument("--work", default="search", choices=list(WORKS), help="(%(default)s)")
    parser.add_argument("--grow", nargs="+", choices=list(GROWTH), help="what grows (all)")
    parser.add_argument("--picture", type=picture, metavar="FILE", help="draw the costs (PNG or SVG)")
    options = parser.parse_args()
    found: dict[str, dict[str, list[Cost]]] = {}
    for grows in options.grow or WORKS[options.work]:
        print(f"\n| {grows} | " + " | ".join(f"{name}: ms a sentence | MiB" for name in MODELS) + " |")
        print("|---|" + "---|---|" * len(MODELS))
        found[grows] = {name: [] for name in MODELS}
        for amount in GROWTH[grows]:
            for name, costs in found[grows].items():
                costs.append(alone(options.work, name, Size(**{grows: amount}), options.rounds))
            cells = (f"{costs[-1].milliseconds:,.1f} | {costs[-1].mib:,.0f}" for costs in found[grows].values())
            print(f"| {amount:,} | " + " | ".join(cells) + " |", flush=True)
        slopes = (
            f"{slope(GROWTH[grows], [getattr(one, unit) for one in costs]):.2f}"
            for costs in found[grows].values()
            for unit in Cost._fields
        )
        print("| slope | " + " | ".join(slopes) + " |", flush=True)
    if options.picture:
        draw(options.picture, found)


if __name__ == "__main__":
    main()
