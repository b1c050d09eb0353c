"""Greedy and beam search. They know of a model only `begin`, `step`, `state.reorder` and `state.select`."""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.errors import UserError

NEVER = (PAD, BOS)
"""Tokens that no translation contains."""

SOURCE_ALLOWANCE = 10
"""Target tokens allowed beyond max_ratio · source length, so that very short sources have room."""


class Hypothesis(NamedTuple):
    """A translation found by search."""

    tokens: list[int]  # without BOS and EOS
    score: float  # log-probability over the length penalty
    log_probability: float  # of the tokens and EOS, in nats


class Searchable(Protocol):
    """What search needs of a model."""

    def begin(self, source: Tensor, source_mask: Tensor, source_lengths: Tensor) -> Any:
        """Return the state before the first token, with `reorder` and `select`: a `DecoderState`, or several."""

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return logits (batch, beam, vocab) after tokens (batch, beam), and the state."""


Key = Callable[[list[int]], Hashable]
"""What is the same of two hypotheses that count as one, such as their text: several token sequences may spell it."""

LengthPenalty = Callable[[Tensor], Tensor]
"""Divides the log-probability of a hypothesis of so many tokens, EOS counted."""


def wu_penalty(alpha: float) -> LengthPenalty:
    """Return ((5 + length) / 6) ** alpha (Wu et al. 2016, eq. 14); alpha 0 is no penalty."""
    return lambda length: ((5 + length) / 6) ** alpha


def power_penalty(alpha: float) -> LengthPenalty:
    """Return length ** alpha, which is CTranslate2's; alpha 1 is the mean log-probability a token."""
    return lambda length: length**alpha


def _check_limits(max_length: int, max_ratio: float) -> None:
    if max_length < 1 or max_ratio <= 0:
        raise UserError(f"search.max_length={max_length} and search.max_ratio={max_ratio} must be above 0")


class GreedySearch:
    """The most probable next token, again and again.

    Args:
        max_length: most tokens of a translation, EOS counted.
        max_ratio: most target tokens a source token, beside a constant allowance of 10.
    """

    def __init__(self, *, max_length: int, max_ratio: float) -> None:
        _check_limits(max_length, max_ratio)
        self.max_length = max_length
        self.max_ratio = max_ratio

    @torch.no_grad()
    def __call__(
        self, model: Searchable, source: Tensor, source_mask: Tensor, source_lengths: Tensor, *, key: Key | None = None
    ) -> list[list[Hypothesis]]:
        """Return one hypothesis for each source, as a list of one; ids (batch, source), right-padded."""
        limits = length_limits(source_lengths, self.max_length, self.max_ratio)
        state = model.begin(source, source_mask, source_lengths)
        sentences = torch.arange(len(source), device=source.device)  # which sentence each live row is
        shortest, longest = (int(limit) for limit in limits.aminmax())
        tokens = torch.full((len(source), longest), PAD, device=source.device)
        totals = torch.zeros(len(source), dtype=torch.float32, device=source.device)
        last = torch.full((len(source), 1), BOS, device=source.device)
        for t in range(longest):
            logits, state = model.step(last, state)
            must_end = limits[sentences] == t + 1 if t + 1 >= shortest else None
            log_probabilities = next_log_probabilities(logits, must_end=must_end)
            best, last = log_probabilities.squeeze(1).max(-1, keepdim=True)
            tokens[sentences, t] = last.squeeze(1)
            totals[sentences] += best.squeeze(1)
            ended = last.squeeze(1) == EOS
            if ended.any():
                live = (~ended).nonzero().squeeze(1)
                if not len(live):
                    break
                sentences, last, state = sentences[live], last[live], state.select(live)
        return [
            [Hypothesis(ids[: ids.index(EOS)], total, total)]
            for ids, total in zip(tokens.tolist(), totals.tolist(), strict=True)
        ]


