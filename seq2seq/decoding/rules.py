"""What changes the probabilities of the next token, or rules tokens out: small parts, each with a key of its own.

    no_repeat_ngram=n       no n pieces come twice in one translation (Paulus et al. 2018, 2.5)
    repetition_penalty=θ    log p becomes θ · log p for pieces that came before, so p to the power of θ; 1 is none

The second is the formula of Keskar et al. 2019 (4.1), on log-probabilities instead of logits, as in the beam search of
Hugging Face's transformers: so it means the same for every model.

A forced beginning stands above both.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.decoding.interface import Request
from seq2seq.errors import UserError


class Said(NamedTuple):
    """Where every hypothesis stands before its next token."""

    tokens: Tensor  # (live, beam, so far), without BOS
    sentences: Tensor  # (live,): which sentence of the batch each row is
    room: Tensor  # (live,): how many tokens may still come, the next one and EOS counted


Rule = Callable[[Tensor, Tensor], Tensor]
"""Returns other log-probabilities (live, beam, vocab) for those of what may come after tokens (live, beam, so far)."""


class NoRepeatNgram:
    """Rules out what would make n tokens come a second time."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, log_probabilities: Tensor, tokens: Tensor) -> Tensor:
        """Return log-probabilities (live, beam, vocab), -inf for what is ruled out."""
        before = self.n - 1
        if tokens.shape[-1] < self.n:
            return log_probabilities
        ngrams = tokens.unfold(-1, self.n, 1)  # (live, beam, place, n)
        begun = tokens[..., None, tokens.shape[-1] - before :]
        again = (ngrams[..., :before] == begun).all(-1)
        least = log_probabilities.new_full((), torch.inf).masked_fill(again, -torch.inf)
        return log_probabilities.scatter_reduce(-1, ngrams[..., -1], least, "amin")


class RepetitionPenalty:
    """Multiplies the log-probability of tokens that came before."""

    def __init__(self, penalty: float) -> None:
        self.penalty = penalty

    def __call__(self, log_probabilities: Tensor, tokens: Tensor) -> Tensor:
        """Return log-probabilities (live, beam, vocab), no longer of sum 1."""
        return log_probabilities.scatter(-1, tokens, self.penalty * log_probabilities.gather(-1, tokens))


def penalty_rules(*, no_repeat_ngram: int, repetition_penalty: float) -> tuple[Rule, ...]:
    """Return the rules of a search's keys; none where they say nothing.

    Raises:
        UserError: a key is out of range.
    """
    if no_repeat_ngram < 0:
        raise UserError(f"search.no_repeat_ngram={no_repeat_ngram} must be 0 (off) or how many pieces, such as 3")
    if repetition_penalty <= 0:
        raise UserError(f"search.repetition_penalty={repetition_penalty} must be above 0; 1 is none, 1.2 is usual")
    rules: list[Rule] = [NoRepeatNgram(no_repeat_ngram)] if no_repeat_ngram else []
    if repetition_penalty != 1:
        rules.append(RepetitionPenalty(repetition_penalty))
    return tuple(rules)


class Rules:
    """All that has a say in what comes next: the rules of a search, and what is asked for each sentence."""

    def __init__(self, rules: Sequence[Rule], requests: Sequence[Request] | None) -> None:
        self.rules = rules
        self.requests = requests or ()
        self.prefixes_until = max((r.prefix.most for r in self.requests if r.prefix is not None), default=0)
        self.forbidding = {
            i: r.constraints
            for i, r in enumerate(self.requests)
            if r.constraints is not None and r.constraints.forbidden
        }
        self.any = bool(rules or self.forbidding) or self.prefixes_until > 0
        """Whether anything has a say."""
        self.weigh = any(isinstance(rule, RepetitionPenalty) for rule in rules)
        """Whether probabilities change, and are not only ruled out."""

    def __call__(self, log_probabilities: Tensor, said: Said) -> Tensor:
        """Return log-probabilities (live, beam, vocab), -inf for what may not come next."""
        ruled = log_probabilities
        for rule in self.rules:
            ruled = rule(ruled, said.tokens)
        for row, beam, ids in self._forced(said):
            only(ruled[row, beam], ids, like=log_probabilities[row, beam])
        for row, beam, ids in self._forbidden(said):
            ruled[row, beam, torch.tensor(ids, dtype=torch.int64, device=ruled.device)] = -torch.inf
        return ruled

    def _forced(self, said: Said) -> list[tuple[int, int, list[int]]]:
        """Return row, beam, and the only tokens that may come next, of hypotheses that are in their prefix."""
        length = said.tokens.shape[-1]
        if length >= self.prefixes_until:
            return []
        found = []
        sentences, rooms = said.sentences.tolist(), said.room.tolist()
        for row, (sentence, room, hypotheses) in enumerate(zip(sentences, rooms, said.tokens.tolist(), strict=True)):
            prefix = self.requests[sentence].prefix
            if prefix is not None and length < prefix.most:
                room -= self.requests[sentence].required
                allowed = ((beam, prefix.allowed(ids, room)) for beam, ids in enumerate(hypotheses))
                found += [(row, beam, ids) for beam, ids in allowed if ids is not None]
        return found

    def _forbidden(self, said: Said) -> list[tuple[int, int, list[int]]]:
        """Return row, beam, and the tokens that may not come next, by what is forbidden of the translation."""
        if not self.forbidding:
            return []
        sentences, rooms = said.sentences.tolist(), said.room.tolist()
        return [
            (row, beam, list(self.forbidding[sentence].ruled_out(ids, room)))
            for row, (sentence, room) in enumerate(zip(sentences, rooms, strict=True))
            if sentence in self.forbidding
            for beam, ids in enumerate(said.tokens[row].tolist())
        ]


def only(row: Tensor, ids: Sequence[int], *, like: Tensor | None = None) -> None:
    """Set a row (vocab,) to -inf but at some ids, which are as in another, like (vocab,), or as they are."""
    index = torch.tensor(ids, dtype=torch.int64, device=row.device)
    kept = (row if like is None else like)[index]
    row.fill_(-torch.inf)[index] = kept
