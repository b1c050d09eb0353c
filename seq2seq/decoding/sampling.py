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
from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.decoding.interface import (
    Hypothesis,
    Key,
    Request,
    Searchable,
    check_limits,
    length_limits,
    next_log_probabilities,
)
from seq2seq.decoding.rules import Rules, Said, penalty_rules
from seq2seq.decoding.streams import Streams
from seq2seq.errors import UserError


class SampleSearch:
    """Translations drawn at random, the likeliest first.

    Args:
        n_best: how many are drawn for each sentence; equal ones count as one where a key is given.
        temperature: below 1 likely tokens become likelier, above 1 all more alike.
        top_k: how many of the likeliest tokens are drawn from; 0: all.
        top_p: what share of the probability the likeliest tokens must have that are drawn from; 1: all.
        min_p: least probability of a token beside the likeliest one's; 0: any.
        epsilon: least probability of a token; 0: any.
        seed: of the random numbers.
        max_length: most tokens of a translation, EOS counted.
        max_ratio: most target tokens a source token, beside a constant allowance of 10.
        no_repeat_ngram: so many pieces never come twice in a translation; 0: off.
        repetition_penalty: power of the probability of pieces that came before; 1: none.
    """

    def __init__(
        self,
        *,
        n_best: int,
        temperature: float,
        top_k: int,
        top_p: float,
        min_p: float,
        epsilon: float,
        seed: int,
        max_length: int,
        max_ratio: float,
        no_repeat_ngram: int = 0,
        repetition_penalty: float = 1.0,
    ) -> None:
        if n_best < 1:
            raise UserError(f"search.n_best={n_best} must be above 0")
        if temperature <= 0:
            raise UserError(f"search.temperature={temperature} must be above 0; search=greedy takes the likeliest")
        if top_k < 0:
            raise UserError(f"search.top_k={top_k} must be 0 (all) or how many tokens, such as 50")
        if not 0 < top_p <= 1:
            raise UserError(f"search.top_p={top_p} must be above 0 and at most 1, which is all")
        for name, share in (("min_p", min_p), ("epsilon", epsilon)):
            if not 0 <= share < 1:
                raise UserError(f"search.{name}={share} must be from 0 (any) to below 1")
        check_limits(max_length, max_ratio)
        self.n_best = n_best
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p
        self.min_p = min_p
        self.epsilon = epsilon
        self.seed = seed
        self.max_length = max_length
        self.max_ratio = max_ratio
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
        """Return n_best draws for each source, the likeliest first; fewer where a key is given and some are equal.

        Arguments as `Search`. A score is the model's own log-probability, whatever the temperature.
        """
        requests = [Request(i) for i in range(len(source))] if requests is None else requests
        limits = length_limits(source_lengths, self.max_length, self.max_ratio, requests)
        shortest, longest = (int(limit) for limit in limits.aminmax())
        rules = Rules(self.rules, requests)
        streams = Streams(self.seed, [request.number for request in requests], self.n_best)
        state = model.begin(source, source_mask, source_lengths)
        shape = len(source), self.n_best
        sentences = torch.arange(len(source), device=source.device)  # which sentence each live row is
        tokens = torch.full((*shape, longest), PAD, device=source.device)
        totals = torch.zeros(shape, dtype=torch.float32, device=source.device)
        ended = torch.zeros(shape, dtype=torch.bool, device=source.device)
        last = torch.full((len(source), 1), BOS, device=source.device)
        for t in range(longest):
            logits, state = model.step(last, state)
            must_end = limits[sentences] == t + 1 if t + 1 >= shortest else None
            ruled = log_probabilities = next_log_probabilities(logits, must_end=must_end)
            if rules.any:
                said = tokens[sentences, : logits.shape[1], :t]  # at first all samples are one
                ruled = rules(log_probabilities, Said(said, sentences, limits[sentences] - t))
            numbers = torch.from_numpy(streams.at(t)).to(source.device if source.device.type != "mps" else "cpu")
            drawn = self._draw(ruled, numbers[sentences.to(numbers.device)])
            before = ended[sentences]
            allowed, likely = (
                x.expand(-1, self.n_best, -1).gather(-1, drawn[..., None]).squeeze(-1)
                for x in (ruled, log_probabilities)
            )
            totals[sentences] += likely.masked_fill(allowed == -torch.inf, -torch.inf).masked_fill(before, 0.0)
            last = drawn.masked_fill(before, PAD)
            tokens[sentences, :, t] = last
            ended[sentences] = before | (last == EOS)
            if t == 0:
                state = state.reorder(torch.zeros_like(last))
            live = (~ended[sentences].all(-1)).nonzero().squeeze(1)
            if not len(live):
                break
            # Leaving out the finished copies the memory of all others: worth it when they are many.
            if len(live) <= 0.75 * len(sentences):
                sentences, last, state = sentences[live], last[live], state.select(live)
        rows = zip(tokens.tolist(), totals.tolist(), strict=True)
        return [_likeliest_first(*row, key=key) for row in rows]

    def _draw(self, log_probabilities: Tensor, numbers: Tensor) -> Tensor:
        """Return tokens (live, sample) that numbers, as many, draw by log-probabilities (live, 1 or sample, vocab).

        A token has a stretch of the numbers from 0 to 1, as long as its probability; stretches stand in the order of
        the vocabulary, so that rounding moves their ends and never changes places.
        """
        p = ((log_probabilities - log_probabilities.amax(-1, keepdim=True)) / self.temperature).softmax(-1)
        p = p.nan_to_num()
        kept = p.masked_fill(~self.stays(p), 0.0).to(numbers.device, numbers.dtype)
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
            ordered, order = p.sort(dim=-1, descending=True)
            likelier = ordered.cumsum(-1) - ordered
            stays &= torch.zeros_like(stays).scatter(-1, order, likelier < self.top_p)
        return stays | (p == largest)


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