class BeamSearch:
    """The best of `beam_size` hypotheses grown side by side; a sentence ends when so many of them have ended.

    Args:
        beam_size: hypotheses a sentence.
        n_best: how many of them to return, at most beam_size.
        max_length: most tokens of a translation, EOS counted.
        max_ratio: most target tokens a source token, beside a constant allowance of 10.
        length_penalty: divides a hypothesis' log-probability.
    """

    def __init__(
        self, *, beam_size: int, n_best: int, max_length: int, max_ratio: float, length_penalty: LengthPenalty
    ) -> None:
        if beam_size < 1:
            raise UserError(f"search.beam_size={beam_size} must be above 0")
        if not 1 <= n_best <= beam_size:
            raise UserError(f"search.n_best={n_best} must be from 1 to search.beam_size={beam_size}")
        _check_limits(max_length, max_ratio)
        self.beam_size = beam_size
        self.n_best = n_best
        self.max_length = max_length
        self.max_ratio = max_ratio
        self.length_penalty = length_penalty

    @torch.no_grad()
    def __call__(
        self, model: Searchable, source: Tensor, source_mask: Tensor, source_lengths: Tensor, *, key: Key | None = None
    ) -> list[list[Hypothesis]]:
        """Return up to n_best hypotheses for each source, best first; ids (batch, source), right-padded.

        With a key no two of them have the same: of those that would, the best one stays.
        """
        batch, k, device = len(source), self.beam_size, source.device
        limits = length_limits(source_lengths, self.max_length, self.max_ratio)
        shortest, longest = (int(limit) for limit in limits.aminmax())
        # As many as may end before the last of a beam has ended: what is the same is not to leave a gap.
        room = k if self.n_best == 1 or key is None else 2 * k
        ended = Ended.empty(batch, k, longest, room=room, device=device)
        state = model.begin(source, source_mask, source_lengths)
        sentences = torch.arange(batch, device=device)  # which sentence each live row is
        tokens = torch.full((batch, 1, 1), BOS, device=device)  # (live, beam, so far)
        totals = torch.zeros(batch, 1, dtype=torch.float32, device=device)  # log-probabilities (live, beam)
        for t in range(longest):
            logits, state = model.step(tokens[..., -1], state)
            at_limit = limits[sentences] == t + 1
            must_end = at_limit if t + 1 >= shortest else None
            # Of 2k candidates at most k end here, so k can go on; no beam has more than 2k of the best 2k.
            best, following = next_log_probabilities(logits, must_end=must_end).topk(min(2 * k, logits.shape[-1]))
            candidates = (totals[..., None] + best).flatten(1)
            totals, chosen = candidates.topk(min(2 * k, candidates.shape[1]), dim=-1)
            parents, choices = chosen // best.shape[-1], following.flatten(1).gather(1, chosen)
            grown = torch.cat((_take(tokens, parents), choices[..., None]), dim=-1)
            ends = choices == EOS
            penalty = self.length_penalty(torch.full((), t + 1.0, dtype=torch.float32, device=device))
            ended.add(sentences, grown[:, :k, 1:], totals[:, :k].masked_fill(~ends[:, :k], -torch.inf), penalty)
            totals, kept = totals.masked_fill(ends, -torch.inf).topk(min(k, totals.shape[1]), dim=-1)
            state = state.reorder(parents.gather(1, kept))
            tokens = _take(grown, kept)
            live = (~(at_limit | ended.full(sentences))).nonzero().squeeze(1)
            if not len(live):
                break
            # Leaving out the finished copies the memory of all others: worth it when they are many.
            if len(live) <= 0.75 * len(sentences):
                sentences, tokens, totals, state = sentences[live], tokens[live], totals[live], state.select(live)
        return ended.best(self.n_best, key)


