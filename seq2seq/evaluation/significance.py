"""Whether the difference in BLEU between two systems could be chance: sacreBLEU's paired bootstrap."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

from seq2seq.errors import UserError


class Significance(NamedTuple):
    """A system beside the baseline, on the same sentences."""

    difference: float  # BLEU of the system less that of the baseline
    p: float  # how often resampled sentences differ by as much for no reason
    low: float  # bounds of the 95 % interval of the system's BLEU
    high: float
    signature: str


def paired_bootstrap(
    baseline: Sequence[str],
    systems: Mapping[str, Sequence[str]],
    references: Sequence[str],
    *,
    tokenize: str = "13a",
    lowercase: bool = False,
    samples: int = 1000,
) -> dict[str, Significance]:
    """Return for every system how its BLEU compares with the baseline's (Koehn 2004), resampling sentences.

    Args:
        baseline: hypotheses of the baseline.
        systems: hypotheses by name.
        references: one for each hypothesis.
        tokenize: sacreBLEU's tokeniser.
        lowercase: compare without regard to case.
        samples: how often sentences are drawn.

    Raises:
        UserError: hypotheses and references differ in number, or there are none, or too few samples.
    """
    for name, hypotheses in {"the baseline": baseline, **systems}.items():
        if len(hypotheses) != len(references) or not references:
            raise UserError(f"{name} has {len(hypotheses)} hypotheses, but there are {len(references)} references")
    if samples < 1:
        raise UserError(f"samples={samples}: expected at least 1, such as 1000")
    test = PairedTest(
        [("baseline", baseline), *systems.items()],
        {"BLEU": BLEU(tokenize=tokenize, lowercase=lowercase, force=True)},
        [references],
        test_type="bs",
        n_samples=samples,
    )
    signatures, scores = test()
    results: list[Any] = scores["BLEU"]
    first, *others = results
    return {
        name: Significance(
            difference=float(result.score - first.score),
            # Where no sample differs, sacreBLEU counts none above the zero it observed, and would call it significant.
            p=1.0 if list(systems[name]) == list(baseline) else float(result.p_value),
            low=float(result.mean - result.ci),
            high=float(result.mean + result.ci),
            signature=str(signatures["BLEU"]),
        )
        for name, result in zip(systems, others, strict=True)
    }
