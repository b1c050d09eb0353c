"""How well a model translates and aligns a data set: one forced pass over the references, one search, the metrics."""

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from datasets import Dataset

from seq2seq.alignment.links import AlignmentScore, Links, parse_links
from seq2seq.alignment.sentence import sentences_of_row
from seq2seq.alignment.words import LinkExtraction
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.data.batching import Batch
from seq2seq.data.text import comparable, words
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.decoding.ensemble import Ensemble
from seq2seq.decoding.scoring import given
from seq2seq.decoding.search import Search, search_batch
from seq2seq.evaluation.alignment import HeadEvaluator
from seq2seq.evaluation.by_corpus import CorpusScores, unlinked_rows
from seq2seq.evaluation.head_report import HeadFindings
from seq2seq.evaluation.link_counts import LinkCounts
from seq2seq.evaluation.metrics import bleu_by_length, exact_match_by_tag, range_names, score_translations
from seq2seq.models import EncoderDecoder
from seq2seq.reading import Reading, record_pass

LENGTHS = (5, 10, 15, 20, 30)
"""Source lengths in words at which BLEU by length is split."""

PLACES = (5, 10, 15, 20, 30, 40)
"""Places in the target, in pieces from 1, at which the accuracy of forced tokens is split."""

ROWS = {"cpu": 256}
"""Target tokens whose logits are at hand at once, by the device's type: those of a batch would take most memory."""

MANY_ROWS = 8192
"""On other devices: a part of their memory, yet large products."""


class Evaluation(NamedTuple):
    """What an evaluation found."""

    metrics: dict[str, float]  # bleu 0-100, chrf 0-100, aer 0-1, entropy in nats ...
    sentences: list[dict[str, Any]]  # source, reference, hypothesis, tags; with gold links sure, links, sure_hits ...
    heads: list[dict[str, Any]]  # a row a head: `HeadReport.heads`
    signatures: dict[str, str]  # sacreBLEU's, by metric
    alignment: AlignmentChoice | None  # the head that aligns best here; None without attention
    readings: list[dict[str, Any]]  # of each way of reading, how layers and its best head align
    norm_rule: str | None  # the layer of largest contributions; None where norms are not read

    @property
    def hypotheses(self) -> list[str]:
        """The translations, a line a pair, in the order of the data."""
        return [sentence["hypothesis"] for sentence in self.sentences]


