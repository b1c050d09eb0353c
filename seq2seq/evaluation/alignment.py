"""What every attention head of a model does over a data set, and which of them is the alignment."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seq2seq.alignment.analysis import HeadStatistics, head_statistics, is_sink
from seq2seq.alignment.links import AlignmentScore, Links
from seq2seq.alignment.sentence import Sentence
from seq2seq.alignment.shares import shares
from seq2seq.alignment.words import LinkExtraction, agreement, argmax_links, diagonal_links, word_shares
from seq2seq.attention.recorder import AttentionRecord
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.data.batching import Batch
from seq2seq.data.text import words
from seq2seq.data.tokenizer import Tokenizer, Tokenizers
from seq2seq.errors import UserError
from seq2seq.models.encoder_decoder import site_of


class Head(NamedTuple):
    """A head of an attention, or where it has several also the mean of them."""

    name: str  # of the module
    head: int | None  # None: the mean over heads


class LinkCounts(NamedTuple):
    """What the alignment error rate is made of."""

    sure: int
    links: int
    sure_hits: int
    possible_hits: int


class HeadEvaluator:
    """Collects the weights of forced passes over references; knows at the end which head aligns best.

    Args:
        tokenizers: of the model.
        extraction: from weights between words to links.
    """

    def __init__(self, tokenizers: Tokenizers, extraction: LinkExtraction) -> None:
        self.extraction = extraction
        self._source_sinks, self._target_sinks = (_sinks(tokenizer) for tokenizer in tokenizers)
        self._sums: dict[str, tuple[Tensor, Tensor]] = {}  # by module: statistics (statistic, heads), rows (heads,)
        self._agreement: dict[int, Tensor] = {}  # by pair: (heads,)
        self._counts: dict[int, Tensor] = {}  # by pair: (heads, sure links hits hits)
        self._argmax: dict[int, Tensor] = {}
        self._diagonal: dict[int, Tensor] = {}
        self._heads: list[Head] = []  # of cross-attention, in the order of the counts

    def collected(self) -> tuple[Any, ...]:
        """Return what it has collected, for another process to add."""
        return self._sums, self._agreement, self._counts, self._argmax, self._diagonal, self._heads

    def merge(self, sums: dict[str, tuple[Tensor, Tensor]], *by_pair_and_heads: Any) -> None:
        """Add what another has collected of other pairs."""
        *by_pair, heads = by_pair_and_heads
        for name, found in sums.items():
            self._add_sums(name, *found)
        for mine, others in zip((self._agreement, self._counts, self._argmax, self._diagonal), by_pair, strict=True):
            mine |= others
        self._heads = self._heads or heads

    def add(
        self,
        record: AttentionRecord,
        batch: Batch,
        sentences: Iterable[tuple[Sentence, Sentence]],
        gold: Iterable[Links | None],
    ) -> None:
        """Add a batch: its record, its pairs as sentences, and their gold links where there are any."""
        weights = {name: _with_mean(shares(record[name].float())) for name in record}
        seen = record.seen()
        for name in weights:
            self._add_statistics(name, weights[name], batch, seen.get(name))
        cross = [name for name in weights if site_of(name).kind == "cross"]
        if not cross:
            return
        self._heads = [Head(name, head) for name in cross for head in _heads(weights[name].shape[1])]
        stacked = torch.cat([weights[name] for name in cross], dim=1).cpu()
        for row, index, (source, target), links in zip(stacked, batch.indices.tolist(), sentences, gold, strict=True):
            pieces = target.ending().word_of_piece, source.ending().word_of_piece
            row = word_shares(row[:, : len(pieces[0]), : len(pieces[1])], *pieces)
            self._add_links(index, row, links, source, target)

    def _add_statistics(self, name: str, weights: Tensor, batch: Batch, seen: Tensor | None) -> None:
        kind = site_of(name).kind
        source = batch.source_mask[:, None, None, :]
        positions = torch.arange(batch.target_input.shape[1], device=weights.device)
        target = positions < batch.target_lengths[:, None]
        visible = {
            "cross": source & target[:, None, :, None],
            "encoder": source & batch.source_mask[:, None, :, None],
            "decoder": (positions[:, None] >= positions) & target[:, None, :, None],
        }[kind]
        sinks = (self._target_sinks if kind == "decoder" else self._source_sinks).to(weights.device)
        keys = batch.target_input if kind == "decoder" else batch.source
        if seen is not None and weights.shape[1] > seen.shape[1]:  # what any head sees, the mean does
            seen = torch.cat((seen.any(1, keepdim=True), seen), dim=1)
        statistics, rows = head_statistics(weights, visible, sinks[keys][:, None], seen=seen)
        self._add_sums(name, torch.stack(statistics).sum(1).double().cpu(), rows.sum(0).cpu())

    def _add_sums(self, name: str, sums: Tensor, counts: Tensor) -> None:
        before = self._sums.get(name)
        self._sums[name] = (sums, counts) if before is None else (before[0] + sums, before[1] + counts)

    def _add_links(self, index: int, weights: Tensor, gold: Links | None, source: Sentence, target: Sentence) -> None:
        self._agreement[index] = agreement(weights)
        if gold is None:
            return
        num_target, num_source = weights.shape[-2] - 1, weights.shape[-1] - 1
        masks = [_mask(links, num_target, num_source) for links in gold]
        found, argmax = (
            _counts(links, masks, len(gold.sure)) for links in (self.extraction(weights), argmax_links(weights))
        )
        self._counts[index], self._argmax[index] = found, argmax
        baseline = diagonal_links(len(words(source.text)), len(words(target.text)))
        hits = [len(baseline & links) for links in gold]
        self._diagonal[index] = torch.tensor([len(gold.sure), len(baseline), *hits])

    def choose(self) -> AlignmentChoice | None:
        """Return the head that aligns best here: by AER, without gold links by agreement; None without attention."""
        if not self._heads:
            return None
        if self._counts:
            quality = [-_score(counts).aer for counts in torch.stack([*self._counts.values()]).sum(0)]
        else:
            quality = torch.stack([*self._agreement.values()]).mean(0).tolist()
        best = max(range(len(quality)), key=lambda i: quality[i])
        return AlignmentChoice(*self._heads[best])

    def score(self, choice: AlignmentChoice) -> dict[str, float]:
        """Return the metrics of the chosen head, `aer` and so on only where there are gold links.

        Raises:
            UserError: the model has no such head.
        """
        i = self._find(choice)
        metrics: dict[str, float] = {}
        if self._counts:
            totals = torch.stack([*self._counts.values()]).sum(0)
            chosen = _score(totals[i])
            metrics |= {"aer": chosen.aer, "alignment_precision": chosen.precision, "alignment_recall": chosen.recall}
            metrics["aer_argmax"] = _score(torch.stack([*self._argmax.values()]).sum(0)[i]).aer
            metrics["aer_diagonal"] = _score(torch.stack([*self._diagonal.values()]).sum(0)).aer
            if len(self._heads) > 1:
                for head, counts in zip(self._heads, totals, strict=True):
                    if head.head is None:
                        metrics[f"aer_by_layer/layer{site_of(head.name).layer}"] = _score(counts).aer
        report = next(row for row in self.heads() if row["name"] == choice.layer and row["head"] == choice.head)
        return metrics | {name: report[name] for name in ("entropy", "sink_mass", "nowhere")}

    def counts(self, choice: AlignmentChoice) -> dict[int, LinkCounts]:
        """Return the counts of the chosen head for each pair that has gold links."""
        i = self._find(choice)
        return {index: LinkCounts(*counts[i].tolist()) for index, counts in self._counts.items()}

    def heads(self) -> list[dict[str, Any]]:
        """Return a row a head: where it sits, its statistics, and for cross-attention how it aligns."""
        rows: list[dict[str, Any]] = []
        agreements = torch.stack([*self._agreement.values()]).mean(0).tolist() if self._agreement else []
        totals = torch.stack([*self._counts.values()]).sum(0) if self._counts else None
        for name, (sums, counts) in self._sums.items():
            site = site_of(name)
            for number, head in enumerate(_heads(len(counts))):
                row: dict[str, Any] = {"name": name, **site._asdict(), "head": head}
                means = (sums[:, number] / counts[number].clamp(min=1)).tolist()
                row |= HeadStatistics(*means)._asdict()
                if site.kind == "cross":
                    i = self._heads.index(Head(name, head))
                    row["agreement"] = agreements[i]
                    if totals is not None:
                        score = _score(totals[i])
                        row |= {"aer": score.aer, "precision": score.precision, "recall": score.recall}
                rows.append(row)
        return rows

    def _find(self, choice: AlignmentChoice) -> int:
        head = Head(choice.layer, choice.head)
        if head not in self._heads:
            known = ", ".join(dict.fromkeys(head.name for head in self._heads))
            raise UserError(f"the alignment was chosen as {choice.layer}, but the model has only {known}")
        return self._heads.index(head)


def _with_mean(weights: Tensor) -> Tensor:
    """Return shares (batch, heads, query, key) with the mean over heads before them, where there are several."""
    return weights if weights.shape[1] == 1 else torch.cat((weights.mean(1, keepdim=True), weights), dim=1)


def _heads(size: int) -> list[int | None]:
    """Return which heads the weights of `_with_mean` hold."""
    return [None, *range(size - 1)]


def _sinks(tokenizer: Tokenizer) -> Tensor:
    """Return for every id of a vocabulary whether its piece is a sink, (vocab,) bool."""
    return torch.tensor([is_sink(piece) for piece in tokenizer.pieces(range(len(tokenizer)))])


def _mask(links: Iterable[tuple[int, int]], num_target: int, num_source: int) -> Tensor:
    """Return gold links as (target words, source words); links beyond a cut sentence are beyond the mask."""
    mask = torch.zeros(num_target, num_source, dtype=torch.bool)
    for source, target in links:
        if source < num_source and target < num_target:
            mask[target, source] = True
    return mask


def _counts(links: Tensor, gold: list[Tensor], num_sure: int) -> Tensor:
    """Return (heads, 4): sure links, links found, and found among the sure and the possible ones."""
    found = [links, *(links & mask for mask in gold)]
    counts = torch.stack([mask.sum((-2, -1)) for mask in found], dim=-1)
    return torch.cat((counts.new_full((len(counts), 1), num_sure), counts), dim=-1)


def _score(counts: Tensor) -> AlignmentScore:
    return AlignmentScore.of(**LinkCounts(*counts.tolist())._asdict())
