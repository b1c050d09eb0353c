"""Diverse beam search: groups of hypotheses, each pushed away from the groups before it (Vijayakumar et al. 2018).

At each step the groups choose in turn. For group g a token y counts as

    log p(y) - diversity · (how many hypotheses of the groups before go on with y at this step)

which is their Hamming diversity (4.2), added up over the steps as in their Algorithm 1. The end is not counted, so that
the lengths of groups do not push each other away. Each group is a beam search of its own otherwise.
"""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from seq2seq.data.tokenizer import BOS, EOS
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


class DiverseBeamSearch:
    """The best of each of several groups of hypotheses, then the second best, and so on.

    Args:
        beam_size: hypotheses a sentence, in all groups together; a multiple of groups.
        groups: how many groups.
        diversity: how much a token costs for each hypothesis of an earlier group that goes on with it, in nats.
        n_best: how many hypotheses to return, at most beam_size.
        max_length: most tokens of a translation, EOS counted.
        max_ratio: most target tokens a source token, beside a constant allowance of 10.
        length_penalty: divides a hypothesis' log-probability.
        no_repeat_ngram: so many pieces never come twice in a translation; 0: off.
        repetition_penalty: power of the probability of pieces that came before; 1: none.
    """

    def __init__(
        self,
        *,
        beam_size: int,
        groups: int,
        diversity: float,
        n_best: int,
        max_length: int,
        max_ratio: float,
        length_penalty: LengthPenalty,
        no_repeat_ngram: int = 0,
        repetition_penalty: float = 1.0,
    ) -> None:
        if beam_size < 1 or groups < 1 or beam_size % groups:
            raise UserError(
                f"search.beam_size={beam_size} must be above 0 and a multiple of search.groups={groups}; change one"
            )
        if not 1 <= n_best <= beam_size:
            raise UserError(f"search.n_best={n_best} must be from 1 to search.beam_size={beam_size}")
        if diversity < 0:
            raise UserError(f"search.diversity={diversity} must be 0 or above, such as 0.5")
        check_limits(max_length, max_ratio)
        self.beam_size = beam_size
        self.groups = groups
        self.diversity = diversity
        self.n_best = n_best
        self.max_length = max_length
        self.max_ratio = max_ratio
        self.length_penalty = length_penalty
        self.rules = penalty_rules(no_repeat_ngram=no_repeat_ngram, repetition_penalty=repetition_penalty)

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
        """Return up to n_best hypotheses for each source, best first; arguments as `Search`.

        The best of each group come before the second best of any. A score is without what diversity took away.
        """
        batch, groups, k, device = len(source), self.groups, self.beam_size // self.groups, source.device
        limits = length_limits(source_lengths, self.max_length, self.max_ratio, requests)
        shortest, longest = (int(limit) for limit in limits.aminmax())
        rules = Rules(self.rules, requests)
        ended = Ended.empty(batch * groups, k, longest, room=2 * k, device=device)
        of_group = torch.arange(groups, device=device)
        state = model.begin(source, source_mask, source_lengths)
        sentences = torch.arange(batch, device=device)  # which sentence each live row is
        tokens = torch.full((batch, 1, 1), BOS, device=device)  # (live, groups · beam, so far)
        totals = torch.zeros(batch, groups, 1, dtype=torch.float32, device=device)  # what ranks a group's hypotheses
        of_model = totals  # log-probabilities (live, groups, beam)
        for t in range(longest):
            logits, state = model.step(tokens[..., -1], state)
            at_limit = limits[sentences] == t + 1
            must_end = at_limit if t + 1 >= shortest else None
            ruled = log_probabilities = next_log_probabilities(logits, must_end=must_end)
            if rules.any:
                ruled = rules(log_probabilities, Said(tokens[..., 1:], sentences, limits[sentences] - t))
            width = totals.shape[-1]  # hypotheses a group
            counts = torch.zeros_like(ruled[:, 0])  # how many earlier groups' hypotheses go on with a token
            penalty = self.length_penalty(torch.full((), t + 1.0, dtype=torch.float32, device=device))
            parents, choices, kept_totals, kept_of_model = [], [], [], []
            for g in range(groups):
                first = g * width if t else 0  # with the first step's one hypothesis all groups go on
                beams = slice(first, first + width)
                best, following = (ruled[:, beams] - self.diversity * counts[:, None]).topk(
                    min(2 * k, counts.shape[-1])
                )
                candidates = (totals[:, g, :, None] + best).flatten(1)
                total, chosen = candidates.topk(min(2 * k, candidates.shape[1]), dim=-1)
                parent, choice = chosen // best.shape[-1], following.flatten(1).gather(1, chosen)
                likely = log_probabilities[:, beams].flatten(1).gather(1, parent * counts.shape[-1] + choice)
                likely = of_model[:, g].gather(1, parent) + likely
                grown = torch.cat((take(tokens[:, beams], parent), choice[..., None]), dim=-1)
                ends = choice == EOS
                scores = total[:, :k].masked_fill(~ends[:, :k], -torch.inf) / penalty
                ended.add(sentences * groups + g, grown[:, :k, 1:], likely[:, :k], scores)
                total, kept = total.masked_fill(ends, -torch.inf).topk(min(k, total.shape[1]), dim=-1)
                choice = choice.gather(1, kept)
                counts = counts.scatter_add(1, choice, (total > -torch.inf).to(counts.dtype))
                counts[:, EOS] = 0.0
                parents.append(parent.gather(1, kept) + first)
                choices.append(choice)
                kept_totals.append(total)
                kept_of_model.append(likely.gather(1, kept))
            chosen = torch.cat(parents, dim=1)
            state = state.reorder(chosen)
            tokens = torch.cat((take(tokens, chosen), torch.cat(choices, dim=1)[..., None]), dim=-1)
            totals, of_model = torch.stack(kept_totals, dim=1), torch.stack(kept_of_model, dim=1)
            full = ended.full((sentences[:, None] * groups + of_group).flatten()).view(-1, groups).all(-1)
            live = (~(at_limit | full)).nonzero().squeeze(1)
            if not len(live):
                break
            if len(live) <= 0.75 * len(sentences):
                sentences, tokens, totals, state = sentences[live], tokens[live], totals[live], state.select(live)
                of_model = of_model[live]
        found = ended.best(2 * k)
        return [self._joined(found[i * groups : (i + 1) * groups], key or tuple) for i in range(batch)]

    def _joined(self, found: list[list[Hypothesis]], key: Key) -> list[Hypothesis]:
        """Return the n best of the groups of a sentence: first the best of each, no two with the same key."""
        chosen: dict[Hashable, Hypothesis] = {}
        for rank in range(max(map(len, found))):
            ranked = [self._rescored(group[rank]) for group in found if rank < len(group)]
            for hypothesis in sorted(ranked, key=lambda h: -h.score):
                same = key(hypothesis.tokens)
                if same in chosen:
                    chosen[same] = max(chosen[same], hypothesis, key=lambda h: h.score)
                elif len(chosen) < self.n_best:
                    chosen[same] = hypothesis
        return sorted(chosen.values(), key=lambda h: -h.score)

    def _rescored(self, hypothesis: Hypothesis) -> Hypothesis:
        length = torch.tensor(len(hypothesis.tokens) + 1.0)
        return hypothesis._replace(score=hypothesis.log_probability / float(self.length_penalty(length)))
