"""Minimum Bayes risk: of many candidates, the one that is most like all the others."""

import copy
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from seq2seq.decoding.search import Hypothesis, Key, Request, Search, Searchable
from seq2seq.decoding.utility import Utility, bleu_utility, chrf_utility
from seq2seq.errors import UserError

UTILITIES = ("chrf", "bleu")
WEIGHTS = ("uniform", "probability")


class Chosen(NamedTuple):
    """A candidate, and how alike the others are to it."""

    number: int  # of the candidate
    expected_utility: float  # 0-100


class MinimumBayesRisk:
    """The candidate h of largest expected utility Σ_r p(r) u(h, r) over all candidates r (Kumar & Byrne 2004).

    The score of a hypothesis is that expected utility. A text that was found several times, as samples are, counts as
    often.

    Args:
        candidates: the search that finds them: samples, or many of a beam.
        utility: `chrf` or `bleu`, of a sentence, as sacreBLEU computes them.
        tokenize: sacreBLEU's tokeniser, of BLEU alone; None: 13a.
        weights: p: `uniform`, as it is right for samples, whose number says what is likely (Eikema & Aziz 2020); or
            `probability`, that of the model among the candidates.
        n_best: how many hypotheses to return, best first.

    Raises:
        UserError: an option is out of range.
    """

    def __init__(self, *, candidates: Search, utility: str, tokenize: str | None, weights: str, n_best: int) -> None:
        for key, value, known in (("utility", utility, UTILITIES), ("weights", weights, WEIGHTS)):
            if value not in known:
                raise UserError(f"search.{key}={value} is not known; use {' or '.join(known)}")
        if n_best < 1:
            raise UserError(f"search.n_best={n_best} must be above 0")
        if utility == "chrf" and tokenize is not None:
            raise UserError(f"search.tokenize={tokenize} is for search.utility=bleu: chrF has none; leave it out")
        self.candidates = candidates
        self.utility = chrf_utility() if utility == "chrf" else bleu_utility(tokenize or "13a")
        self.weights = weights
        self.n_best = n_best
        self.max_length = candidates.max_length
        self.requires = getattr(candidates, "requires", False)  # whether words can be required of it

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
        """Return up to n_best hypotheses for each source, best first; arguments as those of the other searches.

        The key is what gives a hypothesis' text, which is what candidates are compared by.
        """
        assert key is not None
        # Without the key, so that a text which is found several times is there as often.
        found = self.candidates(model, source, source_mask, source_lengths, requests=requests)
        return [self._best(hypotheses, [str(key(h.tokens)) for h in hypotheses]) for hypotheses in found]

    def allowing_repeats(self) -> Self | None:
        """Return it with candidates of a search without `no_repeat_ngram`; None: theirs has none."""
        candidates = self.candidates.allowing_repeats()
        if candidates is None:
            return None
        found = copy.copy(self)
        found.candidates = candidates
        return found

    def _best(self, hypotheses: Sequence[Hypothesis], texts: Sequence[str]) -> list[Hypothesis]:
        if not hypotheses:  # nothing that is asked may be said
            return []
        weights = np.ones(len(texts))
        if self.weights == "probability":
            logs = np.array([hypothesis.log_probability for hypothesis in hypotheses])
            weights = np.exp(logs - logs.max())
        ranked = ranked_by_utility(texts, weights, self.utility)[: self.n_best]
        return [hypotheses[i]._replace(score=score) for i, score in ranked]


def ranked_by_utility(texts: Sequence[str], weights: NDArray[np.float64], utility: Utility) -> list[Chosen]:
    """Return the first of each different text, those of largest expected utility first, of equals the earlier.

    Args:
        texts: candidates, each of which stands for a possible reference, too.
        weights: of each as that, (texts,); they need no norm.
        utility: scores hypotheses against references.
    """
    place: dict[str, int] = {}
    which = np.array([place.setdefault(text, len(place)) for text in texts])
    share = np.bincount(which, weights / weights.sum())
    expected = utility(list(place), list(place)) @ share
    first = [int(np.argmax(which == i)) for i in range(len(place))]
    return [Chosen(first[i], float(expected[i])) for i in np.argsort(-expected, kind="stable")]
