"""What every attention head of a model does over a data set, and which of them, read how, is the alignment."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from seq2seq.alignment.analysis import HeadStatistics, head_statistics, is_sink
from seq2seq.alignment.links import Links
from seq2seq.alignment.sentence import Sentence
from seq2seq.alignment.shares import shares
from seq2seq.alignment.words import LinkExtraction, agreement, argmax_links, diagonal_links, word_shares
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.data.batching import Batch
from seq2seq.data.text import words
from seq2seq.data.tokenizer import Tokenizer, Tokenizers
from seq2seq.errors import UserError
from seq2seq.evaluation.link_counts import LinkCounts, count_links, mask_of, score_of
from seq2seq.evaluation.mean_norms import MeanNorms
from seq2seq.models.encoder_decoder import site_of
from seq2seq.reading import ForcedPass, Reading, fed_in, norm_shares, norms


class HeadEvaluator:
    """Collects what heads do in forced passes over references; knows at the end which head, read how, aligns best.

    Args:
        tokenizers: of the model.
        extraction: from weights between words to links.
        readings: how heads are read.
    """

    def __init__(self, tokenizers: Tokenizers, extraction: LinkExtraction, readings: Sequence[Reading]) -> None:
        self.extraction = extraction
        self.readings = readings
        self.reads_norms = any(reading.quantity == "norms" for reading in readings)
        self._source_sinks, self._target_sinks = (_sinks(tokenizer) for tokenizer in tokenizers)
        self._sums: dict[str, tuple[Tensor, Tensor]] = {}  # by module: statistics (statistic, heads), rows (heads,)
        self._agreement: dict[int, Tensor] = {}  # by pair: (heads,)
        self._counts: dict[int, Tensor] = {}  # by pair: (heads, sure links hits hits)
        self._argmax: dict[int, Tensor] = {}
        self._diagonal: dict[int, Tensor] = {}
        self._heads: list[AlignmentChoice] = []  # of cross-attention, reading by reading, in the order of the counts
        self._norms = MeanNorms()

    def collected(self) -> tuple[Any, ...]:
        """Return what it has collected, for another process to add."""
        by_pair = self._agreement, self._counts, self._argmax, self._diagonal
        return self._sums, self._norms.sums, self._heads, *by_pair

    def merge(
        self,
        sums: dict[str, tuple[Tensor, Tensor]],
        norms: dict[str, tuple[Tensor, Tensor]],
        heads: list[AlignmentChoice],
        *by_pair: Any,
    ) -> None:
        """Add what another has collected of other pairs."""
        for name, found in sums.items():
            self._add_sums(name, *found)
        self._norms.merge(norms)
        for mine, others in zip((self._agreement, self._counts, self._argmax, self._diagonal), by_pair, strict=True):
            mine |= others
        self._heads = self._heads or heads

    def add(
        self,
        seen: ForcedPass,
        batch: Batch,
        sentences: Iterable[tuple[Sentence, Sentence]],
        gold: Iterable[Links | None],
    ) -> None:
        """Add a batch: its forced pass, its pairs as sentences, and their gold links where there are any."""
        weights = {name: _with_mean(shares(weights.float())) for name, weights in seen.record.items()}
        patterns = seen.record.seen()
        for name in weights:
            self._add_statistics(name, weights[name], batch, patterns.get(name))
        cross = [name for name in weights if site_of(name).kind == "cross"]
        if not cross:
            return
        read = self._read(seen, {name: weights[name] for name in cross}, batch)
        stacked = torch.cat(read, dim=1).cpu()
        for row, index, (source, target), links in zip(stacked, batch.indices.tolist(), sentences, gold, strict=True):
            pieces = target.linked_words(), source.linked_words()
            row = word_shares(row[:, : len(pieces[0]), : len(pieces[1])], *pieces)
            self._add_links(index, row, links, source, target)

    def _read(self, seen: ForcedPass, weights: dict[str, Tensor], batch: Batch) -> list[Tensor]:
        """Return shares (batch, heads, target, source) of each reading and attention, of some in that order."""
        found: dict[str, list[Tensor]] = {"weights": [*weights.values()]}
        if self.reads_norms:
            sizes = {name: norms(seen, name) for name in weights}
            for name, size in sizes.items():
                self._norms.add(name, size, batch)
            found["norms"] = [norm_shares(sizes[name], given) for name, given in weights.items()]
        if not self._heads:
            self._heads = [
                AlignmentChoice(name, head, reading.row, reading.quantity)
                for reading in self.readings
                for name, given in weights.items()
                for head in _heads(given.shape[1])
            ]
        return [
            fed_in(shown, batch.target_lengths) if reading.row == "input" else shown
            for reading in self.readings
            for shown in found[reading.quantity]
        ]

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
        masks = [mask_of(links, num_target, num_source) for links in gold]
        found, argmax = (
            count_links(links, masks, len(gold.sure)) for links in (self.extraction(weights), argmax_links(weights))
        )
        self._counts[index], self._argmax[index] = found, argmax
        baseline = diagonal_links(len(words(source.text)), len(words(target.text)))
        hits = [len(baseline & links) for links in gold]
        self._diagonal[index] = torch.tensor([len(gold.sure), len(baseline), *hits])

    def choose(self, reading: Reading | None = None) -> AlignmentChoice | None:
        """Return what aligns best here: by AER, without gold links by agreement; None without attention.

        Args:
            reading: of this one; None: of all.
        """
        quality = self._quality() if self._heads else []
        known = [i for i, head in enumerate(self._heads) if reading in (None, head.reading)]
        return self._heads[max(known, key=lambda i: quality[i])] if known else None

    def _quality(self) -> list[float]:
        """Return how well each head of each reading aligns."""
        if self._counts:
            return [-score_of(counts).aer for counts in _total(self._counts)]
        return torch.stack([*self._agreement.values()]).mean(0).tolist()

    def choose_by_norm(self) -> str | None:
        """Return the layer whose contributions are largest, a choice without links; None where norms are not read."""
        return self._norms.largest()

    def score(self, choice: AlignmentChoice) -> dict[str, float]:
        """Return the metrics of the chosen head, `aer` and so on only where there are gold links.

        Raises:
            UserError: the model has no such head.
        """
        i = self._find(choice)
        metrics: dict[str, float] = {}
        if self._counts:
            totals = _total(self._counts)
            chosen = score_of(totals[i])
            metrics |= {"aer": chosen.aer, "alignment_precision": chosen.precision, "alignment_recall": chosen.recall}
            metrics["aer_argmax"] = score_of(_total(self._argmax)[i]).aer
            metrics["aer_diagonal"] = score_of(_total(self._diagonal)).aer
            if len(self._heads) > len(self.readings):
                for head, counts in zip(self._heads, totals, strict=True):
                    if head.head is None and head.reading == choice.reading:
                        metrics[f"aer_by_layer/layer{site_of(head.layer).layer}"] = score_of(counts).aer
            if len(self.readings) > 1:
                best = {row["reading"]: row["aer"] for row in reversed(self.by_reading()) if row["best"]}
                metrics |= {f"aer_by_reading/{reading}": best[str(reading)] for reading in self.readings}
        if len(self._norms.sums) > 1:
            metrics["norm_rule_hits"] = float(self.choose_by_norm() == choice.layer)
        report = next(
            row for row in self.heads(choice.reading) if row["name"] == choice.layer and row["head"] == choice.head
        )
        return metrics | {name: report[name] for name in ("entropy", "sink_mass", "nowhere")}

    def counts(self, choice: AlignmentChoice) -> dict[int, LinkCounts]:
        """Return the counts of the chosen head for each pair that has gold links."""
        i = self._find(choice)
        return {index: LinkCounts(*counts[i].tolist()) for index, counts in self._counts.items()}

    def by_reading(self) -> list[dict[str, Any]]:
        """Return rows of every reading: of each layer all heads together, and the best of all it has, marked `best`."""
        rows: list[dict[str, Any]] = []
        quality = self._quality() if self._heads else []
        argmax = _total(self._argmax) if self._argmax else None
        for reading in self.readings:
            own = [i for i, head in enumerate(self._heads) if head.reading == reading]
            best = max(own, key=lambda i: quality[i], default=None)
            for i in own:
                head = self._heads[i]
                if head.head is None or i == best:
                    row = {"reading": str(reading), "layer": site_of(head.layer).layer, "head": head.head}
                    row |= {"best": i == best}
                    row |= {"agreement": quality[i]} if argmax is None else {"aer": -quality[i]}
                    rows.append(row | ({} if argmax is None else {"aer_argmax": score_of(argmax[i]).aer}))
        return rows

    def heads(self, reading: Reading | None = None) -> list[dict[str, Any]]:
        """Return a row a head: where it sits, its statistics, and for cross-attention how it aligns.

        Args:
            reading: how it aligns in this one; None: in the first. Statistics are always of weights at the output.
        """
        rows: list[dict[str, Any]] = []
        reading = reading or self.readings[0]
        agreements = torch.stack([*self._agreement.values()]).mean(0).tolist() if self._agreement else []
        totals = _total(self._counts) if self._counts else None
        for name, (sums, counts) in self._sums.items():
            site = site_of(name)
            for number, head in enumerate(_heads(len(counts))):
                row: dict[str, Any] = {"name": name, **site._asdict(), "head": head}
                means = (sums[:, number] / counts[number].clamp(min=1)).tolist()
                row |= HeadStatistics(*means)._asdict()
                if site.kind == "cross":
                    i = self._find(AlignmentChoice(name, head, reading.row, reading.quantity))
                    row["agreement"] = agreements[i]
                    if totals is not None:
                        score = score_of(totals[i])
                        row |= {"aer": score.aer, "precision": score.precision, "recall": score.recall}
                    if name in self._norms.sums:
                        row["norm"] = self._norms.mean(name, number)
                rows.append(row)
        return rows

    def _find(self, choice: AlignmentChoice) -> int:
        if choice not in self._heads:
            known = ", ".join(dict.fromkeys(head.layer for head in self._heads))
            raise UserError(f"the alignment was chosen as {choice.layer}, but the model has only {known}")
        return self._heads.index(choice)


def _total(by_pair: dict[int, Tensor]) -> Tensor:
    return torch.stack([*by_pair.values()]).sum(0)


def _with_mean(weights: Tensor) -> Tensor:
    """Return shares (batch, heads, query, key) with the mean over heads before them, where there are several."""
    return weights if weights.shape[1] == 1 else torch.cat((weights.mean(1, keepdim=True), weights), dim=1)


def _heads(size: int) -> list[int | None]:
    """Return which heads the weights of `_with_mean` hold."""
    return [None, *range(size - 1)]


def _sinks(tokenizer: Tokenizer) -> Tensor:
    """Return for every id of a vocabulary whether its piece is a sink, (vocab,) bool."""
    return torch.tensor([is_sink(piece) for piece in tokenizer.pieces(range(len(tokenizer)))])
