"""`seq2seq evaluate`: scores of a checkpoint on a split, with signatures, as a table and as JSON."""

import json
import logging
import os
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

from datasets import Dataset
from omegaconf import DictConfig

from seq2seq.build import bleu_options, build_corpus, build_extraction, build_search, find_device
from seq2seq.build_ensemble import load_models, shortest_limit
from seq2seq.build_readings import how_to_read
from seq2seq.build_tags import for_corpus, tagged_corpus, tagging
from seq2seq.checkpoint import AlignmentChoice, Checkpoint
from seq2seq.cli.keys.checkpoints import read_checkpoints
from seq2seq.cli.keys.command import command_config, warn_of_limit
from seq2seq.cli.process.crowding import sharing_cores
from seq2seq.cli.process.output import check_folder, results_folder, write_whole
from seq2seq.data.corpus import Corpus
from seq2seq.data.encoding import encoded_split
from seq2seq.data.fidelity import describe_losses
from seq2seq.data.loader import batch_loader
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.errors import UserError
from seq2seq.evaluation.baseline import baseline_error_rate
from seq2seq.evaluation.by_corpus import lines_by_corpus, scores_line, unlinked_rows
from seq2seq.evaluation.evaluator import Evaluation, Evaluator, evaluate
from seq2seq.models.encoder_decoder import site_of
from seq2seq.options import plain_data

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config("evaluate", arguments, text_keys=("checkpoint", "output", "baseline_links", "tag", "tags"))
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    if config.output:
        check_folder(Path(config.output))
    checkpoints = read_checkpoints("checkpoint", config.checkpoint, trusted=config.trusted)
    checkpoint = checkpoints[0]
    if len(checkpoints) > 1:
        check_ensemble(config)
    device = find_device(config.device)
    model, tokenizers = load_models(checkpoints, device, mean=config.ensemble)
    corpus, tokenizers = corpus_of(config, checkpoints, tokenizers)
    max_length = config.loader.max_length or shortest_limit(checkpoints)
    rows = encoded_rows(config, corpus, tokenizers, max_length)
    compared = bleu_options(config, corpus, trained=checkpoint.config)
    readings, alignment = how_to_read(config.get("reading"), alignment_of(checkpoints), model)
    evaluator = Evaluator(
        rows,
        tokenizers,
        build_search(config.search),
        extraction=build_extraction(config.get("links"), checkpoint),
        tokenize=compared.tokenize,
        lowercase=compared.lowercase,
        readings=readings,
        alignment=alignment,
    )
    longest = max(map(len, rows["target_ids"][:])) + 1
    warn_of_limit(arguments, config.search, longest, "there are references of more pieces")
    baseline = baseline_of(config.baseline_links, rows)
    folder = results_folder(config.output, checkpoint.path)
    settings = {
        **whose(checkpoints, config),
        "data": plain_data(config.data) if config.get("data") else checkpoint.config["data"],
        "fingerprint": corpus.fingerprint(config.split),
        "split": config.split,
        "tag": tokenizers.source.tag or None,
        "search": plain_data(config.search),
        "links": plain_data(config.links) if config.get("links") else None,
        "readings": [*map(str, readings)] if config.get("reading") else None,
        "max_length": max_length,
        **compared._asdict(),
    }
    batches = batch_loader(rows, tokens_per_batch=config.loader.tokens_per_batch, shuffle=False, num_workers=0)
    with sharing_cores(device):
        evaluation = evaluate(model, batches, evaluator)
    evaluation.metrics.update(baseline)
    said = write_results(folder, settings, evaluation, by_reading=len(readings) > 1)
    print_scores(evaluation)
    print(said)


def corpus_of(
    config: DictConfig, checkpoints: Sequence[Checkpoint], tokenizers: Tokenizers
) -> tuple[Corpus, Tokenizers]:
    """Return the corpus of `data`, by default that of the training, and the tokenizers with the tag that it needs."""
    corpus = build_corpus(config.get("data"), checkpoints[0], tag=config.tag or config.tags)
    if config.tags is None:
        return corpus, for_corpus(tokenizers, config.tag, checkpoints, corpus)
    return tagged_corpus(corpus, tagging(tokenizers, config.tag, config.tags, checkpoints)), tokenizers


def encoded_rows(config: DictConfig, corpus: Corpus, tokenizers: Tokenizers, max_length: int) -> Dataset:
    """Return the encoded pairs of the split, and warn of what is cut or cannot be said in pieces."""
    folder = Path(config.loader.cache_dir)
    encoded = encoded_split(corpus, config.split, tokenizers, max_length=max_length, max_ratio=None, cache_dir=folder)
    if encoded.cut:
        log.warning("%s: %d lines are longer than loader.max_length and were cut", config.split, len(encoded.cut))
    if lost := describe_losses(encoded.losses, tokenizers, remedy=None):
        log.warning("%s: %s", config.split, lost)
    return encoded.dataset


def baseline_of(links: str | None, rows: Dataset) -> dict[str, float]:
    """Return the alignment error rate of a file of links, where there is one."""
    if links is None:
        return {}
    gold = zip(*(rows[name][:] for name in ("source", "target", "links")), strict=True)
    return {"aer_baseline": baseline_error_rate(links, gold, unlinked=unlinked_rows(rows))}