class Evaluator:
    """Collects what batches show and scores it at the end. One for each data set.

    Args:
        dataset: with columns source, target, links, tags, source_ids, target_ids.
        tokenizers: of the model.
        search: finds the hypotheses.
        extraction: from weights between words to links.
        tokenize: sacreBLEU's tokeniser.
        lowercase: whether BLEU, chrF and TER ignore case.
        readings: how attention is read, each in turn.
        alignment: what counts as the alignment, in one of these readings; None: whatever aligns best on this data set.
    """

    def __init__(
        self,
        dataset: Dataset,
        tokenizers: Tokenizers,
        search: Search,
        *,
        extraction: LinkExtraction,
        tokenize: str,
        lowercase: bool,
        readings: Sequence[Reading],
        alignment: AlignmentChoice | None = None,
    ) -> None:
        self.dataset = dataset
        self.tokenizers = tokenizers
        self.search = search
        self.tokenize = tokenize
        self.lowercase = lowercase
        self.alignment = alignment
        self.has_links = any(dataset["links"])
        self._by_corpus = CorpusScores(dataset)
        self._unlinked = unlinked_rows(dataset)
        self._heads = HeadEvaluator(tokenizers, extraction, readings)
        self._hypotheses: dict[int, str] = {}
        self._likelihood = 0.0
        self._places = torch.zeros(2, len(PLACES) + 1, dtype=torch.float64)  # by range: forced tokens, and right ones
        self._search_seconds = 0.0

    @torch.no_grad()
    def update(self, model: EncoderDecoder | Ensemble, batch: Batch) -> None:
        """Add a batch of the data set, each pair of which must come exactly once."""
        with record_pass(model, norms=self._heads.reads_norms) as seen:
            features = model.features(
                batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
            )
        at_once, found = ROWS.get(features.device.type, MANY_ROWS), []
        for rows, wanted in zip(features.split(at_once), batch.target_output[:, None].split(at_once), strict=True):
            log_probabilities = model.output(rows).float().log_softmax(-1)
            correct = log_probabilities.argmax(-1, keepdim=True) == wanted
            found.append(torch.cat((log_probabilities.gather(1, wanted), correct), dim=-1))
        forced = given(model, batch)[:, None]
        scored = torch.cat((torch.cat(found), forced), dim=-1).double().cpu()  # one look at the device a batch
        predicted = scored[:, 2] == 0
        likelihood, correct, _ = scored[predicted].unbind(-1)
        self._likelihood -= likelihood.sum().item()
        place = batch.target_indices.cpu()[predicted] % batch.target_input.shape[1]
        range_ = torch.bucketize(place, torch.tensor(PLACES), right=True)
        self._places.index_add_(1, range_, torch.stack((torch.ones_like(correct), correct)))
        begin = time.perf_counter()
        translations = search_batch(self.search, model, batch, key=self.tokenizers.target.decode)
        self._search_seconds += time.perf_counter() - begin  # its results are on the host: the device has finished
        indices = batch.indices.tolist()
        lengths = [int(part.sum()) for part in predicted.split(batch.target_lengths.tolist())]
        self._by_corpus.add(indices, likelihood, lengths)
        for index, hypotheses in zip(indices, translations, strict=True):
            self._hypotheses[index] = self.tokenizers.target.decode(hypotheses[0].tokens)
        if seen.record:
            rows = [self.dataset[index] for index in indices]
            sentences = [sentences_of_row(self.tokenizers, row) for row in rows]
            self._heads.add(
                seen,
                batch,
                sentences,
                [self._gold(index, row["links"]) for index, row in zip(indices, rows, strict=True)],
            )

    def collected(self) -> tuple[Any, ...]:
        """Return what it has collected, for another process to add."""
        sums = (self._likelihood, self._places, self._search_seconds, self._by_corpus.losses)
        return self._hypotheses, sums, self._heads.found

    def merge(self, hypotheses: dict[int, str], sums: tuple[Any, ...], heads: HeadFindings) -> None:
        """Add what another has collected of other pairs of the data set."""
        self._hypotheses |= hypotheses
        likelihood, places, seconds, losses = sums
        self._by_corpus.losses |= losses
        self._likelihood += likelihood
        self._places += places
        self._search_seconds += seconds
        self._heads.found.merge(heads)

    def _gold(self, index: int, links: str) -> Links | None:
        if not self.has_links or index in self._unlinked:
            return None
        return parse_links(links, where=f"links of pair {index + 1}")

    def compute(self, *, detailed: bool = False) -> Evaluation:
        """Return the scores over all batches so far; detailed adds TER, and scores by length and by phenomenon."""
        indices = sorted(self._hypotheses)
        rows = self.dataset.select(indices)
        columns = {"source": rows["source"][:], "reference": rows["target"][:], "tags": rows["tags"][:]}
        hypotheses = [self._hypotheses[i] for i in indices]
        sentences = [
            dict(zip([*columns, "hypothesis"], values, strict=True))
            for values in zip(*columns.values(), hypotheses, strict=True)
        ]
        options: dict[str, Any] = {"tokenize": self.tokenize, "lowercase": self.lowercase}
        # Both in one form: a model cannot say what its tokenizer does not leave in a text.
        form = comparable(self.tokenizers.target.normalization)
        said, expected = ([form(text) for text in texts] for texts in (hypotheses, columns["reference"]))
        scores = score_translations(said, expected, with_ter=detailed, **options)
        forced, right = self._places.tolist()
        tokens = max(1.0, sum(forced))
        loss = self._likelihood / tokens
        metrics = {
            "loss": loss,
            "perplexity": math.exp(min(loss, 700.0)),
            "token_accuracy": sum(right) / tokens,
            "bleu": scores.bleu,
            "chrf": scores.chrf,
        }
        heads = self._heads.report()
        alignment = self.alignment or heads.choose()
        if alignment is not None:
            metrics |= heads.score(alignment)
            counts = heads.counts(alignment)
            for index, sentence in zip(indices, sentences, strict=True):
                sentence |= counts[index]._asdict() if index in counts else {}
        metrics |= self._by_corpus.metrics(indices, said, expected, sentences, **options)
        if detailed:
            by_length = bleu_by_length(columns["source"], said, expected, LENGTHS, **options)
            by_tag = exact_match_by_tag(said, expected, columns["tags"])
            metrics["ter"] = scores.ter
            metrics["sentences_per_second"] = len(indices) / max(self._search_seconds, 1e-9)
            metrics["length_ratio"] = sum(map(len, map(words, said))) / max(1, sum(map(len, map(words, expected))))
            by_place = zip(range_names(PLACES), forced, right, strict=True)
            metrics |= {f"token_accuracy_by_place/{name}": hits / n for name, n, hits in by_place if n}
            metrics |= {f"bleu_by_length/{length}": bleu for length, bleu in by_length.items()}
            metrics |= {f"exact_match/{tag}": share for tag, share in by_tag.items()}
            metrics |= {f"aer_by_tag/{tag}": aer for tag, aer in _aer_by_tag(sentences).items()}
        return Evaluation(
            metrics,
            sentences,
            heads.heads(alignment.reading if alignment else None),
            scores.signatures,
            alignment,
            heads.by_reading(),
            heads.choose_by_norm(),
        )


def evaluate(
    model: EncoderDecoder | Ensemble, batches: Iterable[Batch], evaluator: Evaluator, *, detailed: bool = True
) -> Evaluation:
    """Return the scores of a model over all batches of a data set."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    for batch in batches:
        evaluator.update(model, batch.to(device))
    model.train(was_training)
    return evaluator.compute(detailed=detailed)


def _aer_by_tag(sentences: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Return for every tag, in alphabetical order, the alignment error rate over its sentences with gold links."""
    counts = defaultdict(list)
    for sentence in sentences:
        if "sure" in sentence:
            for tag in sentence["tags"].split():
                counts[tag].append([sentence[name] for name in LinkCounts._fields])
    totals = {tag: LinkCounts(*map(sum, zip(*counts[tag], strict=True))) for tag in sorted(counts)}
    return {tag: AlignmentScore.of(**total._asdict()).aer for tag, total in totals.items()}
