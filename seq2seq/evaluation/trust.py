"""Which ranking of source words to trust: faithfulness over a data set, beside chance, and beside gold links."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seq2seq.alignment.links import Link, Links
from seq2seq.alignment.sentence import Sentence
from seq2seq.attribution.faithfulness import faithfulness
from seq2seq.attribution.forced import Forced
from seq2seq.models import EncoderDecoder

SAMPLES = 1000
"""Of the bootstrap over sentences."""

RANDOM = "random order"

Ranking = Callable[[Forced], Tensor]
"""Importance (steps, source units) of each source word for each step."""


class Pair(NamedTuple):
    """A sentence pair of a data set."""

    source: Sentence
    target: Sentence
    gold: Links | None
    tags: str  # names of phenomena, with blanks between
    antecedents: frozenset[Link] = frozenset()  # from the noun that a pronoun stands for to the pronoun's translation


class Mean(NamedTuple):
    """A mean over sentences, and its interval of 95 % by the bootstrap."""

    mean: float
    low: float
    high: float


@dataclass
class Trust:
    """What a ranking is worth."""

    comprehensiveness: Mean  # nats
    sufficiency: Mean  # nats
    hit_rate: float | None  # of target words with sure links, the share whose first source word is linked; 0-1
    hits_by_tag: dict[str, float]
    antecedent_rate: float | None  # of pronouns, the share whose antecedent is first but for the words they translate
    seconds: float  # a sentence, to rank

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        means = {name: getattr(self, name)._asdict() for name in ("comprehensiveness", "sufficiency")}
        hits = {name: getattr(self, name) for name in ("hit_rate", "hits_by_tag", "antecedent_rate")}
        return means | hits | {"seconds": self.seconds}


@dataclass
class _Sums:
    comprehensiveness: list[float] = field(default_factory=list)
    sufficiency: list[float] = field(default_factory=list)
    hits: list[tuple[str, int, int]] = field(default_factory=list)  # tags, hits, words
    antecedents: list[bool] = field(default_factory=list)  # a pronoun: whether its antecedent is first
    seconds: float = 0.0


@torch.inference_mode(False)  # in which a caller may be, and where there is no gradient
def measure_trust(
    model: EncoderDecoder,
    pairs: Iterable[Pair],
    rankings: Mapping[str, Ranking],
    *,
    tokens_per_batch: int = 8192,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Trust]:
    """Return what each ranking, and a random order, is worth over pairs whose targets are forced.

    Args:
        model: in evaluation mode, on its device.
        pairs: sentences that have pieces on both sides.
        rankings: by name.
        tokens_per_batch: tokens of both sides that are computed at once.
        progress: is told how many pairs are done.
    """
    sums: dict[str, _Sums] = {name: _Sums() for name in [*rankings, RANDOM]}
    for number, pair in enumerate(pairs):
        forced = Forced(
            model,
            pair.source.ids,
            pair.target.ids,
            source_units=pair.source.ending().word_of_piece,
            prefix_units=pair.target.beginning().word_of_piece,
            tokens_per_batch=tokens_per_batch,
        )
        generator = torch.Generator().manual_seed(number)
        chance = torch.rand(forced.steps, int(forced.source_units.max()) + 1, generator=generator)
        for name, kept in sums.items():
            begin = time.perf_counter()
            ranking = rankings.get(name)
            importance = chance.to(forced.source) if ranking is None else ranking(forced)
            kept.seconds += time.perf_counter() - begin
            found = faithfulness(forced, importance)
            kept.comprehensiveness.append(found.comprehensiveness.mean().item())
            kept.sufficiency.append(found.sufficiency.mean().item())
            if pair.gold is not None:
                words = _by_word(importance, pair.target)
                kept.hits.append((pair.tags, *_hits(words, pair.target, pair.gold)))
                kept.antecedents += _antecedents_first(words, pair.gold, pair.antecedents)
        progress(number + 1)
    return {name: _trust(kept) for name, kept in sums.items()}


def _by_word(importance: Tensor, target: Sentence) -> Tensor:
    """Return importance (target words, source units): a word of several pieces has the sum of their rows."""
    rows = importance.cpu()[: len(target.ids)]
    index = torch.tensor(target.linked_words()[:-1])  # what belongs to no word counts beyond them all
    return rows.new_zeros(len(target.words) + 1, rows.shape[1]).index_add(0, index, rows)[:-1]


def _antecedents_first(words: Tensor, gold: Links, antecedents: frozenset[Link]) -> list[bool]:
    """Return of each pronoun whether its antecedent ranks first among the words that it does not translate."""
    found = []
    for pronoun in sorted({target for _, target in antecedents}):
        others = words[pronoun].clone()
        others[[source for source, target in gold.sure | gold.possible if target == pronoun]] = -torch.inf
        found.append((int(others.argmax()), pronoun) in antecedents)
    return found


def _hits(words: Tensor, target: Sentence, gold: Links) -> tuple[int, int]:
    """Return for how many target words with sure links the word that ranks first is linked, and how many there are."""
    linked = defaultdict(set)
    for source, word in gold.sure:
        linked[word].add(source)
    asked = [word for word in sorted(linked) if word in set(target.word_of_piece)]
    first = words.argmax(-1).tolist()
    either = {word: linked[word] | {s for s, t in gold.possible if t == word} for word in asked}
    return sum(first[word] in either[word] for word in asked), len(asked)


def _trust(kept: _Sums) -> Trust:
    words = sum(count for _, _, count in kept.hits)
    by_tag: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for tags, hits, count in kept.hits:
        for tag in tags.split():
            by_tag[tag][0] += hits
            by_tag[tag][1] += count
    return Trust(
        bootstrap_mean(kept.comprehensiveness),
        bootstrap_mean(kept.sufficiency),
        sum(hits for _, hits, _ in kept.hits) / words if words else None,
        {tag: hits / count for tag, (hits, count) in sorted(by_tag.items()) if count},
        sum(kept.antecedents) / len(kept.antecedents) if kept.antecedents else None,
        kept.seconds / max(1, len(kept.comprehensiveness)),
    )


def bootstrap_mean(values: list[float]) -> Mean:
    """Return the mean over sentences with its bootstrap interval, the same for the same values."""
    found = np.asarray(values)
    samples = np.random.default_rng(1).integers(len(found), size=(SAMPLES, len(found)))
    low, high = np.quantile(found[samples].mean(1), (0.025, 0.975))
    return Mean(float(found.mean()), float(low), float(high))
