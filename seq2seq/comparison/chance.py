"""Which variants differ from a baseline in BLEU, or in alignment error rate, by more than chance."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from omegaconf import OmegaConf

from seq2seq.build import BleuOptions, bleu_options, build_corpus
from seq2seq.checkpoint import Checkpoint
from seq2seq.comparison.runs import Run, read_sentences
from seq2seq.comparison.variants import Variant
from seq2seq.data.text import EARLIER, NORMALIZATIONS, comparable
from seq2seq.evaluation.link_counts import LinkCounts
from seq2seq.evaluation.metrics import bleu_metric
from seq2seq.evaluation.significance import Significance, paired_bootstrap_aer, paired_bootstrap_bleu


class Tested(NamedTuple):
    """A variant beside the baseline, run against run of the same seed."""

    seeds: tuple[int | None, ...]  # that both have
    difference: float  # the mean over the seeds, in the units of `metrics.json`
    p: float  # the largest of the seeds; 1 where they disagree about which of the two is better


class Chance(NamedTuple):
    """What the tests found."""

    baseline: str
    samples: int
    signature: str  # sacreBLEU's
    bleu: dict[str, Tested]  # by variant; those without a seed in common with the baseline are missing
    aer: dict[str, Tested]  # also without those that have no attention or no gold links


def choose_baseline(variants: Sequence[Variant], split: str) -> Variant | None:
    """Return of the variants with most seeds that of the highest mean BLEU: which others are really behind it?"""
    scored = [(statistic, variant) for variant in variants if (statistic := variant.statistic(f"{split}/bleu"))]
    return max(scored, key=lambda pair: (pair[0].n, pair[0].mean))[1] if scored else None


def compare_with(baseline: Variant, variants: Sequence[Variant], split: str, *, samples: int) -> Chance:
    """Return the paired bootstrap of every variant against the baseline, seed by seed."""
    ours = _by_seed(baseline, split)
    theirs = {variant.name: _by_seed(variant, split) for variant in variants if variant is not baseline}
    bleu: dict[str, dict[int | None, Significance]] = defaultdict(dict)
    aer: dict[str, dict[int | None, Significance]] = defaultdict(dict)
    signature = ""
    for seed, run in ours.items():
        runs = {name: by_seed[seed] for name, by_seed in theirs.items() if seed in by_seed}
        if runs:
            tokenize, lowercase = options_of(run, split)
            form = _form([run, *runs.values()])
            found, signature = paired_bootstrap_bleu(
                _column(run, split, "hypothesis", form),
                {name: _column(other, split, "hypothesis", form) for name, other in runs.items()},
                _column(run, split, "reference", form),
                tokenize=tokenize,
                lowercase=lowercase,
                samples=samples,
            )
            for name, result in found.items():
                bleu[name][seed] = result
        if mine := _link_counts(run, split):
            linked = {name: _link_counts(other, split) for name, other in runs.items()}
            counts = {name: [*found.values()] for name, found in linked.items() if found.keys() == mine.keys()}
            for name, result in paired_bootstrap_aer([*mine.values()], counts, samples=samples).items():
                aer[name][seed] = result
    tested = ({name: over_seeds(results[name]) for name in theirs if name in results} for results in (bleu, aer))
    return Chance(baseline.name, samples, signature, *tested)


def over_seeds(results: dict[int | None, Significance]) -> Tested:
    """Return what holds with every seed: as little as the weakest of them shows (an intersection-union test)."""
    differences = [result.difference for result in results.values()]
    agree = min(differences) > 0 or max(differences) < 0
    p = max(result.p for result in results.values()) if agree else 1.0
    return Tested(tuple(results), float(np.mean(differences)), p)


def _column(run: Run, split: str, name: str, form: Callable[[str], str]) -> list[str]:
    return [form(row[name]) for row in run.sentences[split]]


def _form(runs: Sequence[Run]) -> Callable[[str], str]:
    """Return what brings texts into one form: that of the run whose tokenizer changes text most."""
    found = [OmegaConf.select(OmegaConf.create(run.config), "tokenizer.normalization") for run in runs]
    # A tokenizer of the user's own may have none, or another.
    known = [name if name in NORMALIZATIONS else EARLIER for name in found]
    return comparable(max(known, key=NORMALIZATIONS.index))


def _link_counts(run: Run, split: str) -> dict[int, LinkCounts]:
    """Return the counts of the sentences that have any, by their place: in a mixture, a corpus may have no links."""
    fields = LinkCounts._fields
    try:
        rows = [(i, row) for i, row in enumerate(run.sentences[split]) if fields[0] in row]
        return {i: LinkCounts(*(int(row[name]) for name in fields)) for i, row in rows}
    except (KeyError, TypeError, ValueError):
        return {}


def options_of(run: Run, split: str) -> BleuOptions:
    """Return sacreBLEU's tokeniser and whether case is ignored, as in the run's own evaluation.

    Where its data are the user's own, or are not here, that is the tokeniser with which its score comes again.
    """
    config = OmegaConf.create({"metrics": {"tokenize": None, "lowercase": False, **run.config.get("metrics", {})}})
    tokenize, lowercase = config.metrics.tokenize, bool(config.metrics.lowercase)
    if not tokenize:
        try:
            corpus = build_corpus(None, Checkpoint(run.config, [], None, {}, run.where))
            return bleu_options(config, corpus)
        except Exception:
            said, expected = ([row[name] for row in run.sentences[split]] for name in ("hypothesis", "reference"))

            def miss(tokenize: str) -> float:
                found = bleu_metric(tokenize, lowercase=lowercase).corpus_score(said, [expected]).score
                return abs(found - run.metrics[f"{split}/bleu"])

            tokenize = min(("13a", "none"), key=miss)
    return BleuOptions(tokenize, lowercase)


def _by_seed(variant: Variant, split: str) -> dict[int | None, Run]:
    """Return the runs that have sentences of the split."""
    scored = [run for run in variant.finished if f"{split}/bleu" in run.metrics]
    return {run.seed: run for run in scored if read_sentences(run, split)}
