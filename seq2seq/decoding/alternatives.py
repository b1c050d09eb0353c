"""What might come next: the likeliest words or pieces at a place of a translation, and how each would go on.

The probability of a word is that of its pieces and of a word's end after them, summed over the ways to spell it that
the search saw, given that the translation begins with the prefix.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.data.batching import Batch, collate
from seq2seq.data.tokenizer import BOS, EOS, UNK, Tokenizers
from seq2seq.decoding.interface import Request, Search, Searchable, next_log_probabilities
from seq2seq.decoding.prefix import BLANK, IMPOSSIBLE, Prefix, prefix_of
from seq2seq.decoding.rules import only
from seq2seq.decoding.search import search_batch
from seq2seq.decoding.vocabulary import SPACE, Vocabulary
from seq2seq.errors import UserError

MOST = 200
"""Alternatives that may be wanted."""

WIDTH = 4
"""Beginnings of words that are followed at once, for each alternative that is wanted."""


class Alternative(NamedTuple):
    """What may come next."""

    text: str  # the word, or the pieces with `▁` for a space; empty where the translation may end here
    probability: float  # that it comes next
    translation: str  # the best that begins with the prefix and this


class Unit(NamedTuple):
    """A next word or piece, before it is text."""

    ids: list[int]  # of the likeliest way to spell it; EOS for the end
    probability: float  # of all ways together


def find_alternatives(
    model: Searchable,
    tokenizers: Tokenizers,
    source: Sequence[int],
    prefix: str,
    *,
    search: Search,
    n: int,
    unit: str,
    device: torch.device,
) -> list[Alternative]:
    """Return the n likeliest next words or pieces after a prefix, the likeliest first.

    Args:
        model: what is asked.
        tokenizers: of the model.
        source: ids.
        prefix: what the translation begins with; its last word may be half a word, as in `prefix_of`.
        search: how the continuations are found.
        n: how many.
        unit: `words` or `pieces`.
        device: of the model.

    Raises:
        UserError: the prefix cannot be said or is too long; n or unit is none.
    """
    if n < 1:
        raise UserError(f"n={n} must be above 0")
    if unit not in ("words", "pieces"):
        raise UserError(f"unit={unit} is not known; use words or pieces")
    vocabulary, decode = Vocabulary.of(tokenizers.target), tokenizers.target.decode
    given = prefix_of(prefix, tokenizers.target, vocabulary, max_length=search.max_length, where="prefix")
    given = given or Prefix(tokenizers.target.first, "", vocabulary)
    batch = collate([(list(source), [], 0)]).to(device)
    words = unit == "words"
    found = _next_units(model, batch, given, vocabulary, n=n, words=words, most=search.max_length - given.least - 1)
    going_on = [Prefix([*given.ids, *one.ids], "", vocabulary, closed=words) for one in found if one.ids != [EOS]]
    translations: list[str] = []
    if going_on:
        copies = collate([(list(source), [], i) for i in range(len(going_on))]).to(device)
        requests = [Request(prefix=one) for one in going_on]
        best = search_batch(search, model, copies, key=decode, requests=requests)
        translations = [decode(hypotheses[0].tokens) for hypotheses in best]
    rest = iter(translations)
    alternatives = []
    for one in found:
        if one.ids == [EOS]:
            alternatives.append(Alternative("", one.probability, decode(given.ids)))
        else:
            text = decode(one.ids).strip(BLANK) if words else vocabulary.spell(one.ids)
            alternatives.append(Alternative(text, one.probability, next(rest)))
    return alternatives


@torch.no_grad()
def _next_units(
    model: Searchable, batch: Batch, given: Prefix, vocabulary: Vocabulary, *, n: int, words: bool, most: int
) -> list[Unit]:
    """Return the n likeliest units after a prefix, the likeliest first: a beam search over the pieces of one unit."""
    device, width, open = batch.source.device, WIDTH * n, len(given.open)
    state = model.begin(batch.source, batch.source_mask, batch.source_lengths)
    for token in (BOS, *given.ids):
        logits, state = model.step(torch.tensor([[token]], device=device), state)
    begins = torch.tensor(vocabulary.word_begins, device=device)
    found = _Found()
    beams: list[tuple[float, list[int]]] = [(0.0, [])]  # log-probability after the prefix, and ids
    for _ in range(max(most, 1)):
        going_on: list[tuple[float, int, int]] = []  # log-probability, beam, next id
        for beam, (before, ids) in enumerate(beams):
            row = before + next_log_probabilities(logits)[0, beam]
            spelled = vocabulary.spell(ids)
            allowed = given.allowed([*given.ids, *ids], room=IMPOSSIBLE)
            if allowed is not None:
                only(row, allowed)
            if len(spelled) < open:
                meets = [i for i in allowed or () if len(spelled) + len(vocabulary.spellings[i]) >= open]
                found.met(row[meets])
            elif not ids:
                found.met(row)
            if words and ids and len(spelled) >= open:
                if spelled.strip(SPACE):
                    found.add(spelled, ids, float(row[begins].logsumexp(0)), way=before)
                row[begins] = -torch.inf
            elif len(spelled) >= open:
                found.add("", [EOS], float(row[EOS]))
                row[EOS] = -torch.inf
            if len(spelled) >= open:
                row[UNK] = -torch.inf  # says nothing, but where the prefix itself says ⁇
            best, tokens = row.topk(min(width, len(row)))
            for log_probability, token in zip(best.tolist(), tokens.tolist(), strict=True):
                longer = spelled + vocabulary.spellings[token]
                if log_probability > -math.inf and not words and len(longer) > open:
                    found.add(longer, [*ids, token], log_probability)
                elif log_probability > -math.inf:
                    going_on.append((log_probability, beam, token))
        going_on = sorted(going_on, reverse=True)[:width]
        if not going_on or going_on[0][0] <= found.least_of(n):
            break
        parents = torch.tensor([[beam for _, beam, _ in going_on]], device=device)
        beams = [(log_probability, [*beams[beam][1], token]) for log_probability, beam, token in going_on]
        tokens = torch.tensor([[token for *_, token in going_on]], device=device)
        logits, state = model.step(tokens, state.reorder(parents))
    return [one for one in found.best(n) if one.ids == [EOS] or len(one.ids) <= most]


class _Found:
    """Units by their spelling: log-probabilities of all ways to spell each, and the likeliest way."""

    def __init__(self) -> None:
        self.masses: dict[str, float] = {}
        self.ways: dict[str, tuple[float, list[int]]] = {}
        self.total = -math.inf  # log-probability of the prefix after its whole words

    def met(self, log_probabilities: Tensor) -> None:
        """Count ways to say the prefix."""
        self.total = float(torch.logaddexp(torch.tensor(self.total), log_probabilities.float().logsumexp(0).cpu()))

    def add(self, spelled: str, ids: list[int], log_probability: float, *, way: float | None = None) -> None:
        """Count a way to spell a unit; `way` is by what ways are compared, where that is something else."""
        if log_probability == -math.inf:
            return
        way = log_probability if way is None else way
        before = self.masses.get(spelled, -math.inf)
        self.masses[spelled] = float(torch.logaddexp(torch.tensor(before), torch.tensor(log_probability)))
        self.ways[spelled] = max(self.ways.get(spelled, (-math.inf, [])), (way, ids))

    def least_of(self, n: int) -> float:
        """Return the log-probability of the n-th unit; -inf where there are fewer."""
        return sorted(self.masses.values(), reverse=True)[n - 1] if len(self.masses) >= n else -math.inf

    def best(self, n: int) -> list[Unit]:
        """Return the n likeliest units, the likeliest first."""
        order = sorted(self.masses, key=lambda spelled: -self.masses[spelled])[:n]
        return [Unit(self.ways[spelled][1], math.exp(self.masses[spelled] - self.total)) for spelled in order]
