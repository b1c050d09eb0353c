"""One step after another, or all at once: time of a decoder's training pass against the length of the sentence.

A recurrent decoder computes a state from the one before it; a Transformer's sees all earlier tokens in one pass. One
sentence pair, source and target of one length, forward and backward without the loss, the smallest of some passes.

    python scripts/benchmark_steps.py --picture steps.svg
"""

import argparse
import time

import matplotlib
from arguments import above_0, picture

matplotlib.use("agg")
import torch
from gpu.parts import compose, tokenizers
from matplotlib import pyplot as plt

from seq2seq.build import build_model
from seq2seq.models import EncoderDecoder

LENGTHS = [4 << i for i in range(9)]
MODELS = {
    "Bahdanau: attend, then step": ["model=bahdanau"],
    "Luong with input feeding": ["model=luong", "decoder.input_feeding=true"],
    "Luong: all steps, then attend": ["model=luong"],
    "Transformer, one layer": ["model=transformer", "model.num_layers=1"],
    "Transformer, three layers": ["model=transformer"],
}


def milliseconds(model: EncoderDecoder, length: int, *, rounds: int) -> float:
    """Return the time of a decoder's pass there and back, of a sentence pair of so many tokens."""
    ids = torch.randint(4, 200, (1, length))
    mask = torch.ones_like(ids, dtype=torch.bool)
    best = float("inf")
    for _ in range(rounds + 1):  # the first warms up
        with torch.no_grad():
            encoded = model.encode(ids, mask, torch.tensor([length]))
        encoded = encoded._replace(states=encoded.states.requires_grad_())
        begin = time.perf_counter()
        model.decoder(ids, model.decoder.begin(encoded)).sum().backward()
        best = min(best, time.perf_counter() - begin)
    return 1e3 * best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=above_0, default=5, help="passes of each length (%(default)s)")
    parser.add_argument("--threads", type=above_0, default=2, help="CPU threads (%(default)s)")
    parser.add_argument("--picture", type=picture, metavar="FILE", help="draw the times (PNG or SVG)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    models = {name: build_model(compose(overrides), tokenizers(200)) for name, overrides in MODELS.items()}
    times: dict[str, list[float]] = {name: [] for name in models}
    print("| length | " + " | ".join(models) + " |")
    print("|---|" + "---|" * len(models))
    for length in LENGTHS:
        for name, model in models.items():
            times[name].append(milliseconds(model, length, rounds=options.rounds))
        print(f"| {length} | " + " | ".join(f"{found[-1]:,.1f} ms" for found in times.values()) + " |", flush=True)
    if options.picture:
        _draw(options.picture, times)


def _draw(path: str, times: dict[str, list[float]]) -> None:
    figure, panel = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for name, found in times.items():
        panel.plot(LENGTHS, found, marker="o", markersize=3, label=name)
    panel.set(xscale="log", yscale="log", xlabel="length of source and target, tokens", ylabel="milliseconds")
    panel.set_xticks(LENGTHS, [f"{length:,}" for length in LENGTHS])
    panel.minorticks_off()
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    main()
