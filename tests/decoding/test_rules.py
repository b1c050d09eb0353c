"""Penalties: by hand, and beside all translations."""

import math
from typing import Any

import pytest
import torch

from seq2seq.data.batching import collate
from seq2seq.data.tokenizer import UNK
from seq2seq.decoding.constraints import Constraints, says
from seq2seq.decoding.prefix import Prefix
from seq2seq.decoding.rules import NoRepeatNgram, RepetitionPenalty
from seq2seq.decoding.search import (
    BeamSearch,
    DiverseBeamSearch,
    GreedySearch,
    Request,
    SampleSearch,
    search_batch,
    wu_penalty,
)
from seq2seq.errors import UserError

A, B, AB, C, BA = range(4, 9)
LIMITS: dict[str, Any] = {"max_length": 4, "max_ratio": 99.0}
DRAWN: dict[str, Any] = {
    "n_best": 40,
    "temperature": 2.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "epsilon": 0.0,
    "seed": 3,
}
BEAM: dict[str, Any] = {"beam_size": 400, "n_best": 400, "length_penalty": wu_penalty(0.0)}
SEARCHES = {
    "greedy": lambda **options: GreedySearch(**(LIMITS | options)),
    "beam": lambda **options: BeamSearch(**(LIMITS | BEAM | options)),
    "sample": lambda **options: SampleSearch(**(LIMITS | DRAWN | options)),
    "diverse": lambda **options: DiverseBeamSearch(**(LIMITS | BEAM | {"groups": 2, "diversity": 0.5} | options)),
}


def repeats(tokens: list[int], n: int) -> bool:
    ngrams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return len(set(ngrams)) < len(ngrams)


def test_ngrams_that_came_are_ruled_out() -> None:
    tokens = torch.tensor([[[4, 5, 6, 4, 5], [5, 5, 5, 5, 5], [4, 6, 7, 8, 5]]])
    banned = {
        1: [{4, 5, 6}, {5}, {4, 5, 6, 7, 8}],
        2: [{6}, {5}, set()],
        3: [{6}, {5}, set()],
        4: [set(), {5}, set()],
    }
    for n, expected in banned.items():
        found = NoRepeatNgram(n)(torch.zeros(1, 3, 9), tokens)[0]
        assert [set((row == -torch.inf).nonzero().flatten().tolist()) for row in found] == expected


@pytest.mark.parametrize("n", [1, 2])
def test_wide_beam_finds_all_without_repeats_and_no_search_repeats(tiny: Any, kind: str, n: int) -> None:
    model, sources = tiny.model(kind), tiny.sources(2)
    for source, found in zip(sources, tiny.run(SEARCHES["beam"](no_repeat_ngram=n), model, sources), strict=True):
        allowed = [target for target in tiny.all_targets if not repeats(target, n)]
        assert [h.tokens for h in found] == tiny.best_first(tiny.scored(model, source, allowed))
    for make in SEARCHES.values():
        for found in tiny.run(make(no_repeat_ngram=n, max_length=9), model, sources):
            assert found and not any(repeats(h.tokens, n) for h in found)


def test_repetition_penalty_multiplies_log_probabilities_of_what_came() -> None:
    log_probabilities = torch.tensor([[[-1.0, -2.0, -3.0, -4.0, -torch.inf]]])
    found = RepetitionPenalty(1.5)(log_probabilities, torch.tensor([[[2, 1, 2, 4]]]))
    assert found.tolist() == [[[-1.0, -3.0, -4.5, -4.0, -torch.inf]]]


@torch.no_grad()
def test_repetition_penalty_ranks_by_the_sum_and_tells_the_models_own(tiny: Any, kind: str) -> None:
    model, (source,) = tiny.model(kind), tiny.sources(1)
    (found,) = tiny.run(SEARCHES["beam"](repetition_penalty=1.4), model, [source])
    scored = {tuple(one.tokens): one.log_probability for one in tiny.scored(model, source, tiny.all_targets)}
    assert [h.log_probability for h in found] == pytest.approx([scored[tuple(h.tokens)] for h in found], rel=1e-4)

    def penalised(target: list[int]) -> float:
        """The sum, a prefix at a time: the log-probability of a token is the difference of two."""
        batch = [torch.tensor([*target, 3])]
        lengths = torch.tensor([len(source)])
        state = model.begin(source[None], torch.ones(1, len(source), dtype=torch.bool), lengths)
        total, last = 0.0, 2
        for i, token in enumerate(batch[0].tolist()):
            logits, state = model.step(torch.tensor([[last]]), state)
            log_probability = float(logits[0, 0].log_softmax(-1)[token])
            total += log_probability * (1.4 if token in target[:i] else 1.0)
            last = token
        return total

    checked = [*found[:5], *(h for h in found if repeats(h.tokens, 1))][:12]
    assert [h.score for h in checked] == pytest.approx([penalised(h.tokens) for h in checked], rel=1e-4)
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)


@pytest.mark.parametrize("search", SEARCHES)
def test_prefix_stands_above_penalties(tiny: Any, search: str) -> None:
    made = SEARCHES[search](no_repeat_ngram=1, repetition_penalty=1.3, max_length=8)
    request = Request(0, Prefix([7, 7, 7], "", tiny.vocabulary))
    (found,) = tiny.run(made, tiny.model("transformer"), tiny.sources(1), [request])
    assert found and all(h.tokens[:3] == [7, 7, 7] and 7 not in h.tokens[3:] for h in found)


@pytest.mark.parametrize("search", SEARCHES)
def test_dead_end_is_no_translation_and_is_said(tiny: Any, search: str) -> None:
    """After `a`, which is forbidden, only a piece without a space may come, and all of these have come before."""
    made = SEARCHES[search](no_repeat_ngram=1, max_length=12)
    prefix = Prefix([C, B, BA, UNK, A], "", tiny.vocabulary)
    constraints = Constraints([], ["a"], tiny.vocabulary)
    stuck, free = Request(0, prefix, constraints, where="file:3"), Request(1, None, constraints)
    model, sources = tiny.model("transformer"), tiny.sources(2)
    nothing, others = tiny.run(made, model, sources, [stuck, free])
    assert nothing == []
    assert others == tiny.run(made, model, sources[1:], [free])[0]
    assert all(math.isfinite(h.score) and not says(tiny.vocabulary.spell(h.tokens), "a", ended=True) for h in others)
    batch = collate([(source[:-1].tolist(), [], i) for i, source in enumerate(sources)])
    with pytest.raises(UserError, match="file:3: no translation was found that keeps to what is asked; ask for"):
        search_batch(made, model, batch, requests=[stuck, free])
    repeating, same = search_batch(made, model, batch, requests=[stuck, free], lenient=True)
    assert same == others
    assert repeating and all(
        h.tokens[:5] == [C, B, BA, UNK, A] and not says(tiny.vocabulary.spell(h.tokens), "a", ended=True)
        for h in repeating
    )
    short = SEARCHES[search](no_repeat_ngram=1, max_length=6)  # the end comes right after `a`
    assert search_batch(short, model, batch, requests=[stuck, free], lenient=True)[0] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [({"no_repeat_ngram": -1}, "search.no_repeat_ngram=-1"), ({"repetition_penalty": 0.0}, "repetition_penalty=0.0")],
)
@pytest.mark.parametrize("search", SEARCHES)
def test_penalty_out_of_range_is_refused(search: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SEARCHES[search](**options)