class Ended:
    """The best ended hypotheses of each sentence, kept on the device."""

    def __init__(self, tokens: Tensor, totals: Tensor, scores: Tensor, beam: int) -> None:
        self.tokens = tokens  # (batch, room, longest), ends in EOS and padding
        self.totals = totals  # (batch, room) log-probabilities
        self.scores = scores  # (batch, room), -inf where there is none yet
        self.beam = beam

    @classmethod
    def empty(cls, batch: int, beam: int, longest: int, *, room: int, device: torch.device) -> "Ended":
        """Return room for so many hypotheses a sentence, of which `beam` are enough."""
        nothing = torch.full((batch, room), -torch.inf, dtype=torch.float32, device=device)
        return cls(torch.full((batch, room, longest), PAD, device=device), nothing, nothing.clone(), beam)

    def full(self, sentences: Tensor) -> Tensor:
        """Return which of some sentences have as many ended hypotheses as beams, (n,) bool."""
        return self.scores[sentences, self.beam - 1] > -torch.inf

    def add(self, sentences: Tensor, tokens: Tensor, totals: Tensor, penalty: Tensor) -> None:
        """Keep the best of the present hypotheses and new ones (n, beam, so far); a total of -inf is none.

        A sentence that is full takes no more: it had ended.
        """
        totals = totals.masked_fill(self.full(sentences)[:, None], -torch.inf)
        tokens = torch.nn.functional.pad(tokens, (0, self.tokens.shape[-1] - tokens.shape[-1]), value=PAD)
        scores = torch.cat((self.scores[sentences], totals / penalty), dim=1)
        best, order = scores.topk(self.scores.shape[1], dim=-1)
        self.scores[sentences] = best
        self.totals[sentences] = torch.cat((self.totals[sentences], totals), dim=1).gather(1, order)
        self.tokens[sentences] = _take(torch.cat((self.tokens[sentences], tokens), dim=1), order)

    def best(self, n: int, key: Key | None = None) -> list[list[Hypothesis]]:
        """Return up to n hypotheses a sentence, best first; with a key only the best of those that have the same."""
        room = n if key is None or n == 1 else self.scores.shape[1]
        rows = zip(*(x[:, :room].tolist() for x in (self.tokens, self.scores, self.totals)), strict=True)
        return [_best_by_key(n, tuple if n == 1 or key is None else key, *row) for row in rows]


def _best_by_key(
    n: int, key: Key, tokens: list[list[int]], scores: list[float], totals: list[float]
) -> list[Hypothesis]:
    found: dict[Hashable, Hypothesis] = {}
    for ids, score, total in zip(tokens, scores, totals, strict=True):
        if len(found) == n or score == -torch.inf:
            break
        ids = ids[: ids.index(EOS)]
        found.setdefault(key(ids), Hypothesis(ids, score, total))
    return list(found.values())


def search_batch(
    search: GreedySearch | BeamSearch, model: Searchable, batch: Batch, *, key: Key | None = None
) -> list[list[Hypothesis]]:
    """Return what a search finds for each source of a batch; for an empty one, which is EOS alone, the empty text."""
    said = batch.source_lengths > 1
    if said.all():
        return search(model, batch.source, batch.source_mask, batch.source_lengths, key=key)
    found: list[list[Hypothesis]] = []
    if said.any():
        found = search(model, batch.source[said], batch.source_mask[said], batch.source_lengths[said], key=key)
    rest = iter(found)
    return [next(rest) if words else [Hypothesis([], 0.0, 0.0)] for words in said.tolist()]


def length_limits(source_lengths: Tensor, max_length: int, max_ratio: float) -> Tensor:
    """Return how many tokens, EOS counted, each translation may have, (batch,)."""
    return (source_lengths * max_ratio).ceil().long().add(SOURCE_ALLOWANCE).clamp(max=max_length)


def next_log_probabilities(logits: Tensor, *, must_end: Tensor | None = None) -> Tensor:
    """Return float32 log-probabilities (batch, beam, vocab) of the next token; only EOS where a sentence must end.

    None of `must_end` is known to be none without a look at the device, which waits for it.
    """
    log_probabilities = logits.float().log_softmax(-1)
    for token in NEVER:  # a list of them would be copied to the device
        log_probabilities[..., token] = -torch.inf
    if must_end is not None and must_end.any():  # seldom, and a pass over the whole vocabulary
        end = log_probabilities[..., EOS].clone()
        log_probabilities.masked_fill_(must_end[:, None, None], -torch.inf)[..., EOS] = end
    return log_probabilities


def _take(x: Tensor, beams: Tensor) -> Tensor:
    """Return x (batch, beam, length) at beams (batch, new)."""
    return x.gather(1, beams[..., None].expand(*beams.shape, x.shape[-1]))
