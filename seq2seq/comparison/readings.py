"""Readings × variants: how well each way to read a model aligns, and what it costs, from its checkpoints."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import DictConfig

from seq2seq.alignment.links import parse_links
from seq2seq.alignment.sentence import sentences_of_row
from seq2seq.alignment.words import LinkExtraction
from seq2seq.build import build_corpus, build_extraction, load_model
from seq2seq.build_readings import build_readings
from seq2seq.checkpoint import BEST, AlignmentChoice, read_checkpoint
from seq2seq.comparison.chance import Tested, over_seeds
from seq2seq.comparison.runs import Run
from seq2seq.comparison.variants import Statistic, Variant, statistic_of
from seq2seq.data.encoding import encoded_split
from seq2seq.data.loader import batch_loader
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.errors import UserError
from seq2seq.evaluation.alignment import HeadEvaluator
from seq2seq.evaluation.by_corpus import unlinked_rows
from seq2seq.evaluation.head_report import HeadReport
from seq2seq.evaluation.link_counts import LinkCounts
from seq2seq.evaluation.significance import Significance, paired_bootstrap_aer
from seq2seq.models import EncoderDecoder
from seq2seq.models.encoder_decoder import site_of
from seq2seq.reading import Reading, record_pass


class ReadRun(NamedTuple):
    """One reading of one run: layer and head were chosen on validation, and scored on the split."""

    choice: AlignmentChoice
    own: bool  # whether it is what the run's checkpoint is read by
    aer: float  # 0-1
    counts: list[LinkCounts]  # of the sentences with gold links
    seconds: float  # a sentence: a forced pass, read in this way alone


class ReadVariant(NamedTuple):
    """One reading of a variant, over its seeds."""

    variant: str
    reading: str
    own: int  # seeds whose checkpoints are read so
    layers: str  # the layers that validation chose
    aer: Statistic  # 0-1
    tested: Tested | None  # beside what each seed's checkpoint is read by; None where that is this
    milliseconds: float  # a sentence


class Options(NamedTuple):
    """How runs are read again."""

    reading: DictConfig  # a `reading` group
    links: DictConfig | None  # a `links` group; None: as each run was trained
    split: str
    samples: int  # of the bootstrap
    tokens_per_batch: int
    cache_dir: Path
    device: torch.device
    trusted: Sequence[str]


def read_variants(variants: Sequence[Variant], options: Options) -> list[ReadVariant]:
    """Return a row for each reading of each variant that has attention; what cannot be read, the run knows.

    Raises:
        UserError: there is none, or no gold links.
    """
    found = []
    for variant in variants:
        by_seed = {run.seed: rows for run in variant.finished if (rows := _try(run, options))}
        names = dict.fromkeys(name for rows in by_seed.values() for name in rows)
        found += [_over_seeds(variant.name, name, by_seed, options.samples) for name in names]
    if not found:
        raise UserError("reading: no run has a checkpoint with attention, and gold links of the split, to read")
    return found


def _try(run: Run, options: Options) -> dict[str, ReadRun]:
    try:
        return read_run(run, options)
    except UserError as error:
        run.problems.append(f"it cannot be read again: {error}")
        return {}


def read_run(run: Run, options: Options) -> dict[str, ReadRun]:
    """Return each reading of a run by its name; nothing without attention, or without a checkpoint.

    Raises:
        UserError: checkpoint or data cannot be read, or there are no gold links.
    """
    path = run.folder / "checkpoints" / BEST
    if not path.exists():
        return {}
    checkpoint = read_checkpoint(path, trusted=options.trusted)
    if checkpoint.alignment is None:
        return {}
    model, tokenizers = load_model(checkpoint, options.device)
    corpus, extraction = build_corpus(None, checkpoint), build_extraction(options.links, checkpoint)
    readings = tuple(dict.fromkeys((*build_readings(options.reading, model), checkpoint.alignment.reading)))
    kept: dict[str, Any] = {"max_length": checkpoint.max_length, "max_ratio": None, "cache_dir": options.cache_dir}
    val, split = (encoded_split(corpus, name, tokenizers, **kept).dataset for name in ("val", options.split))
    if not any(split["links"]):
        raise UserError(f"there are no gold links of {options.split}")
    again = _Reader(model, tokenizers, extraction, options.tokens_per_batch)
    chosen, _ = again(val, readings)
    found = {}
    for reading in readings:
        choice = chosen.choose(reading)
        assert choice is not None
        heads, seconds = again(split, [reading])
        counts = [*heads.counts(choice).values()]
        own = reading == checkpoint.alignment.reading
        found[str(reading)] = ReadRun(choice, own, heads.score(choice)["aer"], counts, seconds / len(split))
    return found


class _Reader(NamedTuple):
    """Reads a model over data sets."""

    model: EncoderDecoder
    tokenizers: Tokenizers
    extraction: LinkExtraction
    tokens_per_batch: int

    @torch.no_grad()
    def __call__(self, rows: Any, readings: Sequence[Reading]) -> tuple[HeadReport, float]:
        """Return what heads do, and the seconds of forced passes and readings."""
        heads, seconds = HeadEvaluator(self.tokenizers, self.extraction, readings), 0.0
        linked, unlinked = any(rows["links"]), unlinked_rows(rows)
        device = next(self.model.parameters()).device
        for batch in batch_loader(rows, tokens_per_batch=self.tokens_per_batch, shuffle=False, num_workers=0):
            here, indices = batch.to(device), batch.indices.tolist()
            pairs = [rows[index] for index in indices]
            sentences = [sentences_of_row(self.tokenizers, row) for row in pairs]
            known = [linked and index not in unlinked for index in indices]
            gold = [parse_links(row["links"]) if has else None for row, has in zip(pairs, known, strict=True)]
            begin = time.perf_counter()
            with record_pass(self.model, norms=heads.reads_norms) as seen:
                self.model.features(
                    here.source, here.source_mask, here.source_lengths, here.target_input, here.target_indices
                )
            heads.add(seen, here, sentences, gold)
            seconds += time.perf_counter() - begin
        return heads.report(), seconds


def _over_seeds(variant: str, name: str, by_seed: dict[Any, dict[str, ReadRun]], samples: int) -> ReadVariant:
    """Return one reading over the seeds that have it."""
    rows = {seed: found[name] for seed, found in by_seed.items() if name in found}
    tests: dict[int | None, Significance] = {}
    for seed, row in rows.items():
        own = next(each for each in by_seed[seed].values() if each.own)
        if not row.own:
            tests[seed] = paired_bootstrap_aer(own.counts, {name: row.counts}, samples=samples)[name]
    layers = dict.fromkeys(str(site_of(row.choice.layer).layer) for row in rows.values())
    return ReadVariant(
        variant,
        name,
        sum(row.own for row in rows.values()),
        ", ".join(layers),
        statistic_of([row.aer for row in rows.values()]),
        over_seeds(tests) if tests else None,
        1e3 * float(np.mean([row.seconds for row in rows.values()])),
    )
