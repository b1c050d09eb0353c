"""`seq2seq trust`: which method says what the model went by, measured by erasing words in its order."""

import json
import logging
import os
import sys
from functools import partial
from pathlib import Path

from omegaconf import ListConfig
from rich.console import Console
from rich.table import Table
from torch import Tensor

from seq2seq.alignment.links import Links, parse_links
from seq2seq.alignment.sentence import sentences_of_row
from seq2seq.attribution import Forced, Method
from seq2seq.attribution.faithfulness import attention_ranking
from seq2seq.build import build_corpus, build_method, find_device, load_model
from seq2seq.checkpoint import Checkpoint, read_checkpoint
from seq2seq.cli.command import command_config
from seq2seq.cli.crowding import sharing_cores
from seq2seq.cli.output import refuse_other_results, results_folder, write_whole
from seq2seq.data.encoding import encoded_split
from seq2seq.errors import UserError, nearest
from seq2seq.evaluation.trust import Pair, Ranking, Trust, measure_trust
from seq2seq.models import EncoderDecoder
from seq2seq.options import choices_of, compose_defaults

ATTENTION = "attention"
"""The weights of the head that is the model's alignment, as a method."""

WIDTH = 100
"""Columns where the output is no terminal."""


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config("trust", arguments, text_keys=("checkpoint", "output"))
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    if type(config.sentences) is not int or config.sentences < 2:
        raise UserError(f"sentences={config.sentences}: expected a number from 2 on, such as 100")
    asked = _asked(config.methods)
    checkpoint = read_checkpoint(config.checkpoint, trusted=config.trusted)
    device = find_device(config.device)
    model, tokenizers = load_model(checkpoint, device)
    rankings = _rankings(asked, model, checkpoint)
    corpus = build_corpus(config.get("data"), checkpoint)
    encoded = encoded_split(
        corpus,
        config.split,
        tokenizers,
        max_length=config.loader.max_length or checkpoint.max_length,
        max_ratio=None,
        cache_dir=Path(config.loader.cache_dir),
    )
    rows = encoded.dataset
    linked = any(rows["links"])
    pairs = [
        Pair(*sentences_of_row(tokenizers, row), _gold(row["links"], i) if linked else None, row["tags"])
        for i, row in enumerate(rows.select(range(min(config.sentences, len(rows)))))
        if len(row["source_ids"]) and len(row["target_ids"])
    ]
    if not pairs:
        raise UserError(f"split={config.split}: no pair among the first {config.sentences} has words on both sides")
    path = results_folder(config.output, config.checkpoint) / f"trust-{config.split}.json"
    settings = {
        "checkpoint": os.path.abspath(config.checkpoint),
        "fingerprint": corpus.fingerprint(config.split),
        "split": config.split,
        "sentences": len(pairs),
    }
    refuse_other_results(path, settings)

    def say(done: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done} of {len(pairs)} sentences", end="", file=sys.stderr, flush=True)

    with sharing_cores(device):
        found = measure_trust(model, pairs, rankings, tokens_per_batch=config.loader.tokens_per_batch, progress=say)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    with write_whole(path) as file:
        json.dump(settings | {"methods": {name: trust.as_data() for name, trust in found.items()}}, file, indent=2)
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    console.print(table(found))
    print(f"written to {path}")


def _asked(methods: object) -> list[str] | None:
    known = [ATTENTION, *choices_of("method")]
    if methods is None:
        return None
    if not isinstance(methods, ListConfig) or not methods:
        raise UserError(f"methods={methods}: expected a list, such as methods=[attention,erasure]")
    for name in methods:
        if name not in known:
            raise UserError(f"methods: there is no method {name}; {nearest(str(name), known)}")
    return [str(name) for name in methods]


def _rankings(asked: list[str] | None, model: EncoderDecoder, checkpoint: Checkpoint) -> dict[str, Ranking]:
    """Return the methods that were asked for; where none was, all that the model can have.

    Raises:
        UserError: the model cannot have one that was asked for.
    """
    found: dict[str, Ranking] = {}
    for name in asked or [ATTENTION, *choices_of("method")]:
        try:
            if name != ATTENTION:
                method = build_method(compose_defaults("explain", [f"method={name}"]).method)
                method.check(model)
                found[name] = partial(_source_part, method)
            elif checkpoint.alignment is None:
                raise UserError(f"{checkpoint.path} has no attention that was chosen; leave out methods=[attention]")
            else:
                found[name] = partial(attention_ranking, choice=checkpoint.alignment)
        except UserError:
            if asked:
                raise
    return found


def _gold(links: str, index: int) -> Links:
    return parse_links(links, where=f"links of pair {index + 1}")


def _source_part(method: Method, forced: Forced) -> Tensor:
    return method(forced).source


def table(found: dict[str, Trust]) -> Table:
    """Return the table that a terminal shows, the most comprehensive method first."""
    made = Table(title="nats of log p, mean over sentences and its 95 % interval", title_justify="left")
    linked = any(trust.hit_rate is not None for trust in found.values())
    heads = ["method", "without its words", "with them alone", *(["first word is linked"] if linked else []), "ms"]
    for i, head in enumerate(heads):
        made.add_column(head, justify="right" if i else "left")
    for name, trust in sorted(found.items(), key=lambda item: -item[1].comprehensiveness.mean):
        cells = [
            f"{mean:.2f} ({low:.2f}-{high:.2f})" for mean, low, high in (trust.comprehensiveness, trust.sufficiency)
        ]
        cells += [f"{100 * (trust.hit_rate or 0):.1f} %"] if linked else []
        made.add_row(name, *cells, f"{1e3 * trust.seconds:.0f}")
    return made
