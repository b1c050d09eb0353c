"""Beam search: the best of several hypotheses grown side by side."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from seq2seq.decoding.constrained import ConstrainedBeams
from seq2seq.decoding.coverage import Watched
from seq2seq.decoding.hypotheses import AnyBeamSearch, Beam
from seq2seq.decoding.interface import Hypothesis, LengthPenalty, Searchable
from seq2seq.decoding.rules import Said
from seq2seq.decoding.stepwise import Growing, Step, Task
from seq2seq.errors import UserError

MOST_ALPHA = 10.0
"""Of a length penalty: with a larger one a long hypothesis is divided by more than a number of 32 bits holds."""


def wu_penalty(alpha: float) -> LengthPenalty:
    """Return ((5 + length) / 6) ** alpha (Wu et al. 2016, eq. 14); alpha 0 is no penalty."""
    _check_alpha(alpha)
    return lambda length: ((5 + length) / 6) ** alpha


def power_penalty(alpha: float) -> LengthPenalty:
    """Return length ** alpha, which is CTranslate2's; alpha 1 is the mean log-probability a token."""
    _check_alpha(alpha)
    return lambda length: length**alpha


def _check_alpha(alpha: float) -> None:
    if not -MOST_ALPHA <= alpha <= MOST_ALPHA:
        raise UserError(
            f"search.length_penalty.alpha={alpha} must be from {-MOST_ALPHA:g} to {MOST_ALPHA:g}; 1 is usual, 0 none"
        )


@dataclass(kw_only=True, eq=False)
class BeamSearch(AnyBeamSearch):
    """The best of `beam_size` hypotheses grown side by side; a sentence ends when so many of them have ended.

    It meets the constraints of its requests, and returns up to n_best hypotheses, best first.

    Args:
        early_stopping: whether a sentence ends as soon as beam_size hypotheses have ended. Else it goes on while the
            best of the others scores above the worst of those, by its present length, as in transformers.
        coverage_penalty: β of Wu's coverage penalty, which joins the score of what has ended; 0: none.

    And those of `AnyBeamSearch`.
    """

    early_stopping: bool = True
    coverage_penalty: float = 0.0

    requires: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.coverage_penalty < 0:
            raise UserError(f"search.coverage_penalty={self.coverage_penalty} must be 0 (none) or above, such as 0.2")

    def searched(self, model: Searchable) -> Searchable:
        """Return the model, or with a coverage penalty one that tells what it looked at."""
        return Watched(model) if self.coverage_penalty else model

    def begin(self, task: Task) -> "OneBeam":
        """Return a beam a sentence."""
        return OneBeam(self, task)


class OneBeam(Growing):
    """A beam a sentence, whose hypotheses may have constraints to meet."""

    def __init__(self, search: BeamSearch, task: Task) -> None:
        self._search = search
        self._key = task.key
        self._constrained = ConstrainedBeams(task.requests, search.beam_size)
        # As many as may end before the last of a beam has ended: what is the same is not to leave a gap.
        room = search.beam_size * (1 if search.n_best == 1 or task.key is None else 2)
        patient = list(self._constrained.constraints) if search.early_stopping else range(len(task.source))
        self._beam = Beam(
            task, search.beam_size, room=room, length_penalty=search.length_penalty, patient=patient,
            weighed=task.weighed,
        )  # fmt: skip
        self.last = self._beam.tokens[..., -1]

    def tokens(self, sentences: Tensor) -> Tensor:
        """Return what each hypothesis says so far, (live, beam, so far)."""
        return self._beam.tokens[..., 1:]

    def grow(self, step: Step) -> tuple[Tensor, Tensor]:
        """Add a token to each hypothesis; a sentence is finished when enough of its hypotheses have ended."""
        beam, constrained, sentences = self._beam, self._constrained, step.sentences
        ruled = constrained.rule(step.ruled, Said(self.tokens(sentences), sentences, step.room))
        candidates = beam.candidates(ruled)
        if constrained:
            candidates = constrained.choose(ruled, beam.totals, candidates, sentences)
        weight = self._search.coverage_penalty
        bonus = weight * step.state.coverage() if weight else None
        parents = beam.grow(candidates, step.log_probabilities, sentences, bonus=bonus)
        self.last = beam.tokens[..., -1]
        if constrained:
            constrained.follow(beam.totals, parents, self.last, sentences)
        return parents, beam.ended.full(sentences)

    def select(self, live: Tensor) -> None:
        """Keep some rows only."""
        self._beam.select(live)
        self.last = self.last[live]

    def found(self) -> list[list[Hypothesis]]:
        """Return up to n_best hypotheses of each sentence, best first."""
        return self._beam.ended.best(self._search.n_best, self._key)
