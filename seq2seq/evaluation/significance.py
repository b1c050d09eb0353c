"""Whether the difference between two systems on the same sentences could be chance: the paired bootstrap."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sacrebleu.significance import PairedTest

from seq2seq.errors import UserError
from seq2seq.evaluation.link_counts import LinkCounts
from seq2seq.evaluation.metrics import bleu_metric

SEED = 12345
"""Of the sentences drawn; sacreBLEU's."""


class Significance(NamedTuple):
    """A system beside the baseline, on the same sentences."""

    difference: float  # its score less the baseline's
    p: float  # how often resampled sentences differ by as much for no reason


def paired_bootstrap_bleu(
    baseline: Sequence[str],
    systems: Mapping[str, Sequence[str]],
    references: Sequence[str],
    *,
    tokenize: str = "13a",
    lowercase: bool = False,
    samples: int = 1000,
) -> tuple[dict[str, Significance], str]:
    """Return for every system how its BLEU compares with the baseline's (Koehn 2004), and sacreBLEU's signature.

    Args:
        baseline: hypotheses of the baseline.
        systems: hypotheses by name.
        references: one for each hypothesis.
        tokenize: sacreBLEU's tokeniser.
        lowercase: compare without regard to case.
        samples: how often sentences are drawn.

    Raises:
        UserError: hypotheses and references differ in number, or there are none; too few samples; no such tokeniser.
    """
    for name, hypotheses in {"the baseline": baseline, **systems}.items():
        if len(hypotheses) != len(references) or not references:
            raise UserError(f"{name} has {len(hypotheses)} hypotheses, but there are {len(references)} references")
    if samples < 1:
        raise UserError(f"samples={samples}: expected at least 1, such as 1000")
    test = PairedTest(
        [("baseline", baseline), *systems.items()],
        {"BLEU": bleu_metric(tokenize, lowercase=lowercase)},
        [references],
        test_type="bs",
        n_samples=samples,
    )
    signatures, scores = test()
    results: list[Any] = scores["BLEU"]
    first, *others = results
    found = {
        name: Significance(
            difference=float(result.score - first.score),
            # Where no sample differs, sacreBLEU counts none above the zero it observed, and would call it significant;
            # likewise of one sentence, of which every sample is the same.
            p=1.0 if result.score == first.score or len(references) == 1 else float(result.p_value),
        )
        for name, result in zip(systems, others, strict=True)
    }
    return found, str(signatures["BLEU"])


def paired_bootstrap_aer(
    baseline: Sequence[LinkCounts], systems: Mapping[str, Sequence[LinkCounts]], *, samples: int = 1000
) -> dict[str, Significance]:
    """Return for every system how its alignment error rate, 0-1, compares with the baseline's, as sacreBLEU does it.

    Sentences are drawn with replacement, the same for all; p is the share of samples whose difference is further from
    the mean difference than the observed one is from zero (Riezler & Maxwell 2005). One sentence alone says nothing of
    others: then it is 1.

    Args:
        baseline: counts of each sentence.
        systems: counts by name, of the same sentences.
        samples: how often sentences are drawn.
    """
    n = len(baseline)
    drawn = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), size=samples)
    once = np.ones((1, n), dtype=drawn.dtype)

    def rates(counts: Sequence[LinkCounts], weights: np.ndarray) -> np.ndarray:
        sure, links, sure_hits, possible_hits = (weights @ np.array(counts)).T
        total = links + sure  # a draw without any link has no error, as in `alignment_error_rate`
        return np.where(total > 0, 1 - (sure_hits + possible_hits) / np.maximum(total, 1), 0.0)

    results = {}
    for name, counts in systems.items():
        observed = float((rates(counts, once) - rates(baseline, once))[0])
        differences = rates(counts, drawn) - rates(baseline, drawn)
        as_far = int((np.abs(differences - differences.mean()) > abs(observed)).sum())
        results[name] = Significance(observed, (as_far + 1) / (samples + 1) if observed and n > 1 else 1.0)
    return results
