"""Minimum Bayes risk is its definition: the largest mean utility over all candidates, repeated ones counted."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from seq2seq.data.batching import collate
from seq2seq.decoding.constraints import Constraints
from seq2seq.decoding.mbr import MinimumBayesRisk, ranked_by_utility
from seq2seq.decoding.search import BeamSearch, Hypothesis, Request, search_batch, wu_penalty
from seq2seq.decoding.utility import chrf_utility
from seq2seq.errors import UserError
from tests.decoding.test_search import beam, make_model, make_sources, run
from tests.decoding.test_utility import texts

SAID = {4: "der", 5: "die", 6: "Katze", 7: "Kater", 8: "schläft", 9: "schlief", 10: "ein", 11: ".", 12: "nicht"}
OPTIONS: dict[str, Any] = {"utility": "chrf", "tokenize": None, "weights": "uniform", "n_best": 1}


def text(tokens: list[int]) -> str:
    return " ".join(SAID.get(token, "⁇") for token in tokens)


def score(utility: str, hypothesis: str, reference: str) -> float:
    metric = CHRF() if utility == "chrf" else BLEU(effective_order=True)
    return float(metric.sentence_score(hypothesis, [reference]).score)


@pytest.mark.parametrize("utility", ["chrf", "bleu"])
@pytest.mark.parametrize("weights", ["uniform", "probability"])
def test_best_is_that_of_the_definition(utility: str, weights: str) -> None:
    model, sources = make_model("bahdanau", sharpness=1.0), make_sources(4)
    search = MinimumBayesRisk(candidates=beam(12), **OPTIONS | {"utility": utility, "weights": weights})
    found = run(search, model, sources, text)  # type: ignore[arg-type]
    differs = 0
    for candidates, (best,) in zip(run(beam(12), model, sources), found, strict=True):
        share = [math.exp(c.log_probability) if weights == "probability" else 1.0 for c in candidates]
        means = [
            sum(p * score(utility, text(h.tokens), text(r.tokens)) for p, r in zip(share, candidates, strict=True))
            / sum(share)
            for h in candidates
        ]
        assert best.score == pytest.approx(max(means), rel=1e-9)
        assert best.tokens == candidates[means.index(max(means))].tokens
        differs += best.tokens != candidates[0].tokens
    assert differs


def test_texts_that_were_found_several_times_count_as_often() -> None:
    said = ["a b", "a c d", "a b", "x", "a b"]
    ranked = ranked_by_utility(said, np.ones(5), chrf_utility())
    assert [chosen.number for chosen in ranked][0] == 0 and sorted(chosen.number for chosen in ranked) == [0, 1, 3]
    expected = sum(score("chrf", "a b", other) for other in said) / 5
    assert ranked[0].expected_utility == pytest.approx(expected)


def test_order_is_by_expected_utility_and_of_equals_the_earlier() -> None:
    said = texts(30)
    ranked = ranked_by_utility(said, np.ones(30), chrf_utility())
    values = [chosen.expected_utility for chosen in ranked]
    assert values == sorted(values, reverse=True) and len({said[chosen.number] for chosen in ranked}) == len(set(said))
    assert [c.number for c in ranked_by_utility(["b", "a"], np.ones(2), chrf_utility())] == [0, 1]


def test_several_are_returned_best_first() -> None:
    candidates = [Hypothesis([token], -1.0, -1.0) for token in (11, 6, 7)]
    search = MinimumBayesRisk(candidates=beam(2), **OPTIONS | {"n_best": 2})
    search.candidates = lambda *_, **__: [candidates]  # type: ignore[assignment]
    (found,) = search(None, None, None, None, key=text)  # type: ignore[arg-type]
    assert [text(hypothesis.tokens) for hypothesis in found] == [
        "Kater",
        "Katze",
    ]  # the shorter one is the more like it


@pytest.mark.parametrize("weights", ["uniform", "probability"])
def test_without_a_candidate_it_is_said_what_was_asked(tiny: Any, weights: str) -> None:
    """`c` twice is required, and no piece may come twice."""
    candidates = BeamSearch(
        beam_size=4, n_best=4, max_length=6, max_ratio=9.0, length_penalty=wu_penalty(1.0), no_repeat_ngram=1
    )
    search = MinimumBayesRisk(**(OPTIONS | {"candidates": candidates, "weights": weights}))
    request = Request(1, None, Constraints([[(7, 7)]], (), tiny.vocabulary), where="file:7")
    asked = {"key": tiny.vocabulary.spell, "requests": [request]}
    model, batch = tiny.model("bahdanau"), collate([([5, 6], [], 0)])
    with pytest.raises(UserError, match="file:7: no translation was found"):
        search_batch(search, model, batch, **asked)
    ((found,),) = search_batch(search, model, batch, **asked, lenient=True)
    assert any(pair == (7, 7) for pair in pairwise(found.tokens))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"utility": "ter"}, "search.utility=ter is not known; use chrf or bleu"),
        ({"weights": "rank"}, "search.weights=rank is not known; use uniform or probability"),
        ({"n_best": 0}, "search.n_best=0 must be above 0"),
        ({"tokenize": "zh"}, "search.tokenize=zh is for search.utility=bleu"),
        ({"utility": "bleu", "tokenize": "x"}, "search.tokenize=x is no tokeniser of sacreBLEU"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        MinimumBayesRisk(candidates=beam(2), **OPTIONS | options)
