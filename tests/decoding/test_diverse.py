"""Diverse beam search beside its definition, and n-best lists of every search."""

from typing import Any

import pytest
import torch
from torch import Tensor

from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.decoding.search import BeamSearch, DiverseBeamSearch, SampleSearch, wu_penalty
from seq2seq.errors import UserError

LIMITS: dict[str, Any] = {"max_length": 5, "max_ratio": 99.0}


def diverse(beam_size: int, groups: int, diversity: float, *, n_best: int | None = None) -> DiverseBeamSearch:
    return DiverseBeamSearch(
        beam_size=beam_size, groups=groups, diversity=diversity, n_best=n_best or beam_size,
        length_penalty=wu_penalty(1.0), **LIMITS,
    )  # fmt: skip


@torch.no_grad()
def by_definition(model: Any, source: Tensor, *, groups: int, k: int, diversity: float) -> list[list[list[int]]]:
    """The ended hypotheses of each group, best first, one hypothesis at a time."""

    def following(tokens: list[int]) -> list[float]:
        state = model.begin(source[None], torch.ones(1, len(source), dtype=torch.bool), torch.tensor([len(source)]))
        for token in [BOS, *tokens]:
            logits, state = model.step(torch.tensor([[token]]), state)
        return logits[0, 0].float().log_softmax(-1).tolist()

    beams: list[list[tuple[float, list[int]]]] = [[(0.0, [])] for _ in range(groups)]
    ended: list[list[tuple[float, list[int]]]] = [[] for _ in range(groups)]
    for t in range(LIMITS["max_length"]):
        used: list[int] = []
        for g in range(groups):
            candidates = []
            for total, tokens in beams[g]:
                for token, log_probability in enumerate(following(tokens)):
                    may_come = token == EOS if t + 1 == LIMITS["max_length"] else token not in (PAD, BOS)
                    if may_come:
                        score = total + log_probability - diversity * used.count(token)
                        candidates.append((score, [*tokens, token]))
            candidates.sort(key=lambda candidate: -candidate[0])
            ends = [c for c in candidates[:k] if c[1][-1] == EOS]
            if len(ended[g]) < k:
                ended[g] += [(score / ((5 + t + 1) / 6), tokens[:-1]) for score, tokens in ends]
            beams[g] = [c for c in candidates[: 2 * k] if c[1][-1] != EOS][:k]
            used += [tokens[-1] for _, tokens in beams[g]]
        if all(len(found) >= k for found in ended):
            break
    return [[tokens for _, tokens in sorted(found, key=lambda one: -one[0])] for found in ended]


@pytest.mark.parametrize(("groups", "k", "diversity"), [(2, 2, 0.8), (3, 1, 0.4), (3, 2, 5.0)])
def test_groups_are_those_of_the_definition(tiny: Any, kind: str, groups: int, k: int, diversity: float) -> None:
    model, sources = tiny.model(kind, sharpness=1.0), tiny.sources(2)
    found = tiny.run(diverse(groups * k, groups, diversity, n_best=groups), model, sources)
    for source, hypotheses in zip(sources, found, strict=True):
        expected = by_definition(model, source, groups=groups, k=k, diversity=diversity)
        best = {tuple(group[0]) for group in expected}
        assert best <= {tuple(h.tokens) for h in hypotheses}
        if len(best) == groups:  # no group has said what another has
            assert best == {tuple(h.tokens) for h in hypotheses}
        scored = tiny.scored(model, source, [h.tokens for h in hypotheses])
        divided = [one.log_probability / ((6 + len(one.tokens)) / 6) for one in scored]
        assert [h.score for h in hypotheses] == pytest.approx(divided, rel=1e-4)
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)


def test_one_group_is_beam_search(tiny: Any, kind: str) -> None:
    model, sources = tiny.model(kind), tiny.sources(4)
    plain = BeamSearch(beam_size=3, n_best=3, length_penalty=wu_penalty(1.0), **LIMITS)
    for one, other in zip(tiny.run(diverse(3, 1, 0.7), model, sources), tiny.run(plain, model, sources), strict=True):
        assert [h.tokens for h in one] == [h.tokens for h in other]
        assert [h.score for h in one] == pytest.approx([h.score for h in other], rel=1e-4)


def test_more_diversity_gives_first_tokens_that_differ(tiny: Any, kind: str) -> None:
    model, sources = tiny.model(kind, seed=2), tiny.sources(5)
    firsts = [
        sum(len({tuple(h.tokens[:1]) for h in found}) for found in tiny.run(diverse(3, 3, d), model, sources))
        for d in (0.0, 50.0)
    ]
    assert firsts[0] < firsts[1] and firsts[1] >= 5 * 2


def test_sentence_alone_gives_what_it_gives_beside_others(tiny: Any, kind: str) -> None:
    model, sources, search = tiny.model(kind), tiny.sources(5), diverse(4, 2, 0.5)
    for source, found in zip(sources, tiny.run(search, model, sources), strict=True):
        (alone,) = tiny.run(search, model, [source])
        assert [h.tokens for h in alone] == [h.tokens for h in found]


@pytest.mark.parametrize(
    "search",
    [
        diverse(6, 3, 0.2),
        BeamSearch(beam_size=6, n_best=6, length_penalty=wu_penalty(1.0), **LIMITS),
        SampleSearch(n_best=20, temperature=1.5, top_k=0, top_p=1.0, min_p=0.0, epsilon=0.0, seed=1, **LIMITS),
    ],
    ids=["diverse", "beam", "sample"],
)
def test_no_text_comes_twice_and_the_best_of_each_stays(tiny: Any, kind: str, search: Any) -> None:
    model, sources = tiny.model(kind, sharpness=1.0), tiny.sources(4)

    def text(ids: list[int]) -> int:
        """What many share, as a text that several pieces spell."""
        return len(ids) // 2

    several = 0
    whole = tiny.run(search, model, sources)
    for every, found in zip(whole, tiny.run(search, model, sources, key=text), strict=True):
        texts = [text(h.tokens) for h in found]
        assert len(set(texts)) == len(texts)
        several += len(every) > len({text(h.tokens) for h in every})
        for hypothesis in found:
            same = [h.score for h in every if text(h.tokens) == text(hypothesis.tokens)]
            assert hypothesis.score >= max(same, default=-99.0) - 1e-5
    assert several


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 5, "groups": 2}, "search.beam_size=5 must be above 0 and a multiple of search.groups=2"),
        ({"beam_size": 4, "groups": 2, "n_best": 5}, "search.n_best=5 must be from 1 to search.beam_size=4"),
        ({"beam_size": 4, "groups": 2, "diversity": -1.0}, "search.diversity=-1.0"),
    ],
)
def test_key_out_of_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DiverseBeamSearch(**({"diversity": 0.5, "n_best": 1, "length_penalty": wu_penalty(1.0), **LIMITS} | options))
