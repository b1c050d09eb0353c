"""The coverage penalty beside its formula, and searches of several models as one."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seq2seq.attention import record_attention
from seq2seq.data.batching import collate
from seq2seq.decoding.constraints import Constraints
from seq2seq.decoding.prefix import Prefix
from seq2seq.decoding.search import (
    BeamSearch,
    DiverseBeamSearch,
    GreedySearch,
    Request,
    SampleSearch,
    wu_penalty,
)
from seq2seq.errors import UserError
from seq2seq.models import DecoderState
from seq2seq.models.encoder_decoder import cross_attentions

LIMITS: dict[str, Any] = {"max_length": 4, "max_ratio": 99.0}


def beam(**options: Any) -> BeamSearch:
    return BeamSearch(**({"beam_size": 400, "n_best": 400, "length_penalty": wu_penalty(1.0), **LIMITS} | options))


@torch.no_grad()
def attention(model: Any, source: Tensor, target: list[int]) -> Tensor:
    """The mean over heads and layers of a teacher-forced pass, (target and end, source)."""
    batch = collate([(source[:-1].tolist(), target, 0)])
    names = cross_attentions(model)
    with record_attention(model, names=names) as record:
        model(batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices)
    return torch.stack([record[name][0].mean(0) for name in names]).mean(0)


def test_wide_beam_ranks_by_log_probability_and_coverage(tiny: Any, kind: str) -> None:
    model, sources = tiny.model(kind), tiny.sources(2)
    if kind == "bottleneck":
        with pytest.raises(UserError, match=r"search\.coverage_penalty is about attention, which this model has none"):
            tiny.run(beam(coverage_penalty=0.4), model, sources)
        return
    for source, found in zip(sources, tiny.run(beam(coverage_penalty=0.4), model, sources), strict=True):
        scored = {tuple(one.tokens): one.log_probability for one in tiny.scored(model, source, tiny.all_targets)}
        expected = {
            tokens: total / ((6 + len(tokens)) / 6)
            + 0.4 * float(attention(model, source, list(tokens)).sum(0).clamp(1e-3, 1.0).log().sum())
            for tokens, total in scored.items()
        }
        assert [h.score for h in found] == pytest.approx([expected[tuple(h.tokens)] for h in found], rel=1e-4)
        assert [tuple(h.tokens) for h in found] == sorted(expected, key=lambda tokens: -expected[tokens])


def test_watching_leaves_the_model_as_it_was(tiny: Any) -> None:
    model, sources = tiny.model("transformer"), tiny.sources(4)
    before = tiny.run(beam(beam_size=3, n_best=3), model, sources)
    covered = tiny.run(beam(beam_size=3, n_best=3, coverage_penalty=0.3, max_length=9), model, sources)
    for source, found in zip(sources, covered, strict=True):
        (alone,) = tiny.run(beam(beam_size=3, n_best=3, coverage_penalty=0.3, max_length=9), model, [source])
        assert [h.tokens for h in alone] == [h.tokens for h in found]
    assert not any(module._forward_hooks for module in model.modules())
    assert tiny.run(beam(beam_size=3, n_best=3), model, sources) == before


class Pair(nn.Module):
    """Two models that search as one: a state of another class than a model's."""

    def __init__(self, *models: Any) -> None:
        super().__init__()
        self.models = models

    def begin(self, *source: Tensor) -> "PairState":
        return PairState([model.begin(*source) for model in self.models])

    def step(self, tokens: Tensor, state: "PairState") -> tuple[Tensor, "PairState"]:
        steps = [model.step(tokens, one) for model, one in zip(self.models, state.states, strict=True)]
        return torch.stack([x.log_softmax(-1) for x, _ in steps]).mean(0), PairState([after for _, after in steps])


class PairState:
    def __init__(self, states: list[DecoderState]) -> None:
        self.states = states

    def reorder(self, parents: Tensor) -> "PairState":
        return PairState([state.reorder(parents) for state in self.states])

    def select(self, sentences: Tensor) -> "PairState":
        return PairState([state.select(sentences) for state in self.states])


def test_every_search_takes_several_models_as_one(tiny: Any) -> None:
    sources = tiny.sources(4)
    options: dict[str, Any] = {"n_best": 3, "max_length": 9, "max_ratio": 99.0}
    narrow = {"beam_size": 4, "length_penalty": wu_penalty(1.0), **options}
    searches = [
        GreedySearch(max_length=9, max_ratio=99.0, no_repeat_ngram=2),
        BeamSearch(**narrow, repetition_penalty=1.2),
        BeamSearch(**narrow, coverage_penalty=0.3),
        DiverseBeamSearch(**narrow, groups=2, diversity=0.5),
        SampleSearch(**options, temperature=1.0, top_k=0, top_p=0.9, min_p=0.0, epsilon=0.0, seed=1),
    ]
    asked = [Prefix([4], "▁a", tiny.vocabulary), None, None, Prefix([], "▁c", tiny.vocabulary)]
    for kind in ("luong-feeding", "linear"):
        model = tiny.model(kind)
        for search in searches:
            forbidden = Constraints([[(7, 5)]] if isinstance(search, BeamSearch) else (), ["ab"], tiny.vocabulary)
            requests = [Request(i, prefix, forbidden if i else None) for i, prefix in enumerate(asked)]
            alone, together = (tiny.run(search, m, sources, requests) for m in (model, Pair(model, model)))
            assert [[h.tokens for h in found] for found in alone] == [[h.tokens for h in found] for found in together]
        other = tiny.model("bahdanau")
        assert all(tiny.run(searches[2], Pair(model, other), sources))
