"""What a variant costs beside the default: a training step and beam decoding, as ratios, in one process by turns.

A variant is overrides as of `seq2seq train`, commas between them; the default is what `--base` makes alone. Weights are
untrained, sentences random tokens, half to all of the length in the table. Every round takes each model once, in a new
order; a ratio is the median over rounds of variant ÷ default, and beside it the middle half of them. Times are those of
the processor, so that other work on the machine counts for little.

    python scripts/benchmark_variants.py positions=rotary positions=alibi,pattern=window num_key_heads=1
    python scripts/benchmark_variants.py --base model=luong --lengths 24 -- cross_pattern=window score=dot
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from typing import Any, cast

import torch
from arguments import above_0
from hydra.utils import instantiate

from seq2seq.build import build_model, build_search
from seq2seq.cli.keys.shorthand import expand
from seq2seq.data.batching import Batch, collate
from seq2seq.data.tokenizer import EOS, Tokenizer, Tokenizers
from seq2seq.models import EncoderDecoder
from seq2seq.options import compose_defaults
from seq2seq.training.loss import token_loss

VOCAB = 2000
SPECIAL = 4  # ids that are no pieces
DEFAULT = "default"


def make(overrides: list[str]) -> tuple[EncoderDecoder, Any]:
    """Return the model of some overrides, and its whole configuration."""
    config = compose_defaults("train", expand(overrides)[0])
    vocabulary = cast(Tokenizer, range(VOCAB))  # a vocabulary's length is all that a model wants of it
    torch.manual_seed(0)
    return build_model(config, Tokenizers(vocabulary, vocabulary)), config


def made_up(length: int, tokens: int, seed: int) -> Batch:
    """Return a batch of pairs of random tokens, half to all of a length."""
    draw = random.Random(seed)

    def sentence() -> list[int]:
        return [draw.randrange(SPECIAL, VOCAB) for _ in range(draw.randint((length + 1) // 2, length) - 1)]

    return collate([(sentence(), sentence(), i) for i in range(max(1, tokens // length))])


def training(model: EncoderDecoder, config: Any, batch: Batch) -> Callable[[], Any]:
    """Return a training step on a batch: forward, backward and the optimizer's."""
    optimizer = instantiate(config.optimizer)(model.named_parameters())
    smoothing = config.training.label_smoothing

    def step() -> None:
        model.train()
        features = model.features(
            batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
        )
        loss = token_loss(features, model.output.weight, batch.target_output, label_smoothing=smoothing)
        (loss.objective / batch.num_tokens).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


class Endless:
    """A model whose sentences never end before a limit, so that all variants take as many steps."""

    def __init__(self, model: EncoderDecoder) -> None:
        self.model = model
        self.begin = model.begin

    def step(self, tokens: Any, state: Any) -> Any:
        """Return the model's logits (batch, beam, vocab), but for the end of a sentence, and its state."""
        logits, state = self.model.step(tokens, state)
        logits[..., EOS] = -100.0
        return logits, state


def decoding(model: EncoderDecoder, length: int, batch: Batch) -> Callable[[], Any]:
    """Return a beam search of a batch that takes as many steps as the length."""
    search = build_search(compose_defaults("translate", ["search=beam", f"search.max_length={length}"]).search)
    return lambda: search(Endless(model.eval()), batch.source, batch.source_mask, batch.source_lengths)


def compare(works: dict[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[float, list[float]]]:
    """Return for each work its median in milliseconds, and the quartiles of its ratios to the default."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name in random.Random(number).sample(list(works), len(works)):
            begin = time.process_time()
            works[name]()
            if number:  # the first warms up
                found[name].append(1e3 * (time.process_time() - begin))
    ratios = {name: [x / base for x, base in zip(found[name], found[DEFAULT], strict=True)] for name in works}
    return {name: (statistics.median(found[name]), statistics.quantiles(ratios[name], n=4)) for name in works}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="+", help="overrides of each, such as positions=rotary,gate=true")
    parser.add_argument("--base", nargs="*", default=["model=transformer"], help="overrides of all (%(default)s)")
    parser.add_argument("--lengths", nargs="*", type=above_0, default=[12, 24, 40], help="most tokens (%(default)s)")
    parser.add_argument("--tokens", type=above_0, default=1024, help="sentences × length of a batch (%(default)s)")
    parser.add_argument("--rounds", type=above_0, default=40, help="of training steps (%(default)s)")
    parser.add_argument(
        "--searches", type=above_0, default=5, help="rounds of beam search, of 8 sentences (%(default)s)"
    )
    parser.add_argument("--threads", type=above_0, default=1, help="CPU threads (%(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    made = {DEFAULT: make(options.base)}
    made |= {variant: make([*options.base, *variant.split(",")]) for variant in options.variants}
    print("| length | variant | step, ms | ÷ default | search, ms | ÷ default |\n|---|---|---|---|---|---|")
    for length in options.lengths:
        batch, few = made_up(length, options.tokens, seed=length), made_up(length, 8 * length, seed=length)
        steps = compare({name: training(*of, batch) for name, of in made.items()}, options.rounds)
        searches = compare({name: decoding(of[0], length, few) for name, of in made.items()}, options.searches)
        for name in made:
            cells = (
                f"{middle:.1f} | {ratios[1]:.2f} ({ratios[0]:.2f}-{ratios[2]:.2f})"
                for middle, ratios in (steps[name], searches[name])
            )
            print(f"| {length} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
