"""A beam whose hypotheses must meet constraints: dynamic beam allocation (Post and Vilar 2018).

The hypotheses of a sentence are sorted into banks by how many constraints they have not met, and whether they are in
the middle of one. (The paper sorts them by pieces. With words of many pieces, few hypotheses would be left that can
wait for the right place.) A step looks at the best tokens of every hypothesis, and at all that bring it nearer to a
constraint. The beam is shared out evenly among the banks, and what a bank cannot use goes to the others. EOS comes
only after all constraints; and where the tokens that are left just suffice, only what serves the constraints may come.
So every translation that is found meets them all. Each sentence of a batch has banks of its own; one without
constraints is searched as ever.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.data.tokenizer import EOS, PAD
from seq2seq.decoding.constraints import Constraints, State
from seq2seq.decoding.hypotheses import Candidates
from seq2seq.decoding.interface import Request
from seq2seq.decoding.rules import Said, only


class Continuation(NamedTuple):
    """A hypothesis with one more token."""

    total: float
    parent: int
    token: int
    bank: int  # the nearer to the goal, the lower


class ConstrainedBeams:
    """How far the hypotheses of the sentences with constraints are.

    Args:
        requests: of all sentences.
        beam_size: hypotheses a sentence.
    """

    def __init__(self, requests: Sequence[Request] | None, beam_size: int) -> None:
        self.beam_size = beam_size
        self.constraints: dict[int, Constraints] = {
            i: request.constraints
            for i, request in enumerate(requests or ())
            if request.constraints is not None and request.constraints.required
        }
        self.prefixes = {i: (requests or ())[i].prefix for i in self.constraints}
        self.states: dict[int, list[State]] = {i: [c.start] for i, c in self.constraints.items()}

    def __bool__(self) -> bool:
        return bool(self.constraints)

    def rule(self, log_probabilities: Tensor, said: Said) -> Tensor:
        """Return log-probabilities (live, beam, vocab), -inf for ends, and for what leaves constraints no room."""
        if not self:
            return log_probabilities
        ruled = log_probabilities.clone()
        length, rooms = said.tokens.shape[-1], said.room.tolist()
        for row, sentence in enumerate(said.sentences.tolist()):
            constraints, prefix = self.constraints.get(sentence), self.prefixes.get(sentence)
            if constraints is None:
                continue
            for beam, state in enumerate(self.states[sentence]):
                if not constraints.may_end(state):
                    ruled[row, beam, EOS] = -torch.inf
                # Inside a prefix nothing else may come, and there is room for the constraints after it.
                if prefix is None or length >= prefix.least:
                    allowed = _fitting(constraints, state, rooms[row])
                    if allowed is not None:
                        only(ruled[row, beam], allowed)
        return ruled

    def choose(self, ruled: Tensor, before: Tensor, chosen: Candidates, sentences: Tensor) -> Candidates:
        """Return candidates (live, 2 · beam): those that end first, from `beam` on those that go on.

        Args:
            ruled: log-probabilities (live, beam, vocab).
            before: totals of the hypotheses (live, beam).
            chosen: of a search without constraints, which sentences without them keep.
            sentences: which sentence each live row is.
        """
        k, width = self.beam_size, 2 * self.beam_size
        missing = (0, width - chosen[0].shape[1])
        totals, parents, tokens = (
            torch.nn.functional.pad(x, missing, value=value)
            for x, value in zip(chosen, (-torch.inf, 0, PAD), strict=True)
        )
        for row, sentence in enumerate(sentences.tolist()):
            if sentence not in self.constraints:
                continue
            ended, going_on = self._allocate(sentence, ruled[row], before[row])
            places = [*((i, c) for i, c in enumerate(ended)), *((k + i, c) for i, c in enumerate(going_on))]
            totals[row], parents[row], tokens[row] = -torch.inf, 0, PAD
            index = torch.tensor([place for place, _ in places], dtype=torch.int64, device=totals.device)
            for x, values in (
                (totals, [c.total for _, c in places]),
                (parents, [c.parent for _, c in places]),
                (tokens, [c.token for _, c in places]),
            ):
                x[row, index] = torch.tensor(values, dtype=x.dtype, device=x.device)
        return Candidates(totals, parents, tokens)

    def _allocate(self, sentence: int, ruled: Tensor, before: Tensor) -> tuple[list[Continuation], list[Continuation]]:
        """Return which candidates of a sentence end, and which go on, at most `beam` of each.

        Args:
            sentence: which.
            ruled: log-probabilities (beam, vocab).
            before: totals of the hypotheses (beam,).
        """
        constraints, states = self.constraints[sentence], self.states[sentence]
        best, tokens = ruled.topk(min(2 * self.beam_size, ruled.shape[-1]))
        likely, considered = best.tolist(), tokens.tolist()
        found: list[Continuation] = []
        for beam, total in enumerate(before.tolist()):
            if total == -torch.inf or beam >= len(states):
                continue
            state, seen = states[beam], dict(zip(considered[beam], likely[beam], strict=True))
            for token in constraints.continuations(state):
                if token not in seen:
                    seen[token] = float(ruled[beam, token])
            for token, log_probability in seen.items():
                if log_probability > -torch.inf:
                    bank = 0 if token == EOS else constraints.distance(constraints.advance(state, token))
                    found.append(Continuation(total + log_probability, beam, token, bank))
        found.sort(key=lambda candidate: -candidate.total)
        banks: dict[int, list[Continuation]] = {}
        for candidate in found:
            banks.setdefault(candidate.bank, []).append(candidate)
        slots = _share_out(self.beam_size, {number: len(held) for number, held in banks.items()})
        ended: list[Continuation] = []
        going_on: list[Continuation] = []
        for number, held in banks.items():
            # As in a search without constraints: what ends leaves its place to others.
            ended += [c for c in held[: slots[number]] if c.token == EOS]
            going_on += [c for c in held if c.token != EOS][: slots[number]]
        going_on.sort(key=lambda candidate: -candidate.total)
        return ended, going_on

    def follow(self, totals: Tensor, parents: Tensor, tokens: Tensor, sentences: Tensor) -> None:
        """Note which hypotheses go on, and with what: totals, parents and tokens (live, beam)."""
        rows = zip(sentences.tolist(), totals.tolist(), parents.tolist(), tokens.tolist(), strict=True)
        for sentence, of_row, parents_of_row, tokens_of_row in rows:
            if sentence in self.constraints:
                constraints, states = self.constraints[sentence], self.states[sentence]
                self.states[sentence] = [
                    constraints.start if total == -torch.inf else constraints.advance(states[parent], token)
                    for total, parent, token in zip(of_row, parents_of_row, tokens_of_row, strict=True)
                ]


def _fitting(constraints: Constraints, state: State, room: int) -> list[int] | None:
    """Return the tokens after which there is room for the rest and EOS; None where that is after all."""
    if constraints.needed_after(state, word_end=False) + 2 <= room:
        return None
    found = [token for token, needed in constraints.continuations(state).items() if needed + 1 <= room]
    if constraints.needed_after(state, word_end=True) + 2 <= room:
        found += constraints.word_ends - {EOS}
    return [*set(found), EOS] if constraints.may_end(state) else list(set(found))


def _share_out(places: int, wanted: dict[int, int]) -> dict[int, int]:
    """Return how many places each bank gets: evenly, no more than it wants.

    Where there are more banks than places, the nearest and the farthest come first: what has said all, and what is free
    to say the rest at its own time.
    """
    given = dict.fromkeys(wanted, 0)
    while places and (hungry := [bank for bank in sorted(wanted) if given[bank] < wanted[bank]]):
        from_both_ends = [bank for pair in zip(hungry, reversed(hungry), strict=True) for bank in pair]
        for bank in list(dict.fromkeys(from_both_ends))[:places]:
            given[bank] += 1
        places -= min(places, len(hungry))
    return given
