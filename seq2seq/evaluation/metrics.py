"""BLEU, chrF and TER by sacreBLEU, and where a model fails: BLEU by source length, exact matches by tag."""

import math
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.utils import SACREBLEU_DIR

from seq2seq.data.text import words
from seq2seq.errors import UserError


class TranslationScores(NamedTuple):
    """BLEU and chrF 0-100, TER from 0 (less is better), and sacreBLEU's signature of each under its name."""

    bleu: float
    chrf: float
    ter: float  # not a number where it was not asked for
    signatures: dict[str, str]


def score_translations(
    hypotheses: Sequence[str],
    references: Sequence[str],
    *,
    tokenize: str = "13a",
    lowercase: bool = False,
    with_ter: bool = True,
) -> TranslationScores:
    """Return the corpus scores of hypotheses against one reference each.

    Args:
        hypotheses: detokenised lines, or tokenised ones together with `tokenize="none"`.
        references: as many lines, in the same form.
        tokenize: sacreBLEU's tokeniser, for BLEU alone: 13a, intl, zh, char, none ...
        lowercase: compare without regard to case.
        with_ter: also TER, whose search takes seconds on translations of an untrained model.

    Raises:
        UserError: when there are no hypotheses, not as many references, or no such tokeniser.
    """
    _check_lines(hypotheses, references)
    metrics = {"bleu": bleu_metric(tokenize, lowercase=lowercase), "chrf": CHRF(lowercase=lowercase)}
    if with_ter:
        metrics["ter"] = TER(case_sensitive=not lowercase)
    scores = {name: metric.corpus_score(hypotheses, [references]).score for name, metric in metrics.items()}
    # A signature is complete only after its metric has counted references.
    signatures = {name: str(metric.get_signature()) for name, metric in metrics.items()}
    return TranslationScores(scores["bleu"], scores["chrf"], scores.get("ter", math.nan), signatures)


def range_names(edges: Sequence[int]) -> list[str]:
    """Return what ranges with these last numbers are called: `1-10`, `11-20` and `21+` of 10 and 20."""
    starts = [1, *(edge + 1 for edge in edges)]
    return [*(f"{start}-{end}" for start, end in zip(starts, edges, strict=False)), f"{starts[-1]}+"]


def bleu_by_length(
    sources: Sequence[str],
    hypotheses: Sequence[str],
    references: Sequence[str],
    edges: Sequence[int],
    *,
    tokenize: str = "13a",
    lowercase: bool = False,
) -> dict[str, float]:
    """Return the BLEU of each range of source lengths, counted in words between spaces, shortest first.

    Rising edges 10 and 20 make the ranges `1-10`, `11-20` and `21+`; a range without sentences is left out.

    Raises:
        UserError: as `score_translations`.
    """
    _check_lines(hypotheses, references)
    bleu = bleu_metric(tokenize, lowercase=lowercase)
    names = range_names(edges)
    ranges: list[list[tuple[str, str]]] = [[] for _ in names]
    for source, hypothesis, reference in zip(sources, hypotheses, references, strict=True):
        ranges[bisect_left(edges, len(words(source)))].append((hypothesis, reference))
    scores = {}
    for name, pairs in zip(names, ranges, strict=True):
        if pairs:
            found, expected = zip(*pairs, strict=True)
            scores[name] = bleu.corpus_score(found, [expected]).score
    return scores


def exact_match_by_tag(hypotheses: Sequence[str], references: Sequence[str], tags: Sequence[str]) -> dict[str, float]:
    """Return for every tag, in alphabetical order, the share 0-1 of its sentences that equal their reference.

    `tags` holds the tags of each sentence, separated by spaces. Differences in spaces do not count.

    Raises:
        UserError: when there are no hypotheses, or not as many references.
    """
    _check_lines(hypotheses, references)
    matches = defaultdict(list)
    for hypothesis, reference, line in zip(hypotheses, references, tags, strict=True):
        for tag in line.split():
            matches[tag].append(words(hypothesis) == words(reference))
    return {tag: sum(matches[tag]) / len(matches[tag]) for tag in sorted(matches)}


def _check_lines(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if not hypotheses:
        raise UserError("there are no hypotheses to score: the split or the file is empty")
    if len(hypotheses) != len(references):
        raise UserError(f"{len(hypotheses)} hypotheses, but {len(references)} references: a line each is needed")


def bleu_metric(tokenize: str, *, lowercase: bool) -> BLEU:
    """Return sacreBLEU's BLEU with one of its tokenisers.

    Raises:
        UserError: there is no such tokeniser, or a package or a file that it needs is not here.
    """
    if tokenize not in list(BLEU.TOKENIZERS):  # from Python, what has no hash may be asked for
        raise UserError(
            f"metrics.tokenize={tokenize} is no tokeniser of sacreBLEU: use one of {', '.join(BLEU.TOKENIZERS)}"
        )
    try:
        # The signature names the tokenisation; the guess that a text is tokenised would come at every validation.
        return BLEU(tokenize=tokenize, lowercase=lowercase, force=True)
    except (Exception, SystemExit) as error:  # packages, the network, a damaged file: each has its own kind
        reason = " ".join(str(error).split())
        package = re.search(r"pip install (\S+)", reason)
        if package:
            fault, remedy = "a package that is not installed", f"pip install '{package[1]}'"
        else:
            fault = f"a file that could not be read or fetched ({reason})"
            remedy = f"connect to the network once, and take away what is damaged in {SACREBLEU_DIR}/models"
        raise UserError(
            f"metrics.tokenize={tokenize} needs {fault}: {remedy}; or use another tokeniser, such as 13a, intl or char"
        ) from error
