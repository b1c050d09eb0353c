"""What heads did over a data set, and what that says: which head, read how, is the alignment."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import torch
from torch import Tensor

from seq2seq.alignment.analysis import HeadStatistics
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.errors import UserError
from seq2seq.evaluation.link_counts import LinkCounts, score_of
from seq2seq.evaluation.mean_norms import MeanNorms
from seq2seq.models.encoder_decoder import site_of
from seq2seq.reading import Reading


@dataclass
class HeadFindings:
    """What heads did: sums over pairs, and by the number of a pair what its links are made of."""

    sums: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)  # by module: (statistic, heads), rows (heads,)
    norms: MeanNorms = field(default_factory=MeanNorms)
    heads: list[AlignmentChoice] = field(default_factory=list)  # of cross-attention, reading by reading
    agreement: dict[int, Tensor] = field(default_factory=dict)  # (heads,), as all below in the order of `heads`
    counts: dict[int, Tensor] = field(default_factory=dict)  # (heads, 4): `LinkCounts` of the extracted links
    argmax: dict[int, Tensor] = field(default_factory=dict)  # (heads, 4): of the largest weight of each row
    diagonal: dict[int, Tensor] = field(default_factory=dict)  # (4,): of the diagonal, whatever heads do

    def add_sums(self, name: str, sums: Tensor, rows: Tensor) -> None:
        """Add statistics (statistic, heads) of a module, summed over so many rows (heads,)."""
        before = self.sums.get(name)
        self.sums[name] = (sums, rows) if before is None else (before[0] + sums, before[1] + rows)

    def merge(self, others: Self) -> None:
        """Add what another process has found of other pairs."""
        for name, found in others.sums.items():
            self.add_sums(name, *found)
        self.norms.merge(others.norms.sums)
        self.heads = self.heads or others.heads
        self.agreement |= others.agreement
        self.counts |= others.counts
        self.argmax |= others.argmax
        self.diagonal |= others.diagonal


class HeadReport:
    """What findings say of every head in every reading."""

    def __init__(self, found: HeadFindings, readings: Sequence[Reading]) -> None:
        self.readings = readings
        self._found = found
        self._agreement = torch.stack([*found.agreement.values()]).mean(0).tolist() if found.agreement else []
        self._counts, self._argmax, self._diagonal = map(_total, (found.counts, found.argmax, found.diagonal))
        aligns = self._agreement if self._counts is None else [-score_of(counts).aer for counts in self._counts]
        self._quality: list[float] = aligns  # of each head of each reading

    def choose(self, reading: Reading | None = None) -> AlignmentChoice | None:
        """Return what aligns best here: by AER, without gold links by agreement; None without attention.

        Args:
            reading: of this one; None: of all.
        """
        ranked = zip(self._quality, self._found.heads, strict=True)
        known = [(quality, head) for quality, head in ranked if reading in (None, head.reading)]
        return max(known, key=lambda each: each[0])[1] if known else None

    def choose_by_norm(self) -> str | None:
        """Return the layer whose contributions are largest, a choice without links; None where norms are not read."""
        return self._found.norms.largest()

    def score(self, choice: AlignmentChoice) -> dict[str, float]:
        """Return the metrics of the chosen head, `aer` and so on only where there are gold links.

        Raises:
            UserError: the model has no such head.
        """
        i = self._find(choice)
        metrics: dict[str, float] = {}
        if self._counts is not None:
            assert self._argmax is not None and self._diagonal is not None
            chosen = score_of(self._counts[i])
            metrics |= {"aer": chosen.aer, "alignment_precision": chosen.precision, "alignment_recall": chosen.recall}
            metrics["aer_argmax"] = score_of(self._argmax[i]).aer
            metrics["aer_diagonal"] = score_of(self._diagonal).aer
            if len(self._found.heads) > len(self.readings):
                for head, counts in zip(self._found.heads, self._counts, strict=True):
                    if head.head is None and head.reading == choice.reading:
                        metrics[f"aer_by_layer/layer{site_of(head.layer).layer}"] = score_of(counts).aer
            if len(self.readings) > 1:
                best = {row["reading"]: row["aer"] for row in reversed(self.by_reading()) if row["best"]}
                metrics |= {f"aer_by_reading/{reading}": best[str(reading)] for reading in self.readings}
        if len(self._found.norms.sums) > 1:
            metrics["norm_rule_hits"] = float(self.choose_by_norm() == choice.layer)
        report = next(
            row for row in self.heads(choice.reading) if row["name"] == choice.layer and row["head"] == choice.head
        )
        return metrics | {name: report[name] for name in ("entropy", "sink_mass", "nowhere")}

    def counts(self, choice: AlignmentChoice) -> dict[int, LinkCounts]:
        """Return the counts of the chosen head for each pair that has gold links."""
        i = self._find(choice)
        return {index: LinkCounts(*counts[i].tolist()) for index, counts in self._found.counts.items()}

    def by_reading(self) -> list[dict[str, Any]]:
        """Return rows of every reading: of each layer all heads together, and the best of all it has, marked `best`."""
        rows: list[dict[str, Any]] = []
        for reading in self.readings:
            own = [i for i, head in enumerate(self._found.heads) if head.reading == reading]
            best = max(own, key=lambda i: self._quality[i], default=None)
            for i in own:
                head = self._found.heads[i]
                if head.head is None or i == best:
                    row = {"reading": str(reading), "layer": site_of(head.layer).layer, "head": head.head}
                    row |= {"best": i == best}
                    if self._argmax is None:
                        row |= {"agreement": self._quality[i]}
                    else:
                        row |= {"aer": -self._quality[i], "aer_argmax": score_of(self._argmax[i]).aer}
                    rows.append(row)
        return rows

    def heads(self, reading: Reading | None = None) -> list[dict[str, Any]]:
        """Return a row a head: where it sits, its statistics, and for cross-attention how it aligns.

        Args:
            reading: how it aligns in this one; None: in the first. Statistics are always of weights at the output.
        """
        rows: list[dict[str, Any]] = []
        reading = reading or self.readings[0]
        for name, (sums, counts) in self._found.sums.items():
            site = site_of(name)
            for number, head in enumerate(heads_of(len(counts))):
                row: dict[str, Any] = {"name": name, **site._asdict(), "head": head}
                means = (sums[:, number] / counts[number].clamp(min=1)).tolist()
                row |= HeadStatistics(*means)._asdict()
                if site.kind == "cross":
                    i = self._find(AlignmentChoice(name, head, reading.row, reading.quantity))
                    row["agreement"] = self._agreement[i]
                    if self._counts is not None:
                        score = score_of(self._counts[i])
                        row |= {"aer": score.aer, "precision": score.precision, "recall": score.recall}
                    if name in self._found.norms.sums:
                        row["norm"] = self._found.norms.mean(name, number)
                rows.append(row)
        return rows

    def _find(self, choice: AlignmentChoice) -> int:
        if choice not in self._found.heads:
            known = ", ".join(dict.fromkeys(head.layer for head in self._found.heads))
            raise UserError(f"the alignment was chosen as {choice.layer}, but the model has only {known}")
        return self._found.heads.index(choice)


def heads_of(size: int) -> list[int | None]:
    """Return which heads so many rows of statistics are of: None, the mean of several, stands before them."""
    return [None, *range(size - 1)]


def _total(by_pair: dict[int, Tensor]) -> Tensor | None:
    return torch.stack([*by_pair.values()]).sum(0) if by_pair else None
