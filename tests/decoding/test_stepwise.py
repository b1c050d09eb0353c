"""A search of one's own: what it need not say itself, since all searches share it."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from seq2seq.data.tokenizer import BOS, EOS
from seq2seq.decoding import stepwise
from seq2seq.decoding.interface import Hypothesis, Request
from seq2seq.decoding.prefix import Prefix
from seq2seq.decoding.search import BeamSearch, DiverseBeamSearch, GreedySearch, SampleSearch, wu_penalty
from seq2seq.decoding.stepwise import Growing, Step, StepwiseSearch, Task
from seq2seq.errors import UserError


@dataclass(kw_only=True, eq=False)
class RunnerUp(StepwiseSearch):
    """The second likeliest next token, again and again, where there is one."""

    def begin(self, task: Task) -> "Runner":
        return Runner(task.source)


class Runner(Growing):
    """One hypothesis a sentence; what is finished goes on until it is left out, and counts up to its EOS."""

    def __init__(self, source: Tensor) -> None:
        self.said: list[list[int]] = [[] for _ in source]
        self.last = torch.full((len(source), 1), BOS)

    def tokens(self, sentences: Tensor) -> Tensor:
        return torch.tensor([self.said[i] for i in sentences.tolist()], dtype=torch.int64)[:, None]

    def grow(self, step: Step) -> tuple[None, Tensor]:
        best, tokens = step.ruled.squeeze(1).topk(2)
        self.last = torch.where(best[:, 1:] > -torch.inf, tokens[:, 1:], tokens[:, :1])
        for i, token in zip(step.sentences.tolist(), self.last.squeeze(1).tolist(), strict=True):
            self.said[i].append(token)
        return None, torch.tensor([EOS in self.said[i] for i in step.sentences.tolist()])

    def select(self, live: Tensor) -> None:
        self.last = self.last[live]

    def found(self) -> list[list[Hypothesis]]:
        return [[Hypothesis(ids[: ids.index(EOS)], 0.0, 0.0)] for ids in self.said]


def test_search_of_ones_own_has_limits_rules_and_prefixes(tiny: Any, kind: str) -> None:
    model, sources = tiny.model(kind, sharpness=0.5), tiny.sources(9)
    limits: dict[str, Any] = {"max_length": 6, "max_ratio": 99.0}
    requests = [Request(prefix=Prefix([5, 6], "", tiny.vocabulary) if i % 2 else None) for i in range(9)]
    said = [found[0].tokens for found in tiny.run(RunnerUp(**limits, no_repeat_ngram=1), model, sources, requests)]
    assert all(len(tokens) < 6 and len(set(tokens)) == len(tokens) for tokens in said)
    assert all(tokens[:2] == [5, 6] for tokens in said[1::2])
    alone = [tiny.run(RunnerUp(**limits), model, [source])[0] for source in sources]
    assert alone == tiny.run(RunnerUp(**limits), model, sources)


SAMPLE: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "epsilon": 0.0, "seed": 1}


@pytest.mark.parametrize(("given", "says"), [
    ({"max_length": 0}, "search.max_length=0 and"),
    ({"max_ratio": 0.0}, "and search.max_ratio=0.0 must"),
    ({"no_repeat_ngram": -1}, "search.no_repeat_ngram=-1 must"),
    ({"repetition_penalty": 0.0}, "search.repetition_penalty=0.0 must"),
])  # fmt: skip
def test_every_search_checks_the_settings_that_all_have(given: dict[str, Any], says: str) -> None:
    options: dict[str, Any] = {"max_length": 5, "max_ratio": 1.0} | given
    beam: dict[str, Any] = {"beam_size": 2, "n_best": 1, "length_penalty": wu_penalty(1.0)}
    for search, own in (
        (GreedySearch, {}), (BeamSearch, beam), (DiverseBeamSearch, beam | {"groups": 2, "diversity": 0.5}),
        (SampleSearch, {"n_best": 1, **SAMPLE}),
    ):  # fmt: skip
        with pytest.raises(UserError, match=says):
            search(**own, **options)


class Watched:
    """A model that notes how many sentences it is to begin."""

    def __init__(self, model: Any) -> None:
        self.step = model.step
        self.model = model
        self.batches: list[int] = []

    def begin(self, source: Tensor, *rest: Tensor) -> Any:
        self.batches.append(len(source))
        return self.model.begin(source, *rest)


def test_a_cpu_takes_many_hypotheses_in_parts_and_finds_the_same(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, sources = tiny.model("transformer", sharpness=0.5), tiny.sources(9)
    options: dict[str, Any] = {"max_length": 6, "max_ratio": 99.0}
    beam: dict[str, Any] = {"beam_size": 2, "n_best": 2, "length_penalty": wu_penalty(1.0)}
    requests = [Request(i, prefix=Prefix([5, 6], "", tiny.vocabulary) if i % 2 else None) for i in range(9)]
    for search in (GreedySearch(**options), BeamSearch(**beam, **options), SampleSearch(n_best=3, **SAMPLE, **options)):
        whole = [tiny.run(search, model, sources), tiny.run(search, model, sources, requests)]
        watched = Watched(model)
        with monkeypatch.context() as few:
            few.setattr(stepwise, "MOST_HYPOTHESES", 4)
            parts = [tiny.run(search, watched, sources), tiny.run(search, watched, sources, requests)]
        assert sum(watched.batches) == 18 and max(watched.batches) <= 4 // search.hypotheses
        for found, expected in zip(parts, whole, strict=True):
            assert [[h.tokens for h in each] for each in found] == [[h.tokens for h in each] for each in expected]
