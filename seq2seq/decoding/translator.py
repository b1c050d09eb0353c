"""Text in, text out: translation in the order of the lines, and word links by forced decoding."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import compress, islice, repeat
from typing import NamedTuple, TypeVar

import torch

from seq2seq.alignment.links import Link
from seq2seq.alignment.sentence import EOS_LABEL, Sentence, hypothesis_of, readable, sentence_of
from seq2seq.alignment.words import LinkExtraction, link_pairs, word_shares
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.data.batching import Batch, TokenBudgetSampler, collate
from seq2seq.data.tokenizer import Tokenizer, Tokenizers, marked
from seq2seq.decoding.ensemble import Ensemble
from seq2seq.decoding.scoring import PairScore, forced_log_probabilities, given
from seq2seq.decoding.search import Hypothesis, Request, Search, search_batch
from seq2seq.decoding.unknown import UnknownCopy
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder
from seq2seq.reading import record_pass

log = logging.getLogger(__name__)

Item = TypeVar("Item")

Numbered = tuple[list[int], list[int], int]
"""Source ids, target ids, and which line of a chunk they are."""

MOST_SEARCHES = 4
"""Searches side by side: more would wait for each other's Python, and their batches would be small."""

CHUNK = 4096
"""Lines held at once: enough to batch like lengths together, few enough to stream."""


class Translation(NamedTuple):
    """One translation of a line."""

    text: str
    score: float  # of search: log-probability over the length penalty