def write_results(folder: Path, settings: dict[str, Any], evaluation: Evaluation, *, by_reading: bool) -> str:
    """Write scores and translations, both or none, and return what to say about the files."""
    result = settings | {"signatures": evaluation.signatures, "metrics": evaluation.metrics}
    if by_reading:
        result["by_reading"] = evaluation.readings
    split = settings["split"]
    with (
        write_whole(folder / f"evaluation-{split}.json") as scores,
        write_whole(folder / f"translations-{split}.txt") as translations,
    ):
        json.dump(result, scores, indent=2, ensure_ascii=False)
        translations.writelines(f"{hypothesis}\n" for hypothesis in evaluation.hypotheses)
        for file in (scores, translations):
            file.flush()  # before either takes its name
        kept = keep_earlier(folder, settings)
    return f"written to {folder / f'evaluation-{split}.json'}{kept and f'; {kept}'}"


def check_ensemble(config: DictConfig) -> None:
    """Refuse to ask of several models together what one alone has.

    Raises:
        UserError: naming the key.
    """
    if config.output is None:
        raise UserError("several checkpoints belong to no one run; give a folder for the scores: output=FOLDER")
    for group in ("reading", "links"):
        if config.get(group):
            raise UserError(f"{group}= is for the attention of one model; leave it out, or give one checkpoint")


def alignment_of(checkpoints: Sequence[Checkpoint]) -> AlignmentChoice | None:
    """Return the alignment of the model; several together have none."""
    return checkpoints[0].alignment if len(checkpoints) == 1 else None


def whose(checkpoints: Sequence[Checkpoint], config: DictConfig) -> dict[str, Any]:
    """Return the settings that say which model the scores are of."""
    paths = [os.path.abspath(checkpoint.path) for checkpoint in checkpoints]
    return {"checkpoint": paths[0]} if len(paths) == 1 else {"checkpoint": paths, "ensemble": config.ensemble}


def print_scores(evaluation: Evaluation) -> None:
    """Print BLEU, chrF and TER with their signatures, and AER where there is one."""
    for name in ("bleu", "chrf", "ter"):
        print(
            f"{name.upper().replace('CHRF', 'chrF'):<5}{evaluation.metrics[name]:7.2f}   {evaluation.signatures[name]}"
        )
    for name, own in lines_by_corpus(evaluation.metrics):
        print(f"{name}: {scores_line(own)}")
    if evaluation.alignment and "aer" in evaluation.metrics:
        aer, diagonal = 100 * evaluation.metrics["aer"], 100 * evaluation.metrics["aer_diagonal"]
        choice = evaluation.alignment
        print(f"AER  {aer:6.1f} %  {choice.layer}, {choice.reading}; the diagonal has {diagonal:.1f} %")
    if "aer_baseline" in evaluation.metrics:
        print(f"AER  {100 * evaluation.metrics['aer_baseline']:6.1f} %  baseline_links")
    if evaluation.norm_rule and "norm_rule_hits" in evaluation.metrics:
        hits = "as validation did" if evaluation.metrics["norm_rule_hits"] else "which validation did not"
        print(f"the layer of largest norms, a choice without links, is {site_of(evaluation.norm_rule).layer}, {hits}")
    if len({row["reading"] for row in evaluation.readings}) > 1:
        print_readings(evaluation.readings)


def print_readings(rows: list[dict[str, Any]]) -> None:
    """Print how each layer, and the best head, aligns in each reading."""
    names = [name for name in ("aer", "aer_argmax", "agreement") if name in rows[0]]
    print(f"\n{'reading':<16}{'layer':>6}{'head':>6}" + "".join(f"{name.replace('_', ' '):>13}" for name in names))
    for row in rows:
        head = "all" if row["head"] is None else row["head"]
        figures = "".join(f"{100 * row[name]:11.2f} %" for name in names)
        print(
            f"{row['reading']:<16}{row['layer']:>6}{head:>6}{figures}{'  best of the reading' if row['best'] else ''}"
        )


def keep_earlier(folder: Path, settings: dict[str, Any]) -> str:
    """Rename an evaluation of this split that was made under other settings; return what to say about it.

    Of what is kept the oldest has the number 1. An evaluation under the same settings gives way to its repetition.
    """
    stem = f"evaluation-{settings['split']}"
    files = [folder / f"{stem}.json", folder / f"translations-{settings['split']}.txt"]
    if not files[0].exists():
        return ""
    try:
        before = dict(json.loads(files[0].read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        before = {}
    # The same data may have been given by another name.
    other = [key for key, value in settings.items() if key != "data" and before.get(key) != value]
    if not other:
        return ""
    number = next(n for n in count(1) if not (folder / f"{stem}.{n}.json").exists())
    for file in files:
        if file.exists():
            file.rename(file.with_suffix(f".{number}{file.suffix}"))
    return f"the earlier one, of other settings ({', '.join(other)}), is {stem}.{number}.json now"
