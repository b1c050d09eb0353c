"""Beam search: the best of several hypotheses grown side by side."""

from collections.abc import Sequence

import torch
from torch import Tensor

from seq2seq.data.tokenizer import BOS, EOS
from seq2seq.decoding.constrained import ConstrainedBeams
from seq2seq.decoding.coverage import Watched, coverage
from seq2seq.decoding.ended import Ended
from seq2seq.decoding.interface import (
    Hypothesis,
    Key,
    LengthPenalty,
    Request,
    Searchable,
    check_limits,
    length_limits,
    next_log_probabilities,
    take,
)
from seq2seq.decoding.rules import Rules, Said, penalty_rules
from seq2seq.errors import UserError


def wu_penalty(alpha: float) -> LengthPenalty:
    """Return ((5 + length) / 6) ** alpha (Wu et al. 2016, eq. 14); alpha 0 is no penalty."""
    return lambda length: ((5 + length) / 6) ** alpha


def power_penalty(alpha: float) -> LengthPenalty:
    """Return length ** alpha, which is CTranslate2's; alpha 1 is the mean log-probability a token."""
    return lambda length: length**alpha


class BeamSearch:
    """The best of `beam_size` hypotheses grown side by side; a sentence ends when so many of them have ended.

    It meets the constraints of its requests.

    Args:
        beam_size: hypotheses a sentence.
        n_best: how many of them to return, at most beam_size.
        max_length: most tokens of a translation, EOS counted.
        max_ratio: most target tokens a source token, beside a constant allowance of 10.
        length_penalty: divides a hypothesis' log-probability.
        early_stopping: whether a sentence ends as soon as beam_size hypotheses have ended. Else it goes on while the
            best of the others scores above the worst of those, by its present length, as in transformers.
        no_repeat_ngram: so many pieces never come twice in a translation; 0: off.
        repetition_penalty: power of the probability of pieces that came before; 1: none.
        coverage_penalty: β of Wu's coverage penalty, which joins the score of what has ended; 0: none.
    """

    def __init__(
        self,
        *,
        beam_size: int,
        n_best: int,
        max_length: int,
        max_ratio: float,
        length_penalty: LengthPenalty,
        early_stopping: bool = True,
        no_repeat_ngram: int = 0,
        repetition_penalty: float = 1.0,
        coverage_penalty: float = 0.0,
    ) -> None:
        if beam_size < 1:
            raise UserError(f"search.beam_size={beam_size} must be above 0")
        if not 1 <= n_best <= beam_size:
            raise UserError(f"search.n_best={n_best} must be from 1 to search.beam_size={beam_size}")
        if coverage_penalty < 0:
            raise UserError(f"search.coverage_penalty={coverage_penalty} must be 0 (none) or above, such as 0.2")
        check_limits(max_length, max_ratio)
        self.coverage_penalty = coverage_penalty
        self.beam_size = beam_size
        self.n_best = n_best
        self.max_length = max_length
        self.max_ratio = max_ratio
        self.length_penalty = length_penalty
        self.early_stopping = early_stopping
        self.rules = penalty_rules(no_repeat_ngram=no_repeat_ngram, repetition_penalty=repetition_penalty)

    requires = True
    """Whether it can be told what a translation must say."""

    @torch.no_grad()
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
        """Return up to n_best hypotheses for each source, best first; arguments as `Search`."""
        batch, k, device = len(source), self.beam_size, source.device
        limits = length_limits(source_lengths, self.max_length, self.max_ratio, requests)
        shortest, longest = (int(limit) for limit in limits.aminmax())
        rules, constrained = Rules(self.rules, requests), ConstrainedBeams(requests, k)
        # As many as may end before the last of a beam has ended: what is the same is not to leave a gap.
        room = k if self.n_best == 1 or key is None else 2 * k
        ended = Ended.empty(batch, k, longest, room=room, device=device, patient=not self.early_stopping)
        watched = Watched(model) if self.coverage_penalty else None
        model = watched or model
        state = model.begin(source, source_mask, source_lengths)
        sentences = torch.arange(batch, device=device)  # which sentence each live row is
        tokens = torch.full((batch, 1, 1), BOS, device=device)  # (live, beam, so far)
        totals = torch.zeros(batch, 1, dtype=torch.float32, device=device)  # what ranks them (live, beam)
        change = totals if rules.weigh else None  # how much of it is no log-probability of the model (live, beam)
        looked = source.new_zeros(batch, 1, source.shape[1], dtype=torch.float32)  # attention so far, if watched
        for t in range(longest):
            logits, state = model.step(tokens[..., -1], state)
            at_limit = limits[sentences] == t + 1
            must_end = at_limit if t + 1 >= shortest else None
            log_probabilities = next_log_probabilities(logits, must_end=must_end)
            ruled = log_probabilities
            if rules.any or constrained:
                said = Said(tokens[..., 1:], sentences, limits[sentences] - t)
                ruled = constrained.rule(rules(log_probabilities, said), said)
            # Of 2k candidates at most k end here, so k can go on; no beam has more than 2k of the best 2k.
            best, following = ruled.topk(min(2 * k, logits.shape[-1]))
            before, candidates = totals, (totals[..., None] + best).flatten(1)
            totals, chosen = candidates.topk(min(2 * k, candidates.shape[1]), dim=-1)
            parents, choices = chosen // best.shape[-1], following.flatten(1).gather(1, chosen)
            if constrained:
                totals, parents, choices = constrained.choose(ruled, before, (totals, parents, choices), sentences)
            if change is not None:
                added = (ruled - log_probabilities).flatten(1).gather(1, parents * logits.shape[-1] + choices)
                change = change.gather(1, parents) + added
            grown = torch.cat((take(tokens, parents), choices[..., None]), dim=-1)
            ends = choices == EOS
            penalty = self.length_penalty(torch.full((), t + 1.0, dtype=torch.float32, device=device))
            scores = totals[:, :k].masked_fill(~ends[:, :k], -torch.inf) / penalty
            if watched is not None:
                looked = looked + watched.looked_at()
                covered = self.coverage_penalty * coverage(looked, source_mask[sentences])
                scores = scores + covered.gather(1, parents[:, :k])
            of_model = totals if change is None else totals - change
            ended.add(sentences, grown[:, :k, 1:], of_model[:, :k], scores)
            totals, kept = totals.masked_fill(ends, -torch.inf).topk(min(k, totals.shape[1]), dim=-1)
            if not self.early_stopping:
                ended.settle(sentences, totals[:, 0] / penalty)
            parents = parents.gather(1, kept)
            state = state.reorder(parents)
            tokens = take(grown, kept)
            if constrained:
                constrained.follow(totals, parents, tokens[..., -1], sentences)
            change = None if change is None else change.gather(1, kept)
            looked = looked if watched is None else take(looked, parents)
            live = (~(at_limit | ended.full(sentences))).nonzero().squeeze(1)
            if not len(live):
                break
            # Leaving out the finished copies the memory of all others: worth it when they are many.
            if len(live) <= 0.75 * len(sentences):
                sentences, tokens, totals, state = sentences[live], tokens[live], totals[live], state.select(live)
                change = None if change is None else change[live]
                looked = looked if watched is None else looked[live]
        return ended.best(self.n_best, key)
