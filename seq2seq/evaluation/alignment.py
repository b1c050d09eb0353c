"""What every attention head of a model does over a data set, batch by batch."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from seq2seq.alignment.analysis import head_statistics, is_sink
from seq2seq.alignment.links import Links
from seq2seq.alignment.sentence import Sentence
from seq2seq.alignment.shares import shares
from seq2seq.alignment.words import LinkExtraction, agreement, argmax_links, diagonal_links, word_shares
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.data.batching import Batch
from seq2seq.data.text import words
from seq2seq.data.tokenizer import Tokenizer, Tokenizers
from seq2seq.evaluation.head_report import HeadFindings, HeadReport, heads_of
from seq2seq.evaluation.link_counts import count_links, mask_of
from seq2seq.models.encoder_decoder import site_of
from seq2seq.reading import ForcedPass, Reading, fed_in, norm_shares, norms


class HeadEvaluator:
    """Collects what heads do in forced passes over references; `report` says which head, read how, aligns best.

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
        self.found = HeadFindings()

    def report(self) -> HeadReport:
        """Return what all that was found so far says."""
        return HeadReport(self.found, self.readings)

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
                self.found.norms.add(name, size, batch)
            found["norms"] = [norm_shares(sizes[name], given) for name, given in weights.items()]
        if not self.found.heads:
            self.found.heads = [
                AlignmentChoice(name, head, reading.row, reading.quantity)
                for reading in self.readings
                for name, given in weights.items()
                for head in heads_of(given.shape[1])
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
        self.found.add_sums(name, torch.stack(statistics).sum(1).double().cpu(), rows.sum(0).cpu())

    def _add_links(self, index: int, weights: Tensor, gold: Links | None, source: Sentence, target: Sentence) -> None:
        self.found.agreement[index] = agreement(weights)
        if gold is None:
            return
        num_target, num_source = weights.shape[-2] - 1, weights.shape[-1] - 1
        masks = [mask_of(links, num_target, num_source) for links in gold]
        found, argmax = (
            count_links(links, masks, len(gold.sure)) for links in (self.extraction(weights), argmax_links(weights))
        )
        self.found.counts[index], self.found.argmax[index] = found, argmax
        baseline = diagonal_links(len(words(source.text)), len(words(target.text)))
        hits = [len(baseline & links) for links in gold]
        self.found.diagonal[index] = torch.tensor([len(gold.sure), len(baseline), *hits])


def _with_mean(weights: Tensor) -> Tensor:
    """Return shares (batch, heads, query, key) with the mean over heads before them, where there are several."""
    return weights if weights.shape[1] == 1 else torch.cat((weights.mean(1, keepdim=True), weights), dim=1)


def _sinks(tokenizer: Tokenizer) -> Tensor:
    """Return for every id of a vocabulary whether its piece is a sink, (vocab,) bool."""
    return torch.tensor([is_sink(piece) for piece in tokenizer.pieces(range(len(tokenizer)))])
