"""What is done for many requests at once; tasks that are equal share one call of the model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from seq2seq.alignment.links import Link
from seq2seq.alignment.sentence import Sentence, hypothesis_of, readable
from seq2seq.attribution import Method
from seq2seq.data.batching import collate
from seq2seq.decoding.alternatives import Alternative, find_alternatives
from seq2seq.decoding.interface import Request
from seq2seq.decoding.scoring import PairScore
from seq2seq.decoding.search import search_batch
from seq2seq.decoding.translator import Translation, Translator
from seq2seq.errors import UserError
from seq2seq.pages.targets import Look, methods_for, targets_of
from seq2seq.pages.visualize import page_data
from seq2seq.serving.models import Served
from seq2seq.serving.searches import Search


@lru_cache(maxsize=64)
def made_methods(served: Served, name: str) -> list[Method]:
    """Return the method of a name; none where the model cannot have it."""
    try:
        return methods_for(served.network, [name])
    except UserError:
        return []


class Line(NamedTuple):
    """A text to translate, with its length."""

    text: str
    pieces: int  # the end counted
    request: Request  # what its translation must begin with, say, and not say


class Beginning(NamedTuple):
    """A source, and what its translation begins with."""

    source: Sentence
    prefix: str


class Pair(NamedTuple):
    """A source, and what the model is to say; None: what search finds."""

    source: Sentence
    target: Sentence | None


@dataclass(frozen=True)
class Translate:
    """Lines to their translations, best first."""

    served: Served
    search: Search
    by_engine: bool = False

    def __call__(self, lines: Sequence[Line], /) -> list[list[Translation]]:
        """Return the translations of each line."""
        model, texts = self.served.model, [line.text for line in lines]
        if self.by_engine:
            assert self.served.engine is not None
            return self.served.engine.translate(texts, beam_size=self.search.beam_size, n_best=self.search.n_best)
        # A call is a single batch; the translator shares it out among searches side by side.
        tokens = len(lines) * max(line.pieces for line in lines)
        length = self.served.max_length
        translator = Translator(model.network, model.tokenizers, tokens_per_batch=tokens, max_length=length)
        requests = [line.request for line in lines]
        return list(translator.translate(texts, self.search(), requests=requests, strict=True))


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
    readings: bool  # whether cross-attention is read in every way
    methods: tuple[str, ...]  # beside attention

    def __call__(self, pairs: Sequence[Pair], /) -> list[bytes]:
        """Return what `page_data` returns of each, as JSON: to write it takes long, and here nobody else waits."""
        model, network = self.served.model, self.served.network
        alignment = model.checkpoint.alignment
        methods = [method for name in self.methods for method in made_methods(self.served, name)]
        said = self._said(pairs)
        targets = targets_of(
            network, model.tokenizers, [look for looks in said for look in looks],
            reading=alignment.reading if alignment else None, other_readings=self.readings, methods=methods,
        )  # fmt: skip
        rest = iter(targets)
        shares = [[next(rest) for _ in looks] for looks in said]
        return [
            _json(page_data(pair.source, share, alignment, model.checkpoint.path))
            for pair, share in zip(pairs, shares, strict=True)
        ]

    def _said(self, pairs: Sequence[Pair]) -> list[list[Look]]:
        """Return for each what to look at."""
        tokenizer = self.served.model.tokenizers.target
        free = [i for i, pair in enumerate(pairs) if pair.target is None]
        said = [[Look(pair.source, "forced", pair.target, None)] if pair.target else [] for pair in pairs]
        if free:
            device = next(self.served.network.parameters()).device
            batch = collate([(pairs[i].source.ids, [], i) for i in free]).to(device)
            requests = [Request(1)] * len(free)  # each is the first line of its own text
            results = search_batch(self.search(), self.served.network, batch, key=tokenizer.decode, requests=requests)
            for i, found in zip(free, results, strict=True):
                sentences = [readable(hypothesis_of(tokenizer, hypothesis.tokens)) for hypothesis in found]
                said[i] = [
                    Look(pairs[i].source, f"hypothesis-{number}", sentence, hypothesis.score)
                    for number, (sentence, hypothesis) in enumerate(zip(sentences, found, strict=True), 1)
                ]
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
        device = next(model.network.parameters()).device
        return [
            find_alternatives(
                model.network, model.tokenizers, source.ids, prefix,
                search=self.search(), n=self.n, unit="words", device=device,
            )
            for source, prefix in beginnings
        ]  # fmt: skip


def _json(data: dict[str, Any]) -> bytes:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
