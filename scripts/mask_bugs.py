"""Two silent bugs of attention masks: what each does to the loss, to translations, and what finds it.

    python scripts/mask_bugs.py FILE.ckpt --output docs/explained/masks.svg

FILE is any checkpoint trained on the embedded grammar: its vocabulary is used. Three small Transformers are trained on
short sentences, a minute or so each: one that is sound, one whose masks forget padding, and one whose causal mask is
off by one.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from arguments import above_0, mistakes_in_a_line, picture
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from seq2seq.alignment.colors import GOLD, GRID
from seq2seq.attention import Attention, combine_masks
from seq2seq.attention.invariants import InvariantError
from seq2seq.build import build_model, tokenizers_of
from seq2seq.checkpoint import read_checkpoint
from seq2seq.data.batching import Batch, collate
from seq2seq.data.grammar import Sentence, generate
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.decoding.search import GreedySearch, search_batch
from seq2seq.evaluation.metrics import score_translations
from seq2seq.models import EncoderDecoder
from seq2seq.options import compose_defaults
from seq2seq.training.checks import check_batch

LONGEST = 9  # words of a sentence
MODEL = ["model=transformer", "model.d_model=64", "model.num_layers=2", "model.dropout=0", "output=none"]
Call = tuple[Any, dict[str, Any]]


def forget_padding(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> Call:
    """Let every query see padding."""
    query, memory = args
    return (query, memory._replace(mask=None)), kwargs


def see_next(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> Call:
    """Let query i see key i + 1, as `tril(1)` in place of `tril()` does."""
    query, memory = args
    if not kwargs.get("causal"):
        return args, kwargs
    size = query.shape[-2]
    late = torch.ones(size, size, dtype=torch.bool).tril(1)
    return (query, memory._replace(mask=combine_masks(memory.mask, late))), {**kwargs, "causal": False}


BUGS: dict[str, Callable[..., Call] | None] = {
    "sound": None,
    "padding is seen": forget_padding,
    "causal mask off by one": see_next,
}


def batch_of(pairs: Sequence[Sentence], tokenizers: Tokenizers) -> Batch:
    source, target = tokenizers
    return collate([(source.encode(pair.source), target.encode(pair.target), n) for n, pair in enumerate(pairs)])


def loss_of(model: EncoderDecoder, batch: Batch) -> torch.Tensor:
    """Return the mean cross-entropy in nats of the target tokens, forced."""
    logits = model(batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices)
    return F.cross_entropy(logits, batch.target_output)


def train(model: EncoderDecoder, pairs: Sequence[Sentence], tokenizers: Tokenizers, steps: int) -> list[float]:
    """Return the losses of training steps, of 32 random pairs each."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    generator, losses = torch.Generator().manual_seed(1), []
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 0.003 * min(1, (step + 1) / 100) * (1 - step / steps)
        chosen = torch.randint(len(pairs), (32,), generator=generator).tolist()
        loss = loss_of(model, batch_of([pairs[n] for n in chosen], tokenizers))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    return losses


def translations(model: EncoderDecoder, pairs: Sequence[Sentence], tokenizers: Tokenizers, size: int) -> list[str]:
    """Return greedy translations, so many sentences in a batch."""
    search, said = GreedySearch(max_length=40, max_ratio=2.0), []
    for start in range(0, len(pairs), size):
        batch = batch_of(pairs[start : start + size], tokenizers)
        said += [tokenizers.target.decode(found[0].tokens) for found in search_batch(search, model, batch)]
    return said


def finding(model: EncoderDecoder, batch: Batch) -> str:
    """Return what the checks of a training, `callbacks.checks`, say of the model."""
    try:
        check_batch(model, batch)
    except InvariantError as error:
        return str(error)
    return "nothing"


def plot(losses: dict[str, list[float]], path: Path) -> None:
    figure = Figure(figsize=(6.5, 2.8), facecolor="white", layout="constrained")
    axes = figure.subplots()
    for (name, line), color in zip(losses.items(), ("#265fa2", "#76b1e1", GOLD), strict=True):
        means = torch.tensor(line).unfold(0, 20, 20).mean(-1)
        steps = range(20, 20 * len(means) + 1, 20)
        axes.plot(steps, means, color=color, label=name, linestyle="--" if "padding" in name else "-")
    axes.set_title("training loss, nats a token", size=10, loc="left")
    axes.set_xlabel("steps")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="any that was trained on the embedded grammar")
    parser.add_argument("--steps", type=above_0, default=400, help="of each training (%(default)s)")
    parser.add_argument("--sentences", type=above_0, default=60, help="that are translated (%(default)s)")
    parser.add_argument("--output", type=picture, help="a PNG or SVG file for the losses")
    options = parser.parse_args()
    tokenizers = tokenizers_of(read_checkpoint(options.checkpoint))
    pairs, val = (
        [pair for pair in generate(split) if len(pair.source.split()) <= LONGEST] for split in ("train", "val")
    )
    val = val[: options.sentences]
    references = [pair.target for pair in val]
    losses: dict[str, list[float]] = {}
    for name, bug in BUGS.items():
        torch.manual_seed(1)
        begin = time.perf_counter()
        model = build_model(compose_defaults("train", MODEL), tokenizers)
        if bug is not None:
            for module in model.modules():
                if isinstance(module, Attention):
                    module.register_forward_pre_hook(bug, with_kwargs=True)
        losses[name] = train(model, pairs, tokenizers, options.steps)
        with torch.no_grad():
            forced = loss_of(model, batch_of(val, tokenizers)).item()
        together, alone = (translations(model, val, tokenizers, size) for size in (len(val), 1))
        bleu = [score_translations(said, references, tokenize="none").bleu for said in (together, alone)]
        changed = sum(a != b for a, b in zip(together, alone, strict=True))
        last = losses[name][-50:]
        print(f"{name} ({time.perf_counter() - begin:.0f} s)")
        print(f"  loss in training {math.fsum(last) / len(last):.3f}, forced on validation {forced:.3f}")
        print(f"  BLEU in one batch {bleu[0]:.1f}, each sentence alone {bleu[1]:.1f}; {changed} of {len(val)} differ")
        print(f"  {val[0].source} -> {together[0]}")
        print(f"  the checks say: {finding(model, batch_of(val[:8], tokenizers))}", flush=True)
    if options.output:
        plot(losses, Path(options.output))


if __name__ == "__main__":
    with mistakes_in_a_line():
        main()
