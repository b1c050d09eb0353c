"""Other weights at a step: distances by hand, the steps beside a whole pass, and what each kind of change keeps to."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from seq2seq.attention import Uniform, record_attention
from seq2seq.attribution import Forced
from seq2seq.attribution.changes import (
    Step,
    adversarial,
    forced_steps,
    jensen_shannon,
    permuted,
    total_variation,
    uniform,
)
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder
from seq2seq.models.encoder_decoder import cross_attentions

ATTENDING = ["bahdanau", "luong", "transformer", "odd transformer", "mixed"]


@pytest.fixture(params=ATTENDING)
def attending(request: pytest.FixtureRequest, models: Callable[[str], EncoderDecoder]) -> EncoderDecoder:
    return models(request.param)


def steps_of(forced: Forced) -> list[Step]:
    return list(forced_steps(forced, cross_attentions(forced.model)))


def every_head(step: Step) -> dict[str, list[int]]:
    return {name: list(range(len(own))) for name, own in step.own.items()}


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(1)


def test_distances_have_the_values_of_the_paper() -> None:
    p, q = torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert total_variation(p, q).tolist() == [1.0, 0.5]
    half = 0.5 * (0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)) + 0.5 * math.log(1 / 0.75)
    assert_close(jensen_shannon(p, q), torch.tensor([math.log(2), half]))
    assert jensen_shannon(p, p).tolist() == [0.0, 0.0]


def test_steps_are_those_of_a_whole_pass(attending: EncoderDecoder, pair: Any) -> None:
    forced = pair(attending)
    steps = steps_of(forced)
    with torch.no_grad(), record_attention(attending) as record:
        whole = forced.log_softmax(forced.source, forced.prefix)[0].exp()
    assert_close(torch.stack([step.output for step in steps]), whole)
    for name in cross_attentions(attending):
        assert_close(torch.stack([step.own[name] for step in steps], dim=1), record[name][0])


def test_own_weights_change_nothing(attending: EncoderDecoder, pair: Any) -> None:
    for step in steps_of(pair(attending)):
        same = step.under({name: own[None].repeat(2, 1, 1) for name, own in step.own.items()})
        assert_close(same, step.output.expand(2, -1))


def test_uniform_weights_do_what_a_uniform_score_does(models: Any, pair: Any) -> None:
    forced = pair(models("luong"))
    evenly = copy.deepcopy(forced.model)
    evenly.decoder.attention.score = Uniform(16, 32)
    for step in steps_of(forced):
        logits, _ = evenly.step(step.token, step.state)
        found = uniform(step, every_head(step), forced.source_units)
        expected = total_variation(logits[0, 0].softmax(-1), step.output)
        assert found.moved.item() == pytest.approx(expected.item(), rel=1e-6) and expected > 1e-5
        words = torch.zeros(5).double().index_add(0, forced.source_units, torch.full((6,), 1 / 6).double())
        own = torch.zeros(5).double().index_add(0, forced.source_units, step.own["decoder.attention"][0])
        assert found.distance.item() == pytest.approx(jensen_shannon(words, own).item(), abs=1e-9)


def test_permutation_moves_what_a_row_sees_and_nothing_else(models: Any, pair: Any) -> None:
    forced = pair(models("odd transformer"))
    step = steps_of(forced)[1]
    name = cross_attentions(forced.model)[1]
    hidden = torch.tensor([False, True, False, False, True, False])
    own = step.own[name].masked_fill(hidden, 0)
    step = step._replace(own=step.own | {name: own}, seen=step.seen | {name: (~hidden).expand_as(own)})
    tried: list[torch.Tensor] = []

    class Watched(Step):
        def under(self, weights: Any) -> torch.Tensor:
            tried.append(weights[name])
            return Step.under(self, weights)

    permuted(Watched(*step), {name: [1]}, forced.source_units, generator=generator())
    (weights,) = tried
    assert weights.shape == (10, 2, 6) and not weights[..., hidden].any()
    assert_close(weights.sort(-1).values, own.sort(-1).values.expand(10, -1, -1))
    assert_close(weights[:, 0], own[0].expand(10, -1))  # head 0 was not to be changed
    assert len(weights[:, 1].unique(dim=0)) > 3


@pytest.mark.parametrize("kind", ["bahdanau", "odd transformer"])
def test_adversarial_weights_go_far_and_keep_to_epsilon(
    models: Any, pair: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.attribution.changes.ROUNDS", 30)
    forced = pair(models(kind))
    step = steps_of(forced)[2]
    heads = every_head(step)
    near, far = (adversarial(step, heads, forced.source_units, epsilon=e, generator=generator()) for e in (0.01, 0.9))
    assert near.moved.item() <= 0.01 and far.moved.item() <= 0.9
    assert 0 < near.distance.item() <= far.distance.item() + 0.02
    evenly = uniform(step, heads, forced.source_units)
    assert far.distance.item() > evenly.distance.item()


def test_where_attention_is_not_heard_it_may_be_anywhere(models: Any, pair: Any) -> None:
    deaf = copy.deepcopy(models("luong"))
    with torch.no_grad():
        deaf.decoder.combine.weight[:, :-16] = 0
    forced = pair(deaf)
    step = steps_of(forced)[0]
    found = adversarial(step, every_head(step), forced.source_units, epsilon=0.01, generator=generator())
    assert found.moved.item() < 1e-9 and found.same.all()
    own = torch.zeros(5).double().index_add(0, forced.source_units, step.own["decoder.attention"][0])
    furthest = max(jensen_shannon(torch.eye(5).double()[i], own).item() for i in range(5))
    assert found.distance.item() == pytest.approx(furthest, abs=0.02)


def test_a_head_that_sees_nothing_does_not_keep_others_where_they_are(models: Any, pair: Any) -> None:
    forced = pair(models("transformer"))
    step = steps_of(forced)[1]
    name = next(iter(step.own))
    for tensors in (step.own, step.seen):
        tensors[name] = tensors[name].clone()
        tensors[name][0] = 0
    with torch.no_grad():
        step = step._replace(output=step.under({name: own[None] for name, own in step.own.items()})[0])
    found = adversarial(step, every_head(step), forced.source_units, epsilon=0.5, generator=generator())
    assert found.distance > 0.1


def test_attention_that_the_model_has_not_is_named(models: Any, pair: Any) -> None:
    with pytest.raises(UserError, match=r"no attention decoder\.layers"):
        list(forced_steps(pair(models("luong")), ["decoder.layers.9"]))