class Translator:
    """Wraps a trained model in tokenisation and batching.

    Args:
        model: in evaluation mode, on its device.
        tokenizers: of the model.
        tokens_per_batch: sentences × longest sentence, in pieces.
        max_length: pieces; longer lines are cut, with a warning.
        unknown: what finds words for pieces that the vocabulary lacks; None: a mark stands there.
    """

    def __init__(
        self,
        model: EncoderDecoder | Ensemble,
        tokenizers: Tokenizers,
        *,
        tokens_per_batch: int,
        max_length: int,
        unknown: UnknownCopy | None = None,
    ) -> None:
        self.model = model
        self.unknown = unknown
        self.tokenizers = tokenizers
        self.tokens_per_batch = tokens_per_batch
        self.max_length = max_length
        self.device = next(model.parameters()).device

    def translate(
        self,
        lines: Iterable[str],
        search: Search,
        *,
        name: str = "input",
        first: int = 1,
        requests: Iterable[Request] | None = None,
        tags: Iterable[str] | None = None,
        progress: Callable[[int], None] = lambda _: None,
        strict: bool = False,
    ) -> Iterator[list[Translation]]:
        """Yield the translations of each line, no two alike, best first, in order; of an empty line, one that is empty.

        Where nothing is found that keeps to what is asked of a line, a warning names it: its translation is then one
        without `no_repeat_ngram`, or an empty one with a score of -inf. `strict` makes an error of it.

        `name` is what warnings call the input, and `first` the number of its first line. `requests` are what is asked
        of each translation, one a line; those without a number get that of their line. `tags` are what stands before
        each source, one a line; "" is what the tokenizer puts there. `progress` is told how many more lines are done,
        in any order.

        Raises:
            UserError: there are not as many requests or tags as lines; nothing was found, where that is strict; the
                model's logits are no numbers.
        """
        tag_of = repeat("") if tags is None else iter(tags)
        asked = repeat(Request()) if requests is None else iter(requests)
        for start, chunk in _chunks(lines, first):
            read_by = self._marked(tag_of, len(chunk), name, start)
            ids = [
                self._encode(tokenizer, line, f"{name}:{start + i}")
                for i, (tokenizer, line) in enumerate(zip(read_by, chunk, strict=True))
            ]
            results: list[list[Translation]] = [[] for _ in chunk]
            examples: list[Numbered] = [(source, [], i) for i, source in enumerate(ids)]
            numbered = [
                request if request.number else request._replace(number=start + i)
                for i, request in enumerate(islice(asked, len(chunk)))
            ]
            if len(numbered) < len(chunk):
                raise UserError(
                    f"{name} has more lines than there are prefixes or constraints, {start - 1 + len(numbered)}; give "
                    "one a line"
                )
            for indices, found in self._search(examples, search, numbered, lenient=not strict):
                for i, hypotheses in zip(indices, found, strict=True):
                    texts = (self._text(h.tokens, chunk[i], read_by[i], ids[i]) for h in hypotheses)
                    results[i] = [Translation(text, h.score) for text, h in zip(texts, hypotheses, strict=True)]
                    results[i] = results[i] or [Translation("", -math.inf)]
                progress(len(indices))
            yield from results

    def _marked(self, tags: Iterator[str], count: int, name: str, start: int) -> list[Tokenizer]:
        """Return the tokenizers of the next sources, each of which may have a tag of its own."""
        found = [marked(self.tokenizers.source, tag) for tag in islice(tags, count)]
        if len(found) < count:
            raise UserError(f"{name} has more lines than there are tags, {start - 1 + len(found)}; give one a line")
        return found

    def _text(self, tokens: list[int], line: str, read_by: Tokenizer, source_ids: list[int]) -> str:
        if self.unknown is None:
            return self.tokenizers.target.decode(tokens)
        return self.unknown.text(line, read_by, source_ids, tokens)

    def _search(
        self, examples: Sequence[Numbered], search: Search, requests: Sequence[Request], *, lenient: bool
    ) -> Iterator[tuple[list[int], list[list[Hypothesis]]]]:
        """Yield the indices of each batch, and what was found for them.

        On a CPU several searches run side by side, on batches together as large as one: the steps of a search are too
        small to be shared out among all threads.
        """

        def found(batch: Batch) -> tuple[list[int], list[list[Hypothesis]]]:
            indices = batch.indices.tolist()
            asked, key = [requests[i] for i in indices], self.tokenizers.target.decode
            return indices, search_batch(search, self.model, batch, key=key, requests=asked, lenient=lenient)

        threads = torch.get_num_threads()
        searches = min(threads, MOST_SEARCHES) if self.device.type == "cpu" else 1
        batches = self._batches(examples, self.tokens_per_batch // searches)
        if searches == 1:
            yield from map(found, batches)
            return
        try:
            with ThreadPoolExecutor(
                searches, initializer=torch.set_num_threads, initargs=(threads // searches,)
            ) as pool:
                yield from pool.map(found, batches)
        finally:
            torch.set_num_threads(threads)

    @torch.no_grad()
    def align(
        self,
        pairs: Iterable[tuple[str, str]],
        choice: AlignmentChoice,
        extraction: LinkExtraction,
        *,
        name: str = "input",
        first: int = 1,
        tags: Iterable[str] | None = None,
    ) -> Iterator[set[Link]]:
        """Yield the word links of each pair, source to target, in order, from forced decoding of the target.

        `name` is what warnings call the input, and `first` the number of its first pair; `tags` as for `translate`.
        """
        tag_of = repeat("") if tags is None else iter(tags)
        for start, chunk in _chunks(pairs, first):
            read_by = self._marked(tag_of, len(chunk), name, start)
            sentences = [
                tuple(
                    self._sentence(tokenizer, text, f"{name}:{start + i}")
                    for tokenizer, text in zip((read_by[i], self.tokenizers.target), pair, strict=True)
                )
                for i, pair in enumerate(chunk)
            ]
            results: list[set[Link]] = [set() for _ in chunk]
            examples = [(source.ids, target.ids, i) for i, (source, target) in enumerate(sentences)]
            whole = [example for example in examples if example[0] and example[1]]
            for batch in self._batches(whole, self.tokens_per_batch):
                with record_pass(self.model, names={choice.layer}, norms=choice.quantity == "norms") as seen:
                    self.model.features(
                        batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
                    )
                if choice.layer not in seen.record:
                    raise UserError(f"the model has no attention {choice.layer}; train it again")
                weights = choice.reading(seen, choice.layer, batch.target_lengths).cpu()
                head = 0 if choice.head is None or weights.shape[1] == 1 else choice.head + 1
                for row, i in zip(weights[:, head], batch.indices.tolist(), strict=True):
                    source, target = (sentence.linked_words() for sentence in sentences[i])
                    results[i] = link_pairs(extraction(word_shares(row[: len(target), : len(source)], target, source)))
            yield from results

    def score(
        self,
        pairs: Iterable[tuple[str, str]],
        *,
        name: str = "input",
        first: int = 1,
        tags: Iterable[str] | None = None,
    ) -> Iterator[PairScore]:
        """Yield how likely the model finds the target of each pair, in order; the rest as for `align`."""
        target, tag_of = self.tokenizers.target, repeat("") if tags is None else iter(tags)
        for start, chunk in _chunks(pairs, first):
            read_by = self._marked(tag_of, len(chunk), name, start)
            examples = [
                (
                    self._encode(read_by[i], pair[0], f"{name}:{start + i}"),
                    self._encode(target, pair[1], f"{name}:{start + i}"),
                    i,
                )
                for i, pair in enumerate(chunk)
            ]
            results: dict[int, PairScore] = {}
            for batch in self._batches(examples, self.tokens_per_batch):
                lengths = batch.target_lengths.tolist()
                found = forced_log_probabilities(self.model, batch).cpu().split(lengths)
                free = (~given(self.model, batch)).cpu().split(lengths)
                for i, values, said in zip(batch.indices.tolist(), found, free, strict=True):
                    pieces = [*target.pieces(examples[i][1]), EOS_LABEL]
                    results[i] = PairScore(list(compress(pieces, said.tolist())), values[said].tolist())
            yield from (results[i] for i in range(len(chunk)))

    def _sentence(self, tokenizer: Tokenizer, text: str, where: str) -> Sentence:
        sentence = sentence_of(tokenizer, text)
        return sentence_of(tokenizer, text, max_length=len(self._cut(sentence.ids, where)))

    def _encode(self, tokenizer: Tokenizer, line: str, where: str) -> list[int]:
        return self._cut(tokenizer.encode(line), where)

    def _cut(self, ids: list[int], where: str) -> list[int]:
        if len(ids) > self.max_length:
            log.warning("%s: %d pieces are more than the model's %d; cut there", where, len(ids), self.max_length)
        return ids[: self.max_length]

    def _batches(self, examples: Sequence[Numbered], tokens_per_batch: int) -> Iterator[Batch]:
        """Yield batches of like lengths on the model's device."""
        if not examples:
            return
        source_lengths = [len(source) + 1 for source, _, _ in examples]
        target_lengths = [len(target) + 1 for _, target, _ in examples]
        sampler = TokenBudgetSampler(
            source_lengths, target_lengths, tokens_per_batch=tokens_per_batch, shuffle=False, seed=0, epoch=0
        )
        for indices in sampler:
            yield collate([examples[i] for i in indices]).to(self.device)


def own_translation(model: EncoderDecoder, tokenizers: Tokenizers, source: Sentence, search: Search) -> Sentence:
    """Return the best that a search finds for a source, for the eye."""
    batch = collate([(source.ids, [], 0)]).to(next(model.parameters()).device)
    (found,) = search_batch(search, model, batch, key=tokenizers.target.decode)
    return readable(hypothesis_of(tokenizers.target, found[0].tokens))


def _chunks(items: Iterable[Item], start: int) -> Iterator[tuple[int, list[Item]]]:
    """Yield lists of items, each with the number of its first, counted from `start`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield start, chunk
        start += len(chunk)
