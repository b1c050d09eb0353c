"""How well a model translates and aligns a data set: one forced pass over the references, one search, the metrics."""

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from torch import Tensor

from seq2seq.alignment.analysis import row_entropy, sink_labels, sink_mass
from seq2seq.alignment.links import Link, alignment_error_rate, parse_links
from seq2seq.alignment.words import argmax_links, diagonal_links, merge_words, mutual_links
from seq2seq.attention import record_attention
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.decoding.search import BeamSearch, GreedySearch
from seq2seq.errors import UserError
from seq2seq.evaluation.metrics import bleu_by_length, exact_match_by_tag, score_translations
from seq2seq.models import EncoderDecoder
from seq2seq.models.encoder_decoder import cross_attentions, layer_label

LENGTHS = (5, 10, 15, 20, 30)
"""Source lengths in words at which BLEU by length is split."""


class Evaluation(NamedTuple):
    """What an evaluation found."""

    metrics: dict[str, float]  # bleu 0-100, chrf 0-100, aer 0-1, entropy in nats ...
    hypotheses: list[str]  # a line a pair, in the order of the data
    signatures: dict[str, str]  # sacreBLEU's, by metric
    alignment: AlignmentChoice | None  # the layer whose weights align best here; None without attention


class Evaluator:
    """Collects what batches show and scores it at the end. One for each data set.

    Args:
        dataset: with columns source, target, links, tags, source_ids, target_ids.
        tokenizers: of the model.
        search: finds the hypotheses.
        tokenize: sacreBLEU's tokeniser.
        lowercase: whether BLEU, chrF and TER ignore case.
        alignment: whose weights count as the alignment; None: whichever aligns best on this data set.
    """

    def __init__(
        self,
        dataset: Dataset,
        tokenizers: Tokenizers,
        search: GreedySearch | BeamSearch,
        *,
        tokenize: str,
        lowercase: bool,
        alignment: AlignmentChoice | None = None,
    ) -> None:
        self.dataset = dataset
        self.tokenizers = tokenizers
        self.search = search
        self.tokenize = tokenize
        self.lowercase = lowercase
        self.alignment = alignment
        self.has_links = any(dataset["links"])
        self._hypotheses: dict[int, str] = {}
        self._links: dict[str, dict[int, set[Link]]] = defaultdict(dict)
        self._argmax: dict[str, dict[int, set[Link]]] = defaultdict(dict)
        self._agreement: dict[str, list[float]] = defaultdict(list)
        self._entropy: dict[str, list[float]] = defaultdict(list)
        self._sinks: dict[str, list[float]] = defaultdict(list)
        self._likelihood = 0.0
        self._correct = 0
        self._tokens = 0

    @torch.no_grad()
    def update(self, model: EncoderDecoder, batch: Batch) -> None:
        """Add a batch of the data set, each pair of which must come exactly once."""
        with record_attention(model) as record:
            logits = model(
                batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices
            )
            layers = {name: record[name].mean(1).float().cpu() for name in cross_attentions(record)}
        log_probabilities = logits.float().log_softmax(-1)
        self._likelihood -= log_probabilities.gather(1, batch.target_output[:, None]).sum().item()
        self._correct += int((logits.argmax(-1) == batch.target_output).sum())
        self._tokens += batch.num_tokens
        found = self.search(model, batch.source, batch.source_mask, batch.source_lengths)
        for i, (index, hypotheses) in enumerate(zip(batch.indices.tolist(), found, strict=True)):
            self._hypotheses[index] = self.tokenizers.target.decode(hypotheses[0].tokens)
            if layers:
                self._align(index, {name: weights[i] for name, weights in layers.items()})

    def _align(self, index: int, layers: dict[str, Tensor]) -> None:
        """Take word links and statistics from the weights of one sentence, (target, source) by layer."""
        row = self.dataset[index]
        source_words = self.tokenizers.source.word_of_piece(row["source"])[1][: len(row["source_ids"])]
        target_words = self.tokenizers.target.word_of_piece(row["target"])[1][: len(row["target_ids"])]
        words = row["source"].split()[: max(source_words, default=-1) + 1]
        sinks = torch.tensor(sink_labels([*words, "</s>"]))
        for name, weights in layers.items():
            weights = merge_words(weights[: len(target_words) + 1, : len(source_words) + 1], source_words, target_words)
            links = mutual_links(weights)
            forward, reverse = argmax_links(weights), argmax_links(weights.T)
            agreeing = sum((target, source) in reverse for source, target in forward)
            self._links[name][index] = links
            self._argmax[name][index] = forward
            self._agreement[name].append(2 * agreeing / max(1, len(forward) + len(reverse)))
            self._entropy[name].append(row_entropy(weights).mean().item())
            self._sinks[name].append(sink_mass(weights, sinks).mean().item())

    def compute(self, *, detailed: bool = False) -> Evaluation:
        """Return the scores over all batches so far; detailed adds TER, BLEU by length, exact matches by phenomenon."""
        indices = sorted(self._hypotheses)
        hypotheses = [self._hypotheses[i] for i in indices]
        rows = self.dataset.select(indices)
        sources, references = rows["source"][:], rows["target"][:]
        options: dict[str, Any] = {"tokenize": self.tokenize, "lowercase": self.lowercase}
        scores = score_translations(hypotheses, references, with_ter=detailed, **options)
        loss = self._likelihood / max(1, self._tokens)
        metrics = {
            "loss": loss,
            "perplexity": math.exp(min(loss, 700.0)),
            "token_accuracy": self._correct / max(1, self._tokens),
            "bleu": scores.bleu,
            "chrf": scores.chrf,
        }
        if detailed:
            by_length = bleu_by_length(sources, hypotheses, references, LENGTHS, **options)
            by_tag = exact_match_by_tag(hypotheses, references, rows["tags"][:])
            metrics["ter"] = scores.ter
            metrics |= {f"bleu_by_length/{words}": bleu for words, bleu in by_length.items()}
            metrics |= {f"exact_match/{tag}": share for tag, share in by_tag.items()}
        alignment = self.alignment
        if self._links:
            alignment, aligned = self._score_alignment(indices)
            metrics |= aligned
        return Evaluation(metrics, hypotheses, scores.signatures, alignment)

    def _score_alignment(self, indices: list[int]) -> tuple[AlignmentChoice, dict[str, float]]:
        """Return whose weights are the alignment, and the metrics of all that were seen."""
        metrics: dict[str, float] = {}
        quality = {name: sum(values) / len(values) for name, values in self._agreement.items()}
        if self.has_links:
            rows = self.dataset.select(indices)
            gold = [parse_links(line, where=f"links of pair {i + 1}") for i, line in enumerate(rows["links"][:])]
            scores = {
                name: alignment_error_rate(gold, [links[i] for i in indices]) for name, links in self._links.items()
            }
            quality = {name: -score.aer for name, score in scores.items()}
        choice = self.alignment or AlignmentChoice(max(quality, key=lambda name: quality[name]), None)
        if choice.layer not in quality:
            raise UserError(f"the alignment was chosen as {choice.layer}, but the model has only {', '.join(quality)}")
        if self.has_links:
            chosen = scores[choice.layer]
            metrics |= {"aer": chosen.aer, "alignment_precision": chosen.precision, "alignment_recall": chosen.recall}
            argmax = self._argmax[choice.layer]
            metrics["aer_argmax"] = alignment_error_rate(gold, [argmax[i] for i in indices]).aer
            metrics["aer_diagonal"] = alignment_error_rate(gold, _diagonal(rows["source"][:], rows["target"][:])).aer
            if len(scores) > 1:
                metrics |= {f"aer_by_layer/{layer_label(name)}": score.aer for name, score in scores.items()}
        metrics["entropy"] = _mean(self._entropy[choice.layer])
        metrics["sink_mass"] = _mean(self._sinks[choice.layer])
        return choice, metrics


def evaluate(model: EncoderDecoder, batches: Iterable[Batch], evaluator: Evaluator) -> Evaluation:
    """Return the scores of a model over all batches of a data set."""
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    for batch in batches:
        evaluator.update(model, batch.to(device))
    model.train(was_training)
    return evaluator.compute(detailed=True)


def _diagonal(sources: Iterable[str], targets: Iterable[str]) -> list[set[Link]]:
    """Return the links of the baseline that looks at no weights."""
    return [diagonal_links(len(s.split()), len(t.split())) for s, t in zip(sources, targets, strict=True)]


def _mean(values: list[float]) -> float:
    return sum(values) / max(1, len(values))
