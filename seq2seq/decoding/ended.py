"""The hypotheses of a beam search that have ended, kept on the device."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from seq2seq.data.tokenizer import EOS, PAD
from seq2seq.decoding.interface import Hypothesis, Key, take


class Ended:
    """The best ended hypotheses of each sentence, kept on the device."""

    def __init__(self, tokens: Tensor, totals: Tensor, scores: Tensor, beam: int, *, waits: Tensor | None) -> None:
        self.tokens = tokens  # (batch, room, longest), ends in EOS and padding
        self.totals = totals  # (batch, room) log-probabilities
        self.scores = scores  # (batch, room), -inf where there is none yet
        self.beam = beam
        self.waits = waits  # (batch,) which sentences wait for better ones although they have enough; None: none ever

    @classmethod
    def empty(
        cls, batch: int, beam: int, longest: int, *, room: int, device: torch.device, patient: Sequence[int] = ()
    ) -> "Ended":
        """Return room for so many hypotheses a sentence, of which `beam` are enough.

        Sentences that are patient wait for better ones until `settle` finds that none can come.
        """
        nothing = torch.full((batch, room), -torch.inf, dtype=torch.float32, device=device)
        waits = None
        if patient:
            waits = torch.zeros(batch, dtype=torch.bool, device=device)
            waits[torch.tensor(patient, device=device)] = True
        tokens = torch.full((batch, room, longest), PAD, device=device)
        return cls(tokens, nothing, nothing.clone(), beam, waits=waits)

    def full(self, sentences: Tensor) -> Tensor:
        """Return which of some sentences have as many ended hypotheses as beams, and wait for no better, (n,) bool."""
        enough = self.scores[sentences, self.beam - 1] > -torch.inf
        return enough if self.waits is None else enough & ~self.waits[sentences]

    def settle(self, sentences: Tensor, best: Tensor) -> None:
        """Let patient sentences wait no more where nothing better goes on than the worst of enough ended ones.

        Args:
            sentences: (n,).
            best: the score of the best hypothesis that goes on, as if it ended now, (n,).
        """
        if self.waits is not None:
            worst = self.scores[sentences, self.beam - 1]
            self.waits[sentences] &= (worst == -torch.inf) | (best > worst)

    def add(self, sentences: Tensor, tokens: Tensor, totals: Tensor, scores: Tensor) -> None:
        """Keep the best of the present hypotheses and new ones, tokens (n, new, so far); a score of -inf is none.

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
