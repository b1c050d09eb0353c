"""`seq2seq trust`: which method says what the model went by: words erased in its order, and other weights tried."""

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Dataset
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from torch import Tensor

from seq2seq.alignment.links import Link, Links, parse_links
from seq2seq.alignment.sentence import sentences_of_row
from seq2seq.attribution import Forced, Method
from seq2seq.attribution.faithfulness import attention_ranking
from seq2seq.build import build_method, load_model
from seq2seq.checkpoint import Checkpoint, read_checkpoint
from seq2seq.cli.keys.checkpoints import paths_of
from seq2seq.cli.keys.command import command_config
from seq2seq.cli.keys.lists import names_of
from seq2seq.cli.process.crowding import sharing_cores
from seq2seq.cli.process.output import check_folder, refuse_other_results, results_folder, write_whole
from seq2seq.cli.subject import Subject, read_subject
from seq2seq.cli.trust_tables import changes_table, methods_table, phenomena_table
from seq2seq.config_files import choices_of
from seq2seq.data import pair as data
from seq2seq.data.corpus import Corpus
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.errors import UserError
from seq2seq.evaluation.changes import CHANGES, Outcome, Trained, heads_to_change, measure_changes
from seq2seq.evaluation.trust import Pair, Ranking, measure_trust
from seq2seq.models import EncoderDecoder
from seq2seq.models.encoder_decoder import cross_attentions
from seq2seq.options import compose_defaults

ATTENTION = "attention"
"""The weights of the head that is the model's alignment, as a method."""

WIDTH = 100
"""Columns where the output is no terminal."""


class Part(NamedTuple):
    """One of the two results: how methods do, or what changes of the weights do."""

    key: str  # what it is called in its file
    file: Path
    settings: dict[str, Any]  # all that it depends on
    measure: Callable[..., tuple[Any, list[Table | str]]]  # measure(progress=...): its data, and what is printed


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config("trust", arguments, text_keys=("checkpoint", "output", "tag", "others"))
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    asked, changes, others = _asked(config)
    if config.output:
        check_folder(Path(config.output))
    subject = read_subject(config)
    rankings = _rankings(asked, subject.model, subject.checkpoint) if asked != [] else {}
    change = _changing(subject, changes, others) if changes or others else None
    pairs = _pairs(subject.rows(None), subject.corpus, subject.tokenizers, most=config.sentences)
    if not pairs:
        raise UserError(f"split={config.split}: no pair among the first {config.sentences} has words on both sides")
    folder = results_folder(config.output, config.checkpoint)
    settings = subject.settings() | {"sentences": len(pairs)}
    parts = []
    if rankings:
        measure = partial(_compare_methods, subject, pairs, rankings)
        parts.append(Part("methods", folder / f"trust-{config.split}.json", settings, measure))
    if change:
        more = {"changes": changes, "others": [os.path.abspath(path) for path in others], "epsilon": config.epsilon}
        measure = partial(_try_changes, change, pairs)
        parts.append(Part("changes", folder / f"changes-{config.split}.json", settings | {"asked": more}, measure))
    for part in parts:
        refuse_other_results(part.file, part.settings)

    def say(done: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{done} of {len(pairs)} sentences", end="", file=sys.stderr, flush=True)

    with sharing_cores(subject.device):
        found = [part.measure(progress=say) for part in parts]
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    try:
        for part, (content, _) in zip(parts, found, strict=True):
            with write_whole(part.file) as file:
                json.dump(part.settings | {part.key: content}, file, indent=2)
    finally:  # neither a full disk nor a reader that has gone, as of `| head`, costs the other
        for table in (table for _, tables in found for table in tables):
            console.print(table)
    for part in parts:
        print(f"written to {part.file}")


def _compare_methods(
    subject: Subject, pairs: Sequence[Pair], rankings: dict[str, Ranking], *, progress: Callable[[int], None]
) -> tuple[Any, list[Table | str]]:
    config = subject.config
    found = measure_trust(
        subject.model, pairs, rankings, tokens_per_batch=config.loader.tokens_per_batch, progress=progress
    )
    tables: list[Table | str] = [methods_table(found), *([phenomena_table(found)] if config.phenomena else [])]
    return {name: trust.as_data() for name, trust in found.items()}, tables


def _try_changes(
    change: Callable[..., list[Outcome]], pairs: Sequence[Pair], *, progress: Callable[[int], None]
) -> tuple[Any, list[Table | str]]:
    outcomes = change(pairs, progress=progress)
    return [outcome.as_data() for outcome in outcomes], [changes_table(outcomes)]


def _asked(config: DictConfig) -> tuple[list[str] | None, list[str], list[str]]:
    """Return the methods (None: all), the changes and the other checkpoints that are asked for.

    Raises:
        UserError: a key has a value that cannot be, or nothing is asked for.
    """
    if type(config.sentences) is not int or config.sentences < 2:
        raise UserError(f"sentences={config.sentences}: expected a number from 2 on, such as 100")
    methods = None
    if config.methods is not None:
        known = [ATTENTION, *choices_of("method")]
        methods = names_of("methods", config.methods, known, example="attention,erasure")
    changes = names_of("changes", config.changes, CHANGES, example=CHANGES[0])
    others = paths_of("others", config.others) if config.others not in ([], "[]") else []
    if methods == [] and not (changes or others):
        raise UserError(f"methods=[]: nothing is asked; use methods=[attention] or changes=[{CHANGES[0]}]")
    if not 0 < config.epsilon < 1:
        raise UserError(f"epsilon={config.epsilon}: expected a total variation distance, above 0 and below 1")
    return methods, changes, others


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


def _pairs(rows: Dataset, corpus: Corpus, tokenizers: Tokenizers, *, most: int) -> list[Pair]:
    """Return the first pairs that have words on both sides, with their gold links where the split has any."""
    linked = any(rows["links"])

    def gold(links: str, number: int) -> Links | None:
        return parse_links(links, where=f"links of pair {number}") if linked else None

    def stands_for(row: dict[str, Any]) -> frozenset[Link]:
        return corpus.antecedents(data.Pair(row["source"], row["target"], row["links"])) if linked else frozenset()

    return [
        Pair(*sentences_of_row(tokenizers, row), gold(row["links"], number), row["tags"], stands_for(row))
        for number, row in enumerate(rows.select(range(min(most, len(rows)))), 1)
        if len(row["source_ids"]) and len(row["target_ids"])
    ]


def _source_part(method: Method, forced: Forced) -> Tensor:
    return method(forced).source


def _changing(subject: Subject, changes: list[str], others: list[str]) -> Callable[..., list[Outcome]]:
    """Return what measures other weights, and other models.

    Raises:
        UserError: a model has no attention, or cannot be read.
    """
    checkpoint, model = subject.checkpoint, subject.model
    if checkpoint.alignment is None:
        raise UserError(
            f"{checkpoint.path} has no attention that was chosen, to change its weights; leave out changes and others"
        )
    rivals: dict[str, Trained] = {}
    for path in others:
        other = read_checkpoint(path, trusted=checkpoint.trusted)
        if other.alignment is None:
            raise UserError(f"others: {path} has no attention that was chosen; leave it out")
        name = str(other.config.get("run_name") or path)
        rivals[path if name in rivals else name] = Trained(*load_model(other, subject.device), other.alignment)
    places = heads_to_change(model, checkpoint.alignment, cross_attentions(model))
    mine = Trained(model, subject.tokenizers, checkpoint.alignment)
    epsilon = subject.config.epsilon
    return partial(measure_changes, mine, places=places, asked=changes, epsilon=epsilon, others=rivals)
