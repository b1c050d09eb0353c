"""Sentence chrF and BLEU of all pairs are sacreBLEU's own numbers, bit for bit."""

import random

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from seq2seq.decoding import utility
from seq2seq.decoding.utility import bleu_utility, chrf_utility
from seq2seq.errors import UserError
from tests.sentences import sentences

ODD = [
    "",
    " ",
    ".",
    "a",
    "a a a a a a",
    "aaaaaaa",
    "Der Affe , ist oft",
    "Der  Affe,ist oft!",
    "größer 字字 字 m² ½",
    "a\u00a0b",
]


def texts(count: int) -> list[str]:
    """Return odd ones, and sentences some words of which are exchanged, left out or said twice."""
    draw, found = random.Random(3), list(ODD)
    said = [pair.target.split() for pair in sentences("val")[:9]]
    while len(found) < count:
        words = list(draw.choice(said))
        for _ in range(draw.randrange(4)):
            words[draw.randrange(len(words))] = draw.choice(["", draw.choice(words), "der der", "Fluss"])
        found.append(" ".join(words))
    return found


@pytest.mark.parametrize("columns", [7, 1 << 14])
def test_chrf_is_that_of_sacrebleu(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr(utility, "COLUMNS", columns)
    hypotheses, references = texts(40), texts(40)[::-1][:31]
    scores, metric = chrf_utility()(hypotheses, references), CHRF()
    expected = [[metric.sentence_score(h, [r]).score for r in references] for h in hypotheses]
    assert scores.shape == (40, 31) and scores.tolist() == expected
    assert len(np.unique(scores)) > 300


@pytest.mark.parametrize("tokenize", ["13a", "none", "char"])
def test_bleu_is_that_of_sacrebleu(tokenize: str) -> None:
    hypotheses, references = texts(40), texts(40)[::-1][:31]
    scores, metric = bleu_utility(tokenize)(hypotheses, references), BLEU(tokenize=tokenize, effective_order=True)
    expected = [[metric.sentence_score(h, [r]).score for r in references] for h in hypotheses]
    assert scores.shape == (40, 31) and scores.tolist() == expected
    assert len(np.unique(scores)) > 150


@pytest.mark.parametrize("of", [chrf_utility(), bleu_utility("13a")])
def test_empty_texts_alone_have_scores(of: utility.Utility) -> None:
    assert of(["", ""], [""]).tolist() == [[0.0], [0.0]]


def test_unknown_tokeniser_is_refused() -> None:
    with pytest.raises(UserError, match="search.tokenize=klingon is no tokeniser of sacreBLEU: use one of none, zh"):
        bleu_utility("klingon")
