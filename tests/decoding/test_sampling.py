"""Samples: their frequencies beside exact probabilities, and whose random numbers they have."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from seq2seq.data.batching import collate
from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.decoding.search import GreedySearch, Request, SampleSearch
from seq2seq.decoding.streams import Streams
from seq2seq.errors import UserError

KEYS: dict[str, Any] = {
    "n_best": 1, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "epsilon": 0.0, "seed": 1,
    "max_length": 4, "max_ratio": 99.0,
}  # fmt: skip


def sample(**options: Any) -> SampleSearch:
    return SampleSearch(**(KEYS | options))


def truncated(p: list[float], *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0,
              epsilon: float = 0.0) -> list[float]:  # fmt: skip
    """The definition, a token at a time."""
    p = [x ** (1 / temperature) for x in p]
    p = [x / sum(p) for x in p]
    order = sorted(range(len(p)), key=lambda i: -p[i])
    kept = []
    for rank, i in enumerate(order):
        passes = (
            not top_k or rank < top_k,
            sum(p[j] for j in order[:rank]) < top_p,
            p[i] >= min_p * max(p),
            p[i] >= epsilon,
        )
        if rank == 0 or all(passes):
            kept.append(i)
    return [p[i] / sum(p[j] for j in kept) if i in kept else 0.0 for i in range(len(p))]


@torch.no_grad()
def distribution(tiny: Any, model: Any, source: Tensor, **options: Any) -> dict[tuple[int, ...], float]:
    """The probability of every translation of at most three pieces, where the fourth token must be the end."""
    whole = [target for target in tiny.all_targets if len(target) == tiny.longest]
    batch = collate([(source[:-1].tolist(), target, i) for i, target in enumerate(whole)])
    logits = model(batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices)
    p = logits.softmax(-1)
    p[:, [PAD, BOS]] = 0.0
    rows = {tuple(target): part.tolist() for target, part in zip(whole, p.split(tiny.longest + 1), strict=True)}
    found: dict[tuple[int, ...], float] = {}
    cut: dict[tuple[int, ...], list[float]] = {}
    for target, steps in rows.items():
        total = 1.0
        for n, step in enumerate([*steps[:-1], None]):
            if step is None:
                found[target] = total
                continue
            if target[:n] not in cut:
                cut[target[:n]] = truncated(step, **options)
            found[target[:n]] = total * cut[target[:n]][EOS]
            total *= cut[target[:n]][target[n]]
    return found


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 1.7}, {"top_k": 3}, {"top_p": 0.7, "temperature": 1.3}, {"min_p": 0.2}, {"epsilon": 0.1},
     {"top_k": 4, "top_p": 0.9, "min_p": 0.05, "epsilon": 0.03, "temperature": 0.8}],
)  # fmt: skip
def test_frequencies_are_the_probabilities(tiny: Any, options: dict[str, Any]) -> None:
    for kind in ("bahdanau", "linear"):
        model, (source,) = tiny.model(kind, sharpness=0.5), tiny.sources(1)
        n = 5000
        (drawn,) = tiny.run(sample(n_best=n, **options), model, [source])
        counts = Counter(tuple(h.tokens) for h in drawn)
        expected = distribution(tiny, model, source, **options)
        assert sum(expected.values()) == pytest.approx(1.0)
        assert all(expected[target] > 0 for target in counts)
        often = {target: n * p for target, p in expected.items() if n * p >= 5}
        rest = n - sum(often.values())
        squares = [(counts[target] - e) ** 2 / e for target, e in often.items()]
        if rest >= 5:
            squares.append((n - sum(counts[target] for target in often) - rest) ** 2 / rest)
        freedom = len(squares) - 1
        assert freedom > 5
        assert sum(squares) < freedom + 4 * math.sqrt(2 * freedom)  # beyond it once in ten thousand


def test_a_score_is_the_models_log_probability_and_the_likeliest_come_first(tiny: Any, kind: str) -> None:
    model, sources = tiny.model(kind), tiny.sources(3)
    for source, found in zip(sources, tiny.run(sample(n_best=9, temperature=2.0), model, sources), strict=True):
        scores = [one.log_probability for one in tiny.scored(model, source, [h.tokens for h in found])]
        assert [h.score for h in found] == pytest.approx(scores, rel=1e-4)
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
        assert all(h.score == h.log_probability for h in found)


def test_a_sentence_has_random_numbers_of_its_own(tiny: Any, kind: str) -> None:
    """Whatever stands beside it, in whatever order; others have others, and so has another seed."""
    model, sources = tiny.model(kind, sharpness=0.5), tiny.sources(6)
    requests = [Request(100 + i) for i in range(6)]
    search = sample(n_best=3, max_length=12)
    together = tiny.run(search, model, sources, requests)
    turned = tiny.run(search, model, sources[::-1], requests[::-1])[::-1]
    for i, found in enumerate(together):
        (alone,) = tiny.run(search, model, [sources[i]], [requests[i]])
        assert [h.tokens for h in alone] == [h.tokens for h in found] == [h.tokens for h in turned[i]]
    same = tiny.run(search, model, [sources[0]] * 4, requests[:4])
    assert len({str([h.tokens for h in found]) for found in same}) > 1
    other = tiny.run(sample(n_best=3, max_length=12, seed=2), model, sources, requests)
    assert [[h.tokens for h in found] for found in other] != [[h.tokens for h in found] for found in together]


def test_more_samples_hold_the_fewer(tiny: Any) -> None:
    model, sources = tiny.model("luong-feeding", sharpness=0.5), tiny.sources(2)
    for few, many in zip(*(tiny.run(sample(n_best=n), model, sources) for n in (3, 8)), strict=True):
        assert not Counter(tuple(h.tokens) for h in few) - Counter(tuple(h.tokens) for h in many)


@pytest.mark.parametrize(
    "options",
    [
        *({"temperature": temperature} for temperature in (1e-6, 1e-30)),
        *({"top_p": top_p} for top_p in (1e-9, 1e-300)),
        {"top_k": 1},
        {"min_p": 0.999999},
    ],
)
def test_the_likeliest_alone_is_greedy_search(tiny: Any, kind: str, options: dict[str, Any]) -> None:
    model, sources = tiny.model(kind), tiny.sources(4)
    greedy = tiny.run(GreedySearch(max_length=9, max_ratio=99.0), model, sources)
    drawn = tiny.run(sample(max_length=9, **options), model, sources)
    assert [found[0].tokens for found in drawn] == [found[0].tokens for found in greedy]


def test_random_numbers_are_even_and_unlike_their_neighbours() -> None:
    streams = Streams(7, list(range(200)), 5)
    numbers = np.stack([streams.at(step) for step in range(20)])
    assert numbers.shape == (20, 200, 5) and numbers.min() >= 0 and numbers.max() < 1
    counts = np.histogram(numbers, bins=16, range=(0, 1))[0]
    expected = numbers.size / 16
    assert ((counts - expected) ** 2 / expected).sum() < 15 + 4 * math.sqrt(30)
    for axis in range(3):
        turned = np.moveaxis(numbers, axis, 0)
        ahead, behind = turned[1:].ravel(), turned[:-1].ravel()
        assert abs(np.corrcoef(ahead, behind)[0, 1]) < 4 / math.sqrt(len(ahead))
    assert (Streams(7, [3], 2).at(4) == numbers[4, 3, :2]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "search.temperature=0.0 must be above 0; search=greedy"),
        ({"temperature": 1e-50}, "search.temperature=1e-50 must be from 1e-30"),
        ({"temperature": 1e39}, "search.temperature=1e[+]39 must be from 1e-30"),
        ({"temperature": math.nan}, "search.temperature=nan must be from 1e-30"),
        ({"top_k": -1}, "search.top_k=-1"),
        ({"top_p": 0.0}, "search.top_p=0.0"),
        ({"top_p": 1.1}, "search.top_p=1.1"),
        ({"min_p": 1.0}, "search.min_p=1.0"),
        ({"epsilon": -0.1}, "search.epsilon=-0.1"),
        ({"n_best": 0}, "search.n_best=0"),
    ],
)
def test_key_out_of_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        sample(**options)
