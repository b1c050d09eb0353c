"""Which variants differ from a baseline in BLEU by more than chance."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from omegaconf import OmegaConf

from seq2seq.build import bleu_tokenizer, build_corpus
from seq2seq.checkpoint import Checkpoint
from seq2seq.comparison.runs import Run, read_sentences
from seq2seq.comparison.variants import Variant
from seq2seq.evaluation.significance import Significance, paired_bootstrap


class Tested(NamedTuple):
    """A variant beside the baseline, by one run of each."""

    seed: int | None  # the first that both have
    result: Significance


class Chance(NamedTuple):
    """What the tests found."""

    baseline: str
    samples: int
    tested: dict[str, Tested]  # by variant; those without a seed in common with the baseline are missing

    @property
    def seed(self) -> int | None:
        """The seed of all tests; None where they differ in it."""
        seeds = {tested.seed for tested in self.tested.values()}
        return seeds.pop() if len(seeds) == 1 else None


def choose_baseline(variants: Sequence[Variant], split: str) -> Variant | None:
    """Return the variant of the highest mean BLEU: what is asked is which of the others are really behind it."""
    scored = [(statistic.mean, variant) for variant in variants if (statistic := variant.statistic(f"{split}/bleu"))]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def compare_with(baseline: Variant, variants: Sequence[Variant], split: str, *, samples: int) -> Chance:
    """Return the paired bootstrap of every variant's BLEU against the baseline's."""
    ours = _by_seed(baseline, split)
    pairs: dict[int | None, dict[str, Run]] = defaultdict(dict)
    for variant in variants:
        theirs = _by_seed(variant, split)
        seed = next((seed for seed in ours if seed in theirs), None)
        if variant is not baseline and seed in ours and seed in theirs:
            pairs[seed][variant.name] = theirs[seed]
    tested: dict[str, Tested] = {}
    for seed, runs in pairs.items():
        rows = ours[seed].sentences[split]
        tokenize, lowercase = bleu_options(ours[seed])
        results = paired_bootstrap(
            [row["hypothesis"] for row in rows],
            {name: [row["hypothesis"] for row in run.sentences[split]] for name, run in runs.items()},
            [row["reference"] for row in rows],
            tokenize=tokenize,
            lowercase=lowercase,
            samples=samples,
        )
        tested |= {name: Tested(seed, result) for name, result in results.items()}
    return Chance(baseline.name, samples, tested)


def bleu_options(run: Run) -> tuple[str, bool]:
    """Return sacreBLEU's tokeniser and whether case is ignored, as in the run's own evaluation."""
    config = OmegaConf.create({"metrics": {"tokenize": None, "lowercase": False, **run.config.get("metrics", {})}})
    tokenize = config.metrics.tokenize
    if not tokenize:
        try:
            tokenize = bleu_tokenizer(config, build_corpus(None, Checkpoint(run.config, [], None, {}, run.where)))
        except Exception:  # data of the user's own, or not here: then as evaluation does with text; the signature tells
            tokenize = "13a"
    return tokenize, bool(config.metrics.lowercase)


def _by_seed(variant: Variant, split: str) -> dict[int | None, Run]:
    """Return the runs that have sentences of the split."""
    scored = [run for run in variant.finished if f"{split}/bleu" in run.metrics]
    return {run.seed: run for run in scored if read_sentences(run, split)}
