"""Greedy search: the most probable next token, again and again."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.decoding.continuations import best_continuations
from seq2seq.decoding.interface import Hypothesis
from seq2seq.decoding.stepwise import Growing, Step, StepwiseSearch, Task


@dataclass(kw_only=True, eq=False)
class GreedySearch(StepwiseSearch):
    """The most probable next token, again and again: one hypothesis a sentence; none where nothing may be said.

    Settings as `StepwiseSearch`.
    """

    most_live = 1.0  # at once: what has ended must not go on

    def begin(self, task: Task) -> "Likeliest":
        """Return one hypothesis a sentence."""
        return Likeliest(task)


class Likeliest(Growing):
    """One hypothesis a sentence, which goes on with the likeliest token."""

    def __init__(self, task: Task) -> None:
        batch, device = len(task.source), task.source.device
        self._tokens = torch.full((batch, task.longest), PAD, device=device)  # of all sentences
        self._scores = torch.zeros(batch, dtype=torch.float32, device=device)
        self._totals = self._scores.clone() if task.weighed else self._scores  # of the model alone
        self._length = 0
        self.last = torch.full((batch, 1), BOS, device=device)

    def tokens(self, sentences: Tensor) -> Tensor:
        """Return what each hypothesis says so far, (live, 1, so far)."""
        return self._tokens[sentences, None, : self._length]

    def grow(self, step: Step) -> tuple[None, Tensor]:
        """Add the likeliest token to each hypothesis; a sentence is finished with its EOS."""
        sentences = step.sentences
        nothing = step.ruled.new_zeros(len(sentences), 1)
        best, _, self.last = best_continuations(nothing, step.ruled, 1)
        token = self.last.squeeze(1)
        self._tokens[sentences, self._length] = token
        self._scores[sentences] += best.squeeze(1)
        if self._totals is not self._scores:
            self._totals[sentences] += step.log_probabilities.squeeze(1).gather(1, self.last).squeeze(1)
        self._length += 1
        return None, token == EOS

    def select(self, live: Tensor) -> None:
        """Keep some rows only."""
        self.last = self.last[live]

    def found(self) -> list[list[Hypothesis]]:
        """Return one hypothesis a sentence, as a list of one; none where nothing may be said."""
        rows = zip(self._tokens.tolist(), self._scores.tolist(), self._totals.tolist(), strict=True)
        return [
            [Hypothesis(ids[: ids.index(EOS)], score, total)] if score > -math.inf else [] for ids, score, total in rows
        ]
