"""The loop that all searches share: one step of the model after another, within limits and rules.

A search says only how its hypotheses begin, and how they grow by a step; see `Growing`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from seq2seq.decoding.interface import (
    Hypothesis,
    Key,
    Request,
    Searchable,
    check_limits,
    length_limits,
    next_log_probabilities,
)
from seq2seq.decoding.rules import Rule, Rules, Said, penalty_rules

MOST_HYPOTHESES = 768
"""Hypotheses that a CPU follows side by side: what may come next after more of them does not fit its cache."""


class Task(NamedTuple):
    """What a search is asked, of a batch of sentences."""

    source: Tensor  # ids (batch, source), right-padded
    longest: int  # most tokens of any translation, EOS counted
    requests: Sequence[Request] | None  # one for each source
    key: Key | None  # what must not be the same of two hypotheses
    weighed: bool  # whether rules change probabilities, so that what ranks is not the model's


class Step(NamedTuple):
    """What the model says of the next token, at one step."""

    log_probabilities: Tensor  # of the model (live, beam, vocab)
    ruled: Tensor  # the same after the rules; -inf: not allowed
    sentences: Tensor  # which sentence of the batch each row is (live,)
    room: Tensor  # how many tokens may still come, this one and EOS counted (live,)
    state: Any  # of the model, after the step


class Growing(ABC):
    """The hypotheses of a batch while they grow. Sentences that are finished are left out: a row is a live sentence."""

    last: Tensor
    """The token to go on from, of each hypothesis, (live, beam)."""

    @abstractmethod
    def tokens(self, sentences: Tensor) -> Tensor:
        """Return what each hypothesis says so far, (live, beam, so far), without BOS."""

    @abstractmethod
    def grow(self, step: Step) -> tuple[Tensor | None, Tensor]:
        """Add a token to each hypothesis.

        Returns:
            Which hypothesis each one continues (live, beam), None where each continues itself; and which sentences are
            finished (live,).
        """

    @abstractmethod
    def select(self, live: Tensor) -> None:
        """Keep some rows only; live (n,) are their numbers."""

    @abstractmethod
    def found(self) -> list[list[Hypothesis]]:
        """Return the hypotheses of each sentence, best first."""


@dataclass(kw_only=True, eq=False)
class StepwiseSearch(ABC):
    """A search by `model.begin` and `model.step` alone. Its settings are checked when it is made.

    Args:
        max_length: most tokens of a translation, EOS counted.
        max_ratio: most target tokens a source token, beside a constant allowance of 10.
        no_repeat_ngram: so many pieces never come twice in a translation; 0: off.
        repetition_penalty: power of the probability of pieces that came before; 1: none.
    """

    max_length: int
    max_ratio: float
    no_repeat_ngram: int = 0
    repetition_penalty: float = 1.0
    rules: tuple[Rule, ...] = field(init=False, repr=False)

    requires: ClassVar[bool] = False
    """Whether it can be told what a translation must say."""

    most_live: ClassVar[float] = 0.9
    """What share of the rows may be live at most for the others to be left out, which copies the memory of the live."""

    def __post_init__(self) -> None:
        check_limits(self.max_length, self.max_ratio)
        self.rules = penalty_rules(no_repeat_ngram=self.no_repeat_ngram, repetition_penalty=self.repetition_penalty)

    @property
    def hypotheses(self) -> int:
        """How many hypotheses of a sentence are followed at once."""
        return 1

    @abstractmethod
    def begin(self, task: Task) -> Growing:
        """Return the hypotheses before their first token."""

    def allowing_repeats(self) -> Self | None:
        """Return the search without `no_repeat_ngram`, as `Search`."""
        return replace(self, no_repeat_ngram=0) if self.no_repeat_ngram else None

    def searched(self, model: Searchable) -> Searchable:
        """Return what is asked in place of the model: the model itself, or one that tells more."""
        return model

    def __call__(
        self,
        model: Searchable,
        source: Tensor,
        source_mask: Tensor,
        source_lengths: Tensor,
        *,
        key: Key | None = None,
        requests: Sequence[Request] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return hypotheses for each source, best first; arguments as `Search`."""
        on_cpu = source.device.type == "cpu"
        most = max(1, MOST_HYPOTHESES // self.hypotheses)
        # A step is so short on a CPU that what is noted of tensors which may need a gradient one day can be felt.
        with torch.inference_mode() if on_cpu else torch.no_grad():
            if not on_cpu or len(source) <= most:
                return self._search(model, source, source_mask, source_lengths, key, requests)
            requests = [Request(i) for i in range(len(source))] if requests is None else requests
            found: list[list[Hypothesis]] = []
            for part in torch.arange(len(source)).chunk(math.ceil(len(source) / most)):
                longest, asked = int(source_lengths[part].max()), [requests[i] for i in part.tolist()]
                some = source[part, :longest], source_mask[part, :longest], source_lengths[part]
                found += self._search(model, *some, key, asked)
            return found

    def _search(
        self,
        model: Searchable,
        source: Tensor,
        source_mask: Tensor,
        source_lengths: Tensor,
        key: Key | None,
        requests: Sequence[Request] | None,
    ) -> list[list[Hypothesis]]:
        limits = length_limits(source_lengths, self.max_length, self.max_ratio, requests)
        shortest, longest = (int(limit) for limit in limits.aminmax())
        rules = Rules(self.rules, requests)
        model = self.searched(model)
        growing = self.begin(Task(source, longest, requests, key, rules.weigh))
        state = model.begin(source, source_mask, source_lengths)
        sentences = torch.arange(len(source), device=source.device)  # which sentence each live row is
        for t in range(longest):
            logits, state = model.step(growing.last, state)
            room = limits[sentences] - t
            at_limit = room == 1 if t + 1 >= shortest else None
            log_probabilities = next_log_probabilities(logits, must_end=at_limit)
            ruled = log_probabilities
            if rules.any:
                ruled = rules(log_probabilities, Said(growing.tokens(sentences), sentences, room))
            parents, finished = growing.grow(Step(log_probabilities, ruled, sentences, room, state))
            state = state if parents is None else state.reorder(parents)
            live = (~(finished if at_limit is None else finished | at_limit)).nonzero().squeeze(1)
            if not len(live):
                break
            if len(live) < len(sentences) and len(live) <= self.most_live * len(sentences):
                sentences, state = sentences[live], state.select(live)
                growing.select(live)
        return growing.found()
