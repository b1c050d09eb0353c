"""How alike translations are, each with each: sentence chrF and sentence BLEU by sacreBLEU's arithmetic.

sacreBLEU counts the n-grams of one pair at a time. Here those of all texts are counted once. The k-th occurrence of an
n-gram in a text is a thing of its own, so that the matches of two texts, the smaller count of every n-gram, are the
things that both have: one product of matrices of zeros and ones. What is made of the counts is then computed in
sacreBLEU's order of operations, so that every score is the same number.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics import BLEU, CHRF

from seq2seq.errors import UserError

Utility = Callable[[Sequence[str], Sequence[str]], NDArray[np.float64]]
"""From hypotheses and references to scores (hypotheses, references), 0-100."""

COLUMNS = 1 << 14
"""Things in a product of matrices at once."""


def chrf_utility() -> Utility:
    """Return sentence chrF as `CHRF().sentence_score`: characters up to 6, beta 2."""
    order, factor = CHRF.CHAR_ORDER, CHRF.BETA**2

    def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
        units = [list("".join(text.split())) for text in (*hypotheses, *references)]
        shape = len(hypotheses), len(references)
        precisions, recalls, orders = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for said, known, matches in _matches(units, len(hypotheses), order):
            both = (said > 0) & (known > 0)
            precisions += np.where(both, matches / np.maximum(said, 1), 0.0)
            recalls += np.where(both, matches / np.maximum(known, 1), 0.0)
            orders += both
        precisions /= np.maximum(orders, 1)
        recalls /= np.maximum(orders, 1)
        some = precisions + recalls > 0
        scores = (1 + factor) * precisions * recalls / np.where(some, factor * precisions + recalls, 1.0)
        return np.where(some, 100 * scores, 0.0)

    return chrf


def bleu_utility(tokenize: str) -> Utility:
    """Return sentence BLEU as `BLEU(tokenize=..., effective_order=True).sentence_score`: words up to 4, smoothed.

    Raises:
        UserError: sacreBLEU has no such tokeniser, or not what it needs.
    """
    if tokenize not in BLEU.TOKENIZERS:
        raise UserError(
            f"search.tokenize={tokenize} is no tokeniser of sacreBLEU: use one of {', '.join(BLEU.TOKENIZERS)}"
        )
    try:
        metric = BLEU(tokenize=tokenize, effective_order=True)
    except (Exception, SystemExit) as error:  # packages, the network: each has its own kind
        reason = " ".join(str(error).split())
        raise UserError(
            f"search.tokenize={tokenize} cannot be used here: {reason}; use another, such as 13a"
        ) from error

    def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
        units = [metric.tokenizer(text.rstrip()).split() for text in (*hypotheses, *references)]
        lengths = np.array([len(words) for words in units])
        said, known = lengths[: len(hypotheses), None], lengths[None, len(hypotheses) :]
        counts = list(_matches(units, len(hypotheses), metric.max_ngram_order))
        return _bleu_of(counts, said, known)

    return bleu


def _bleu_of(counts: Sequence[tuple[NDArray, NDArray, NDArray]], said: NDArray, known: NDArray) -> NDArray[np.float64]:
    """Return BLEU (hypotheses, references) of matches by order, and lengths; smoothed as NIST's exponential."""
    shape = counts[0][2].shape
    smoothing, logs = np.ones(shape), []
    for total, _, matches in counts:
        none = matches == 0
        smoothing = np.where(none, smoothing * 2, smoothing)
        total = np.maximum(total, 1)  # beyond a hypothesis' length, whose orders end there
        logs.append(_each(math.log, np.where(none, 100.0 / (smoothing * total), 100.0 * matches / total)))
    orders = np.broadcast_to(sum((total > 0).astype(np.int64) for total, _, _ in counts), shape)
    brevity = np.where(said < known, _each(math.exp, np.where(said > 0, 1 - known / np.maximum(said, 1), 0.0)), 1.0)
    matched = np.any([matches > 0 for _, _, matches in counts], axis=0)
    # In Python's own exp, log and sum, as sacreBLEU's: those of NumPy differ in the last bit.
    rows = zip(np.stack(logs, axis=-1).reshape(-1, len(counts)).tolist(), orders.flatten().tolist(), strict=True)
    means = [math.exp(sum(row[:order]) / order) if order else 0.0 for row, order in rows]
    return np.where(matched, brevity * np.array(means).reshape(shape), 0.0)


def _each(function: Callable[[float], float], x: NDArray) -> NDArray[np.float64]:
    """Return a function of every number; each different one is computed once."""
    values, where = np.unique(x, return_inverse=True)
    return np.array([function(value) for value in values.tolist()])[where].reshape(x.shape)


def _matches(units: Sequence[Sequence[str]], hypotheses: int, order: int) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    """Yield for n-grams of 1 to `order` units how many a hypothesis has, a reference has, and how many match.

    Args:
        units: of the hypotheses, then of the references.
        hypotheses: how many of them are that.
        order: the longest n-grams.

    Yields:
        Counts (hypotheses, 1), (1, references) and (hypotheses, references).
    """
    lengths = np.array([len(text) for text in units])
    codes: dict[str, int] = {}
    unit = np.array([codes.setdefault(u, len(codes)) for text in units for u in text], dtype=np.int64)
    text = np.repeat(np.arange(len(units)), lengths)
    start, gram = np.arange(len(unit)), unit
    for n in range(1, order + 1):
        if n > 1:
            within = start + n - 1 < lengths.cumsum()[text]
            start, text, gram = start[within], text[within], gram[within]
            gram = np.unique(gram * len(codes) + unit[start + n - 1], return_inverse=True)[1]
        counts = np.maximum(lengths - n + 1, 0)
        shared = _shared(text, gram, len(units), hypotheses)
        yield counts[:hypotheses, None], counts[None, hypotheses:], shared


def _shared(text: NDArray, gram: NDArray, texts: int, hypotheses: int) -> NDArray[np.float64]:
    """Return how many occurrences of n-grams each hypothesis shares with each reference."""
    order = np.lexsort((gram, text))
    text, gram = text[order], gram[order]
    place = np.arange(len(gram))
    new = np.ones(len(gram), dtype=bool)
    new[1:] = (text[1:] != text[:-1]) | (gram[1:] != gram[:-1])
    occurrence = place - np.maximum.accumulate(np.where(new, place, 0))
    most = int(occurrence.max(initial=0)) + 1
    thing = np.unique(gram * most + occurrence, return_inverse=True)[1]
    shared = np.zeros((hypotheses, texts - hypotheses))
    things = int(thing.max(initial=-1)) + 1
    for first in range(0, things, COLUMNS):
        some = (thing >= first) & (thing < first + COLUMNS)
        has = np.zeros((texts, min(COLUMNS, things - first)), dtype=np.float32)
        has[text[some], thing[some] - first] = 1
        shared += has[:hypotheses] @ has[hypotheses:].T
    return shared
