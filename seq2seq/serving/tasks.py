"""What is done for many requests at once; tasks that are equal share one call of the model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from seq2seq.alignment.links import Link
from seq2seq.alignment.sentence import Sentence, hypothesis_of, readable
from seq2seq.api import search_of
from seq2seq.data.batching import collate
from seq2seq.decoding.alternatives import Alternative, find_alternatives
from seq2seq.decoding.interface import Search as AnySearch
from seq2seq.decoding.scoring import PairScore
from seq2seq.decoding.search import search_batch
from seq2seq.decoding.translator import Translation, Translator
from seq2seq.evaluation.inspection import inspect_pairs
from seq2seq.pages.visualize import Target, page_data
from seq2seq.serving.models import Served

made = lru_cache(maxsize=64)(search_of)
"""`search_of`, once a choice: to compose one takes longer than to search."""


class Line(NamedTuple):
    """A text with its length."""

    text: str
    pieces: int  # the end counted


class Beginning(NamedTuple):
    """A source, and what its translation begins with."""

    source: Sentence
    prefix: str


class Look(NamedTuple):
    """A source, and what the model is to say; None: what search finds."""

    source: Sentence
    target: Sentence | None


@dataclass(frozen=True)
class Search:
    """How translations are found."""

    name: str
    beam_size: int
    n_best: int

    def __call__(self) -> AnySearch:
        """Return the search."""
        options = {} if self.name == "greedy" else {"beam_size": self.beam_size, "n_best": self.n_best}
        return made(self.name, **options)


@dataclass(frozen=True)
class Translate:
    """Lines to their translations, best first."""

    served: Served
    search: Search

    def __call__(self, lines: Sequence[Line], /) -> list[list[Translation]]:
        """Return the translations of each line."""
        model, texts = self.served.model, [line.text for line in lines]
        if self.served.engine is not None:
            beam_size, n_best = (1, 1) if self.search.name == "greedy" else (self.search.beam_size, self.search.n_best)
            return self.served.engine.translate(texts, beam_size=beam_size, n_best=n_best)
        # A call is a single batch; the translator shares it out among searches side by side.
        tokens = len(lines) * max(line.pieces for line in lines)
        length = model.checkpoint.max_length
        translator = Translator(model.network, model.tokenizers, tokens_per_batch=tokens, max_length=length)
        return list(translator.translate(texts, self.search()))


@dataclass(frozen=True)
class Align:
    """Pairs to their word links."""

    served: Served

    def __call__(self, pairs: Sequence[tuple[str, str]], /) -> list[set[Link]]:
        """Return the links of each pair."""
        return self.served.model.align(pairs)


@dataclass(frozen=True)
class Score:
    """Pairs to how likely the model finds their targets."""

    served: Served

    def __call__(self, pairs: Sequence[tuple[str, str]], /) -> list[PairScore]:
        """Return the score of each pair."""
        return self.served.model.score(pairs)


@dataclass(frozen=True)
class Attend:
    """Sentences to all attention over them, as the page draws it."""

    served: Served
    search: Search

    def __call__(self, looks: Sequence[Look], /) -> list[bytes]:
        """Return what `page_data` returns of each, as JSON: to write it takes long, and here nobody else waits."""
        model, alignment = self.served.model, self.served.model.checkpoint.alignment
        said = self._said(looks)
        pairs = [(look.source, sentence) for look, found in zip(looks, said, strict=True) for sentence, _ in found]
        maps = iter(inspect_pairs(self.served.network, pairs, reading=alignment.reading if alignment else None))
        answers = []
        for look, found in zip(looks, said, strict=True):
            names = (
                [f"hypothesis-{number}" for number in range(1, len(found) + 1)] if look.target is None else ["forced"]
            )
            targets = [Target(name, *one, next(maps)) for name, one in zip(names, found, strict=True)]
            data = page_data(look.source, targets, alignment, model.checkpoint.path)
            answers.append(_json(data))
        return answers

    def _said(self, looks: Sequence[Look]) -> list[list[tuple[Sentence, float | None]]]:
        """Return for each the sentences to look at, with the scores of search."""
        model = self.served.model
        free = [i for i, look in enumerate(looks) if look.target is None]
        said: list[list[tuple[Sentence, float | None]]] = [
            [(look.target, None)] if look.target else [] for look in looks
        ]
        if free:
            device = next(self.served.network.parameters()).device
            batch = collate([(looks[i].source.ids, [], i) for i in free]).to(device)
            tokenizer = model.tokenizers.target
            for i, found in zip(
                free, search_batch(self.search(), self.served.network, batch, key=tokenizer.decode), strict=True
            ):
                said[i] = [(readable(hypothesis_of(tokenizer, h.tokens)), h.score) for h in found]
        return said


@dataclass(frozen=True)
class Alternatives:
    """Beginnings of translations to the words that might come next."""

    served: Served
    search: Search
    n: int

    def __call__(self, beginnings: Sequence[Beginning], /) -> list[list[Alternative]]:
        """Return the n likeliest words after each, one beginning after the other: each is a small batch by itself."""
        model = self.served.model
        device = next(self.served.network.parameters()).device
        return [
            find_alternatives(
                self.served.network, model.tokenizers, source.ids, prefix,
                search=self.search(), n=self.n, unit="words", device=device,
            )
            for source, prefix in beginnings
        ]  # fmt: skip


def _json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
