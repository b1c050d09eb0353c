"""Greedy search: the most probable next token, again and again."""

import math
from collections.abc import Sequence

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


class GreedySearch:
    """The most probable next token, again and again.

    Args:
        max_length: most tokens of a translation, EOS counted.
        max_ratio: most target tokens a source token, beside a constant allowance of 10.
        no_repeat_ngram: so many pieces never come twice in a translation; 0: off.
        repetition_penalty: power of the probability of pieces that came before; 1: none.
    """

    def __init__(
        self, *, max_length: int, max_ratio: float, no_repeat_ngram: int = 0, repetition_penalty: float = 1.0
    ) -> None:
        check_limits(max_length, max_ratio)
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
        """Return one hypothesis for each source, as a list of one; none where nothing may be said.

        Arguments as `Search`.
        """
        limits = length_limits(source_lengths, self.max_length, self.max_ratio, requests)
        rules = Rules(self.rules, requests)
        state = model.begin(source, source_mask, source_lengths)
        sentences = torch.arange(len(source), device=source.device)  # which sentence each live row is
        shortest, longest = (int(limit) for limit in limits.aminmax())
        tokens = torch.full((len(source), longest), PAD, device=source.device)
        scores = torch.zeros(len(source), dtype=torch.float32, device=source.device)
        totals = scores.clone() if rules.weigh else scores  # of the model alone
        last = torch.full((len(source), 1), BOS, device=source.device)
        for t in range(longest):
            logits, state = model.step(last, state)
            must_end = limits[sentences] == t + 1 if t + 1 >= shortest else None
            log_probabilities = next_log_probabilities(logits, must_end=must_end)
            ruled = log_probabilities
            if rules.any:
                ruled = rules(log_probabilities, Said(tokens[sentences, None, :t], sentences, limits[sentences] - t))
            best, last = ruled.squeeze(1).max(-1, keepdim=True)
            tokens[sentences, t] = last.squeeze(1)
            scores[sentences] += best.squeeze(1)
            if rules.weigh:
                totals[sentences] += log_probabilities.squeeze(1).gather(1, last).squeeze(1)
            ended = last.squeeze(1) == EOS
            if ended.any():
                live = (~ended).nonzero().squeeze(1)
                if not len(live):
                    break
                sentences, last, state = sentences[live], last[live], state.select(live)
        return [
            [Hypothesis(ids[: ids.index(EOS)], score, total)] if score > -math.inf else []
            for ids, score, total in zip(tokens.tolist(), scores.tolist(), totals.tolist(), strict=True)
        ]
