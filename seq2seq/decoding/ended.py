"""The hypotheses of a beam search that have ended, kept on the device."""

from collections.abc import Hashable

import torch
from torch import Tensor

from seq2seq.data.tokenizer import EOS, PAD
from seq2seq.decoding.interface import Hypothesis, Key, take


class Ended:
    """The best ended hypotheses of each sentence, kept on the device."""

    def __init__(self, tokens: Tensor, totals: Tensor, scores: Tensor, beam: int, beaten: Tensor | None = None) -> None:
        self.tokens = tokens  # (batch, room, longest), ends in EOS and padding
        self.totals = totals  # (batch, room) log-probabilities
        self.scores = scores  # (batch, room), -inf where there is none yet
        self.beam = beam
        self.beaten = beaten  # (batch,) whether what goes on scores no better; None: that is not asked

    @classmethod
    def empty(
        cls, batch: int, beam: int, longest: int, *, room: int, device: torch.device, patient: bool = False
    ) -> "Ended":
        """Return room for so many hypotheses a sentence, of which `beam` are enough; patient: once `settle` says so."""
        nothing = torch.full((batch, room), -torch.inf, dtype=torch.float32, device=device)
        beaten = torch.zeros(batch, dtype=torch.bool, device=device) if patient else None
        return cls(torch.full((batch, room, longest), PAD, device=device), nothing, nothing.clone(), beam, beaten)

    def full(self, sentences: Tensor) -> Tensor:
        """Return which of some sentences have as many ended hypotheses as beams, (n,) bool, and await no better one."""
        enough = self.scores[sentences, self.beam - 1] > -torch.inf
        return enough if self.beaten is None else enough & self.beaten[sentences]

    def settle(self, sentences: Tensor, best: Tensor) -> None:
        """Let a patient search end where the best that goes on scores (n,) no better than the worst of enough ended."""
        assert self.beaten is not None
        worst = self.scores[sentences, self.beam - 1]
        self.beaten[sentences] |= (worst > -torch.inf) & (best <= worst)

    def add(self, sentences: Tensor, tokens: Tensor, totals: Tensor, scores: Tensor) -> None:
        """Keep the best of the present hypotheses and new ones (n, beam, so far); a score of -inf is none.

        A sentence that is full takes no more: it had ended.
        """
        scores = scores.masked_fill(self.full(sentences)[:, None], -torch.inf)
        tokens = torch.nn.functional.pad(tokens, (0, self.tokens.shape[-1] - tokens.shape[-1]), value=PAD)
        scores = torch.cat((self.scores[sentences], scores), dim=1)
        best, order = scores.topk(self.scores.shape[1], dim=-1)
        self.scores[sentences] = best
        self.totals[sentences] = torch.cat((self.totals[sentences], totals), dim=1).gather(1, order)
        self.tokens[sentences] = take(torch.cat((self.tokens[sentences], tokens), dim=1), order)

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
