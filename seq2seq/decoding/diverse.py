"""Diverse beam search: groups of hypotheses, each pushed away from the groups before it (Vijayakumar et al. 2018).

At each step the groups choose in turn. For group g a token y counts as

    log p(y) - diversity · (how many hypotheses of the groups before go on with y at this step)

which is their Hamming diversity (4.2), added up over the steps as in their Algorithm 1. The end is not counted, so that
the lengths of groups do not push each other away. Each group is a beam search of its own otherwise.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from seq2seq.data.tokenizer import EOS
from seq2seq.decoding.hypotheses import AnyBeamSearch, Beam
from seq2seq.decoding.interface import Hypothesis, Key
from seq2seq.decoding.stepwise import Growing, Step, Task
from seq2seq.errors import UserError


@dataclass(kw_only=True, eq=False)
class DiverseBeamSearch(AnyBeamSearch):
    """The best of each of several groups of hypotheses, then the second best, and so on.

    It returns up to n_best hypotheses, best first. A score is without what diversity took away.

    Args:
        groups: how many; beam_size, which is of all together, is a multiple of it.
        diversity: how much a token costs for each hypothesis of an earlier group that goes on with it, in nats.

    And those of `AnyBeamSearch`.
    """

    groups: int
    diversity: float

    def __post_init__(self) -> None:
        if self.groups < 1 or self.beam_size < 1 or self.beam_size % self.groups:
            raise UserError(
                f"search.beam_size={self.beam_size} must be above 0 and a multiple of search.groups={self.groups}; "
                "change one"
            )
        super().__post_init__()
        if self.diversity < 0:
            raise UserError(f"search.diversity={self.diversity} must be 0 or above, such as 0.5")

    def begin(self, task: Task) -> "Groups":
        """Return a beam a group and sentence."""
        return Groups(self, task)


class Groups(Growing):
    """Several beams a sentence that choose in turn, each away from what those before it chose."""

    def __init__(self, search: DiverseBeamSearch, task: Task) -> None:
        self._search = search
        self._key: Key = task.key or tuple
        k = search.beam_size // search.groups
        self._beams = [
            Beam(task, k, room=2 * k, length_penalty=search.length_penalty, weighed=True) for _ in range(search.groups)
        ]
        self.last = self._beams[0].tokens[..., -1]  # with the first step's one hypothesis all groups go on

    def tokens(self, sentences: Tensor) -> Tensor:
        """Return what each hypothesis says so far, (live, groups · beam, so far); at first all are one."""
        beams = self._beams[: self.last.shape[1]]
        return torch.cat([beam.tokens[..., 1:] for beam in beams], dim=1)

    def grow(self, step: Step) -> tuple[Tensor, Tensor]:
        """Add a token to each hypothesis; a sentence is finished when enough of each group have ended."""
        counts = torch.zeros_like(step.ruled[:, 0])  # how many earlier groups' hypotheses go on with a token
        finished = torch.ones_like(step.sentences, dtype=torch.bool)
        parents, first = [], 0  # the model's first hypothesis of a group
        for beam in self._beams:
            own = slice(first, first + beam.totals.shape[1])
            candidates = beam.candidates(step.ruled[:, own] - self._search.diversity * counts[:, None])
            chosen = beam.grow(candidates, step.log_probabilities[:, own], step.sentences)
            counts = counts.scatter_add(1, beam.tokens[..., -1], (beam.totals > -torch.inf).to(counts.dtype))
            counts[:, EOS] = 0.0
            parents.append(chosen + first)
            finished &= beam.ended.full(step.sentences)
            first = own.stop if step.ruled.shape[1] > 1 else 0
        self.last = torch.cat([beam.tokens[..., -1] for beam in self._beams], dim=1)
        return torch.cat(parents, dim=1), finished

    def select(self, live: Tensor) -> None:
        """Keep some rows only."""
        for beam in self._beams:
            beam.select(live)
        self.last = self.last[live]

    def found(self) -> list[list[Hypothesis]]:
        """Return the best of each group, then the second best of each, and so on, up to n_best; best first."""
        groups = [beam.ended.best(2 * beam.k) for beam in self._beams]
        return [self._joined(of_sentence) for of_sentence in zip(*groups, strict=True)]

    def _joined(self, found: tuple[list[Hypothesis], ...]) -> list[Hypothesis]:
        """Return the n best of the groups of a sentence: first the best of each, no two with the same key."""
        chosen: dict[Hashable, Hypothesis] = {}
        for rank in range(max(map(len, found))):
            ranked = [self._rescored(group[rank]) for group in found if rank < len(group)]
            for hypothesis in sorted(ranked, key=lambda h: -h.score):
                same = self._key(hypothesis.tokens)
                if same in chosen:
                    chosen[same] = max(chosen[same], hypothesis, key=lambda h: h.score)
                elif len(chosen) < self._search.n_best:
                    chosen[same] = hypothesis
        return sorted(chosen.values(), key=lambda h: -h.score)

    def _rescored(self, hypothesis: Hypothesis) -> Hypothesis:
        length = torch.tensor(len(hypothesis.tokens) + 1.0)
        return hypothesis._replace(score=hypothesis.log_probability / float(self._search.length_penalty(length)))
