"""A beam while it grows: its hypotheses, their best continuations, and what has ended. Both beam searches use it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.data.tokenizer import BOS, EOS
from seq2seq.decoding.continuations import best_continuations
from seq2seq.decoding.ended import Ended
from seq2seq.decoding.interface import LengthPenalty, take
from seq2seq.decoding.stepwise import StepwiseSearch, Task
from seq2seq.errors import UserError


@dataclass(kw_only=True, eq=False)
class AnyBeamSearch(StepwiseSearch):
    """What beam searches have in common.

    Args:
        beam_size: hypotheses a sentence.
        n_best: how many of them to return, at most beam_size.
        length_penalty: divides a hypothesis' log-probability.

    And those of `StepwiseSearch`.
    """

    beam_size: int
    n_best: int
    length_penalty: LengthPenalty

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beam_size < 1:
            raise UserError(f"search.beam_size={self.beam_size} must be above 0")
        if not 1 <= self.n_best <= self.beam_size:
            raise UserError(f"search.n_best={self.n_best} must be from 1 to search.beam_size={self.beam_size}")

    @property
    def hypotheses(self) -> int:
        """The beam."""
        return self.beam_size


class Candidates(NamedTuple):
    """Hypotheses with one more token, best first: of each sentence twice as many as its beam holds, or all."""

    totals: Tensor  # what ranks them (live, candidates)
    parents: Tensor  # which hypothesis each continues (live, candidates)
    tokens: Tensor  # with what (live, candidates)


class Beam:
    """Up to k hypotheses a sentence that grow side by side, and the best of those that have ended.

    Args:
        task: of the search.
        k: hypotheses a sentence.
        room: how many ended hypotheses to keep, at least k.
        length_penalty: divides a hypothesis' log-probability.
        patient: sentences that wait for better hypotheses although k have ended; see `Ended`.
        weighed: whether what ranks a hypothesis is not its log-probability.
    """

    def __init__(
        self,
        task: Task,
        k: int,
        *,
        room: int,
        length_penalty: LengthPenalty,
        patient: Sequence[int] = (),
        weighed: bool,
    ) -> None:
        batch, device = len(task.source), task.source.device
        self.k = k
        self.length_penalty = length_penalty
        self.ended = Ended.empty(batch, k, task.longest, room=room, device=device, patient=patient)
        self.tokens = torch.full((batch, 1, 1), BOS, device=device)  # (live, beam, so far)
        self.totals = torch.zeros(batch, 1, dtype=torch.float32, device=device)  # what ranks them (live, beam)
        self.of_model = self.totals if weighed else None  # log-probabilities (live, beam), where others rank

    def candidates(self, ruled: Tensor) -> Candidates:
        """Return the best continuations by log-probabilities (live, beam, vocab)."""
        # Of 2k candidates at most k end here, so k can go on.
        return Candidates(*best_continuations(self.totals, ruled, 2 * self.k))

    def grow(
        self, candidates: Candidates, log_probabilities: Tensor, sentences: Tensor, *, bonus: Tensor | None = None
    ) -> Tensor:
        """Keep the candidates that end among those that ended, and go on with the best k of the others.

        Args:
            candidates: of this step.
            log_probabilities: of the model (live, beam before, vocab).
            sentences: which sentence each row is (live,).
            bonus: what joins the score of a hypothesis that ends now (live, beam before).

        Returns:
            Which hypothesis each one that goes on continues (live, kept).
        """
        k, (totals, parents, tokens) = self.k, candidates
        of_model = totals
        if self.of_model is not None:
            said = log_probabilities.flatten(1).gather(1, parents * log_probabilities.shape[-1] + tokens)
            of_model = self.of_model.gather(1, parents) + said
        grown = torch.cat((take(self.tokens, parents), tokens[..., None]), dim=-1)
        ends = tokens == EOS
        penalty = self.length_penalty(totals.new_full((), grown.shape[-1] - 1.0))
        scores = totals[:, :k].masked_fill(~ends[:, :k], -torch.inf) / penalty
        if bonus is not None:
            scores = scores + bonus.gather(1, parents[:, :k])
        self.ended.add(sentences, grown[:, :k, 1:], of_model[:, :k], scores)
        self.totals, kept = totals.masked_fill(ends, -torch.inf).topk(min(k, totals.shape[1]), dim=-1)
        self.ended.settle(sentences, self.totals[:, 0] / penalty)
        self.tokens = take(grown, kept)
        if self.of_model is not None:
            self.of_model = of_model.gather(1, kept)
        return parents.gather(1, kept)

    def select(self, live: Tensor) -> None:
        """Keep some rows only; live (n,) are their numbers."""
        self.tokens, self.totals = self.tokens[live], self.totals[live]
        self.of_model = None if self.of_model is None else self.of_model[live]
