"""Sampling: the next token is drawn by its probability, from all tokens or from the likely ones.

With p the probabilities after the temperature, p ∝ p_model ** (1 / temperature), a token stays where it passes all:

    top_k     it is one of the k likeliest (Fan et al. 2018, 5.1)
    top_p     those likelier than it have together less than top_p (nucleus sampling, Holtzman et al. 2020, 3.1)
    min_p     its p is at least min_p · the largest p (Nguyen et al. 2025, 3)
    epsilon   its p is at least epsilon (Hewitt et al. 2022, 4.1); 0.02 is good for minimum Bayes risk (Freitag et al.
              2023)

The likeliest token always stays. Each sentence has random numbers of its own, by seed and its line.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.decoding.interface import Hypothesis, Key
from seq2seq.decoding.stepwise import Growing, Step, StepwiseSearch, Task
from seq2seq.decoding.streams import Streams
from seq2seq.errors import UserError

LEAST, MOST = 1e-30, 1e30
"""Temperatures that a number of 32 bits can be divided by: from the likeliest alone to all tokens alike."""


@dataclass(kw_only=True, eq=False)
class SampleSearch(StepwiseSearch):
    """Translations drawn at random, the likeliest first.

    It returns n_best draws, fewer where a key is given and some are equal. A score is the model's own log-probability,
    whatever the temperature.

    Args:
        n_best: how many are drawn for each sentence; equal ones count as one where a key is given.
        temperature: below 1 likely tokens become likelier, above 1 all more alike.
        top_k: how many of the likeliest tokens are drawn from; 0: all.
        top_p: what share of the probability the likeliest tokens must have that are drawn from; 1: all.
        min_p: least probability of a token beside the likeliest one's; 0: any.
        epsilon: least probability of a token; 0: any.
        seed: of the random numbers.

    And those of `StepwiseSearch`.
    """

    n_best: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    epsilon: float
    seed: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_best < 1:
            raise UserError(f"search.n_best={self.n_best} must be above 0")
        if self.temperature <= 0:
            raise UserError(f"search.temperature={self.temperature} must be above 0; search=greedy takes the likeliest")
        if not LEAST <= self.temperature <= MOST:
            raise UserError(f"search.temperature={self.temperature} must be from {LEAST:g} to {MOST:g}, such as 0.7")
        if self.top_k < 0:
            raise UserError(f"search.top_k={self.top_k} must be 0 (all) or how many tokens, such as 50")
        if not 0 < self.top_p <= 1:
            raise UserError(f"search.top_p={self.top_p} must be above 0 and at most 1, which is all")
        for name, share in (("min_p", self.min_p), ("epsilon", self.epsilon)):
            if not 0 <= share < 1:
                raise UserError(f"search.{name}={share} must be from 0 (any) to below 1")

    @property
    def hypotheses(self) -> int:
        """As many as are drawn."""
        return self.n_best

    @property
    def cuts(self) -> bool:
        """Whether some tokens may not be drawn."""
        return bool(self.top_k) or self.top_p < 1 or self.min_p > 0 or self.epsilon > 0

    def begin(self, task: Task) -> "Samples":
        """Return n_best hypotheses a sentence."""
        return Samples(self, task)

    def draw(self, log_probabilities: Tensor, numbers: Tensor) -> Tensor:
        """Return tokens (live, sample) that numbers, as many, draw by log-probabilities (live, 1 or sample, vocab).

        A token has a stretch of the numbers from 0 to 1, as long as its probability; stretches stand in the order of
        the vocabulary, so that rounding moves their ends and never changes places.
        """
        p = ((log_probabilities - log_probabilities.amax(-1, keepdim=True)) / self.temperature).softmax(-1)
        p = p.nan_to_num()
        kept = p.masked_fill(~self.stays(p), 0.0) if self.cuts else p
        kept = kept.to(numbers.device, numbers.dtype)
        ends = kept.cumsum(-1).expand(-1, numbers.shape[1], -1)
        drawn = torch.searchsorted(ends.contiguous(), (numbers * ends[..., -1])[..., None], right=True)
        return drawn.squeeze(-1).clamp(max=p.shape[-1] - 1).to(p.device)  # beyond it where nothing may be said

    def stays(self, p: Tensor) -> Tensor:
        """Return which tokens may be drawn, by their probabilities (..., vocab)."""
        largest = p.amax(-1, keepdim=True)
        stays = (p > 0) & (p >= self.epsilon) & (p >= self.min_p * largest)
        if self.top_k and self.top_k < p.shape[-1]:
            stays &= p >= p.topk(self.top_k, dim=-1).values[..., -1:]
        if self.top_p < 1:
            ordered = _largest_first(p)
            likelier = ordered.cumsum(-1) - ordered
            last = (likelier < self.top_p).sum(-1, keepdim=True) - 1
            stays &= p >= ordered.gather(-1, last.clamp(min=0))  # below it where top_p is 0 among such numbers
        return stays | (p == largest)


def _largest_first(p: Tensor) -> Tensor:
    """Return p with the largest of the last dimension first."""
    if p.device.type != "cpu":
        return p.sort(dim=-1, descending=True).values
    return torch.from_numpy(np.sort(p.numpy(), axis=-1)).flip(-1)  # takes a quarter of the time of PyTorch's


class Samples(Growing):
    """Some hypotheses a sentence, each of which goes on with a token drawn at random."""

    def __init__(self, search: SampleSearch, task: Task) -> None:
        batch, device = len(task.source), task.source.device
        numbers = range(batch) if task.requests is None else [request.number for request in task.requests]
        self._search = search
        self._key = task.key
        self._streams = Streams(search.seed, list(numbers), search.n_best)
        self._tokens = torch.full((batch, search.n_best, task.longest), PAD, device=device)  # of all sentences
        self._totals = torch.zeros(batch, search.n_best, dtype=torch.float32, device=device)
        self._ended = torch.zeros(batch, search.n_best, dtype=torch.bool, device=device)
        self._length = 0
        self.last = torch.full((batch, 1), BOS, device=device)  # at first all samples are one

    def tokens(self, sentences: Tensor) -> Tensor:
        """Return what each hypothesis says so far, (live, sample, so far); at first all are one."""
        return self._tokens[sentences, : self.last.shape[1], : self._length]

    def grow(self, step: Step) -> tuple[Tensor | None, Tensor]:
        """Add a token to each hypothesis; a sentence is finished when all its hypotheses have ended."""
        sentences, device = step.sentences, self.last.device
        numbers = torch.from_numpy(self._streams.at(self._length)).to(device if device.type != "mps" else "cpu")
        drawn = self._search.draw(step.ruled, numbers[sentences.to(numbers.device)])
        before = self._ended[sentences]
        allowed, likely = (
            x.expand(-1, self._search.n_best, -1).gather(-1, drawn[..., None]).squeeze(-1)
            for x in (step.ruled, step.log_probabilities)
        )
        likely = likely.masked_fill(allowed == -torch.inf, -torch.inf)
        self._totals[sentences] += likely.masked_fill(before, 0.0)
        self.last = drawn.masked_fill(before, PAD)
        self._tokens[sentences, :, self._length] = self.last
        ended = before | (self.last == EOS)
        self._ended[sentences] = ended
        self._length += 1
        return torch.zeros_like(self.last) if self._length == 1 else None, ended.all(-1)

    def select(self, live: Tensor) -> None:
        """Keep some rows only."""
        self.last = self.last[live]

    def found(self) -> list[list[Hypothesis]]:
        """Return the hypotheses of each sentence, the likeliest first."""
        rows = zip(self._tokens.tolist(), self._totals.tolist(), strict=True)
        return [_likeliest_first(*row, key=self._key) for row in rows]


def _likeliest_first(tokens: list[list[int]], totals: list[float], *, key: Key | None) -> list[Hypothesis]:
    possible = ((ids, total) for ids, total in zip(tokens, totals, strict=True) if total > -math.inf)
    drawn = [Hypothesis(ids[: ids.index(EOS)], total, total) for ids, total in possible]
    drawn.sort(key=lambda hypothesis: -hypothesis.score)
    if key is None:
        return drawn
    found: dict[Hashable, Hypothesis] = {}
    for hypothesis in drawn:
        found.setdefault(key(hypothesis.tokens), hypothesis)
    return list(found.values())
