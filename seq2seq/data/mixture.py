"""Several corpora as one, each with a share of the training pairs, and with a tag that stands before its sources."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeGuard
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from seq2seq.data.corpus import Corpus
from seq2seq.data.pair import Pair
from seq2seq.data.tags import tag_name
from seq2seq.errors import UserError

NAME = re.compile(r"[A-Za-z0-9_-]+")

LARGEST = 10**9
"""Weight that a corpus can have, and by its inverse the smallest: the sum of several is still a number."""


class Member(NamedTuple):
    """A corpus of a mixture."""

    corpus: Corpus
    weight: float | None  # its share of the training pairs is this over the sum of all; None: each pair comes once
    tag: str | None  # None: its sources have none


class MixtureCorpus(Corpus):
    """Corpora under names, which metrics by corpus bear too.

    An epoch has as many training pairs as there are. Without weights and temperature each pair comes once. Weights say
    how many come of a corpus for those of the others; a temperature T takes the size of each to the power of 1 / T.
    A corpus with more room than pairs begins anew, so that no pair comes twice as often as another of the same corpus.
    Streaming, pairs of all corpora come side by side by their weights, until each has been read once.

    Args:
        corpora: by name.
        temperature: 1 or above; null: weights, or each pair once.
        streaming: as of its corpora.
    """

    def __init__(
        self, *, corpora: Mapping[str, Member], temperature: float | None = None, streaming: bool = False
    ) -> None:
        check_mixture({name: (member.weight, member.tag) for name, member in corpora.items()}, temperature, streaming)
        self.corpora = dict(corpora)
        self.temperature = temperature
        self._tag_of = {name: tag_name(member.tag) if member.tag else "" for name, member in corpora.items()}
        self.tags = tuple(dict.fromkeys(filter(None, self._tag_of.values())))
        self.tokenized = all(member.corpus.tokenized for member in corpora.values())
        for name, member in corpora.items():
            member.corpus.key = f"data.corpora.{name}"
            if isinstance(member.corpus, MixtureCorpus):
                raise UserError(f"data.corpora.{name} is a mixture itself; name its corpora beside the others")
            if member.corpus.streaming != streaming:
                raise UserError(
                    f"data.corpora.{name}.streaming={str(member.corpus.streaming).lower()}: a mixture reads all its "
                    f"corpora in one way; say data.streaming={str(not streaming).lower()}, or leave it out there"
                )
            if "train" not in member.corpus.splits():
                raise UserError(f"data.corpora.{name} has no training pairs; give data.corpora.{name}.train")
        splits = [split for member in corpora.values() for split in member.corpus.splits()]
        super().__init__(dict.fromkeys(splits), streaming=streaming)

    def _having(self, split: str) -> dict[str, Corpus]:
        return {name: m.corpus for name, m in self.corpora.items() if split in m.corpus.splits()}

    def _pairs(self, split: str) -> Iterator[Pair]:
        if split == "train" and self.streaming:
            yield from self._side_by_side()
            return
        for name in self._having(split):
            yield from self._marked(name, split)

    def _marked(self, name: str, split: str) -> Iterator[Pair]:
        for pair in self.corpora[name].corpus.pairs(split):
            yield pair._replace(corpus=name, tag=self._tag_of[name])

    def _side_by_side(self) -> Iterator[Pair]:
        """Pairs of all corpora, at every moment in the proportion of their weights; what has ended begins anew."""
        weights = {name: member.weight or 1.0 for name, member in self.corpora.items()}
        total = sum(weights.values())
        streams = {name: self._marked(name, "train") for name in weights}
        due = dict.fromkeys(weights, 0.0)
        unread = set(weights)
        while True:
            for name, weight in weights.items():
                due[name] += weight / total
            chosen = max(due, key=lambda name: due[name])
            due[chosen] -= 1
            pair = next(streams[chosen], None)
            if pair is None:
                unread.discard(chosen)
                if not unread:
                    return
                streams[chosen] = self._marked(chosen, "train")
                pair = next(streams[chosen])
            yield pair

    def _fingerprint(self, split: str) -> str:
        if split == "train":
            self._check_not_empty()
        found = {name: (corpus.fingerprint(split), self._tag_of[name]) for name, corpus in self._having(split).items()}
        # A stream's order depends on them; what is stored does not.
        weights = [member.weight for member in self.corpora.values()] if self.streaming and split == "train" else []
        return f"{found} {weights}"

    def _check_not_empty(self) -> None:
        for split in ("train", "val"):
            for name, corpus in self._having(split).items():
                if next(iter(corpus.pairs(split)), None) is None:
                    raise UserError(f"data.corpora.{name} is empty: its {split} split has no pair; leave it out")

    def drawn(self, names: NDArray, *, seed: int, epoch: int) -> NDArray[np.int64] | None:
        """Which rows an epoch has, some of them maybe several times; None: each once.

        Row by row they are those of a corpus in a random order, and after the last of them all of them in another one:
        an epoch goes on where the one before has ended. It follows from seed, epoch and the rows alone.

        Args:
            names: of the corpus of each training row, as numbers in the order of `corpora`.
            seed: of the training.
            epoch: counted from 0.
        """
        sizes = np.bincount(names, minlength=len(self.corpora))
        for name, size in zip(self.corpora, sizes, strict=True):
            if not size:
                raise UserError(
                    f"data.corpora.{name}: the filters leave no train pair; raise loader.max_length or "
                    "loader.max_ratio, or give pairs with words on both sides"
                )
        shares = self._shares(sizes)
        if shares is None:
            return None
        parts = []
        for number, (name, count) in enumerate(zip(self.corpora, _counts(shares, len(names)), strict=True)):
            rows = np.flatnonzero(names == number)
            begin, end = epoch * int(count), (epoch + 1) * int(count)
            for lap in range(begin // len(rows), (end - 1) // len(rows) + 1):
                rng = np.random.default_rng((seed, crc32(name.encode()), lap))
                before = lap * len(rows)
                parts.append(rows[rng.permutation(len(rows))[max(begin - before, 0) : end - before]])
        return np.concatenate(parts)

    def _shares(self, sizes: NDArray) -> NDArray | None:
        if self.temperature is not None:
            shares = sizes.astype(float) ** (1 / self.temperature)
        elif all(member.weight is not None for member in self.corpora.values()):
            shares = np.array([member.weight for member in self.corpora.values()], dtype=float)
        else:
            return None
        return shares / shares.sum()


def _counts(shares: NDArray, total: int) -> NDArray[np.int64]:
    """Whole numbers in the proportion of shares, at least 1 each; their sum is the total, but for those."""
    bounds = np.rint(np.concatenate(([0.0], np.cumsum(shares))) * total).astype(np.int64)
    return np.maximum(np.diff(bounds), 1)


def check_name(name: str) -> None:
    """Refuse what a corpus cannot be called."""
    if not NAME.fullmatch(name):
        raise UserError(f"data.corpora.{name}: call a corpus by letters of English, digits, - and _")


def check_mixture(
    corpora: Mapping[str, tuple[object, object]], temperature: object = None, streaming: bool = False
) -> None:
    """Refuse names, weights, tags and a temperature that cannot be, without a look at any corpus.

    Args:
        corpora: weight and tag of each, by name.
        temperature: of the mixture.
        streaming: whether it is a stream.
    """
    if not corpora:
        raise UserError("data.corpora is empty: name at least one, such as data.corpora.news=text")
    for name, (weight, tag) in corpora.items():
        check_name(name)
        if weight is not None and not (_is_number(weight) and 1 / LARGEST <= weight <= LARGEST):
            raise UserError(
                f"data.corpora.{name}.weight={weight} must be a number above 0, such as 1, and at most {LARGEST:,}"
            )
        if tag is not None:
            try:
                tag_name(tag)
            except UserError as error:
                raise UserError(f"data.corpora.{name}: {error}") from None
    weighted = [name for name, (weight, _) in corpora.items() if weight is not None]
    without = [name for name in corpora if name not in weighted]
    if temperature is not None:
        if not (_is_number(temperature) and 1 <= temperature < float("inf")):
            raise UserError(f"data.temperature={temperature} must be 1 (each pair once) or above, such as 5")
        if weighted:
            raise UserError(f"data.corpora.{weighted[0]}.weight and data.temperature: say one of them")
        if streaming:
            raise UserError(
                "data.temperature needs to know how many pairs there are, which nobody does of a stream; "
                f"give weights: data.corpora.{without[0]}.weight=1"
            )
    elif without and (weighted or streaming):
        why = "others have one" if weighted else "nobody knows how many pairs a stream has"
        raise UserError(f"data.corpora.{without[0]} has no weight, and {why}; say data.corpora.{without[0]}.weight=1")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
