"""Every way to say where a variant looks: readings of attention, and the methods that `trust` measured."""

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich import box
from rich.cells import cell_len
from rich.table import Table as RichTable
from rich.text import Text

from seq2seq.comparison.forms import GAP, plain
from seq2seq.comparison.readings import ReadVariant
from seq2seq.comparison.runs import Run, read_json
from seq2seq.comparison.variants import Variant

ATTENTION = "attention"
"""What `trust` calls the reading that validation chose."""

HEADS = ("way", "layer", "AER", "ΔAER", "p", "without", "alone", "linked", "ms")
"""After the variant."""

NOTES = {
    "AER": "AER in percent, of layer and head that validation chose in that reading; * is the reading that the "
    "checkpoints keep, beside which Δ and p (paired bootstrap) stand; ms: a sentence, forced, on this machine.",
    "without": "without and alone: nats of log p that a token loses without the words that rank highest, and with them "
    "alone; linked: how often the first is a linked one, in percent. By seq2seq trust.",
}


LEAST = 10
"""Characters of a name in a terminal before it is folded for the sake of figures."""


@dataclass
class Way:
    """A reading, or a method, of a variant."""

    variant: str
    name: str
    read: ReadVariant | None = None
    without: float | None = None  # nats
    alone: float | None = None  # nats
    linked: float | None = None  # 0-1
    milliseconds: float | None = None  # a sentence

    def cells(self) -> list[str]:
        """Return what stands in the columns `HEADS`."""
        read, tested = self.read, self.read and self.read.tested
        aer = "–" if read is None else f"{100 * read.aer.mean:.2f}"
        if read is not None and read.aer.deviation is not None:
            aer += f" ± {100 * read.aer.deviation:.2f}"
        return [
            self.name + ("*" if read is not None and read.own else ""),
            "–" if read is None else read.layers,
            aer,
            f"{100 * tested.difference:+.2f}" if tested else "–",
            f"{tested.p:.3f}" if tested else "–",
            *("–" if value is None else f"{value:.2f}" for value in (self.without, self.alone)),
            "–" if self.linked is None else f"{100 * self.linked:.1f}",
            "–" if self.milliseconds is None else f"{self.milliseconds:.1f}",
        ]


def find_ways(variants: Sequence[Variant], readings: Sequence[ReadVariant], split: str) -> list[Way]:
    """Return a row for each reading that was measured, and for each method of the runs' `trust-<split>.json`."""
    ways: list[Way] = []
    for variant in variants:
        own = [read for read in readings if read.variant == variant.name]
        rows = {read.reading: Way(variant.name, read.reading, read, milliseconds=read.milliseconds) for read in own}
        kept = max(own, key=lambda read: read.own, default=None)
        for name, results in _trusted(variant, split).items():
            row = rows.setdefault(kept.reading if kept and name == ATTENTION else name, Way(variant.name, name))
            row.without = _mean([result["without"] for result in results])
            row.alone = _mean([result["alone"] for result in results])
            hits = [result["hit_rate"] for result in results if result["hit_rate"] is not None]
            row.linked = _mean(hits) if hits else None
            if row.milliseconds is None:
                row.milliseconds = 1e3 * _mean([result["seconds"] for result in results])
        ways += rows.values()
    return ways


def _trusted(variant: Variant, split: str) -> dict[str, list[dict[str, Any]]]:
    """Return what `trust` found of each method, a result a run; what cannot be read, the run knows."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in variant.finished:
        path = run.folder / f"trust-{split}.json"
        if not path.exists():
            continue
        try:
            for name, result in read_json(path)["methods"].items():
                hits = result.get("hit_rate")
                found[str(name)].append(
                    {
                        "without": float(result["comprehensiveness"]["mean"]),
                        "alone": float(result["sufficiency"]["mean"]),
                        "seconds": float(result["seconds"]),
                        "hit_rate": None if hits is None else float(hits),
                    }
                )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            run.problems.append(f"{path.name}: it cannot be read")
    return found


def heads_curves(variants: Sequence[Variant]) -> list[list[dict[str, Any]]]:
    """Return of each variant the curves of BLEU and AER against heads kept, by `seq2seq heads`; a curve a file."""
    return [[curve for run in variant.finished for curve in _curves(run)] for variant in variants]


def _curves(run: Run) -> list[dict[str, Any]]:
    found = []
    for path in sorted(run.folder.glob("heads-*.json")):
        try:
            content = read_json(path)
            points = content["curve"]
            curve: dict[str, Any] = {"seed": run.seed, "split": str(content["split"]), "by": str(content["by"])}
            curve["heads"] = [int(point["heads"]) for point in points]
            curve["bleu"] = [round(float(point["bleu"]), 2) for point in points]
            if all("aer" in point for point in points):
                curve["aer"] = [round(100 * float(point["aer"]), 2) for point in points]
            found.append(curve)
        except (OSError, ValueError, KeyError, TypeError):
            run.problems.append(f"{path.name}: it cannot be read")
    return found


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _shown(ways: Sequence[Way]) -> list[int]:
    """Return which of the columns have anything in them."""
    rows = [way.cells() for way in ways]
    return [i for i in range(len(HEADS)) if any(row[i] != "–" for row in rows)]


def notes_of(ways: Sequence[Way]) -> list[str]:
    """Return what a reader must know of the columns that are shown."""
    shown = {HEADS[i] for i in _shown(ways)}
    return [note for head, note in NOTES.items() if head in shown]


def ways_as_rich(ways: Sequence[Way], width: int) -> RichTable:
    """Return the table for a terminal, with as many figures as fit the width; a variant is named once."""
    first, *figures = _shown(ways)
    rows = [way.cells() for way in ways]
    room = width - sum(min(max(map(cell_len, texts)), LEAST) + GAP for texts in zip(*map(_names, ways), strict=True))
    made = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    made.add_column("variant", overflow="fold", max_width=width // 3)
    made.add_column(HEADS[first], overflow="fold")
    columns = []
    for i in figures:
        room -= max(cell_len(text) for text in (HEADS[i], *(row[i] for row in rows))) + GAP
        if room >= 0:
            columns.append(i)
            made.add_column(HEADS[i], justify="right", no_wrap=True)
    before = None
    for way, row in zip(ways, rows, strict=True):
        made.add_row(*map(Text, (way.variant if way.variant != before else "", *(row[i] for i in (first, *columns)))))
        before = way.variant
    return made


def _names(way: Way) -> tuple[str, str]:
    return way.variant, way.cells()[0]


def ways_as_markdown(ways: Sequence[Way]) -> str:
    """Return the table and its notes."""
    columns = _shown(ways)
    lines = [f"| variant | {' | '.join(HEADS[i] for i in columns)} |", f"|---|---|{'---:|' * (len(columns) - 1)}"]
    for way in ways:
        cells = way.cells()
        lines.append(f"| {plain(way.variant)} | {' | '.join(plain(cells[i]) for i in columns)} |")
    return "\n".join([*lines, "", *(plain(note) for note in notes_of(ways))]) + "\n"


def ways_as_csv(ways: Sequence[Way]) -> str:
    """Return all that is known, in the units of `metrics.json`."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["variant", "way", "seeds", "own", "layers", "aer", "aer_sd", "aer_difference", "aer_p"]
        + ["comprehensiveness", "sufficiency", "hit_rate", "milliseconds"]
    )
    for way in ways:
        read = way.read
        known: list[Any] = [""] * 7
        if read is not None:
            tested = [read.tested.difference, read.tested.p] if read.tested else ["", ""]
            known = [read.aer.n, read.own, read.layers, read.aer.mean, read.aer.deviation, *tested]
        values = [*known, way.without, way.alone, way.linked, way.milliseconds]
        writer.writerow([way.variant, way.name, *(f"{v:.6g}" if isinstance(v, float) else v for v in values)])
    return file.getvalue()


def ways_as_data(ways: Sequence[Way]) -> dict[str, Any]:
    """Return what the page shows."""
    columns = _shown(ways)
    rows = [[way.cells()[i] for i in columns] for way in ways]
    points = [{"reading": way.name, "aer": 100 * way.read.aer.mean} if way.read is not None else None for way in ways]
    return {
        "heads": [HEADS[i] for i in columns],
        "rows": [{"variant": w.variant, "cells": r, "point": p} for w, r, p in zip(ways, rows, points, strict=True)],
        "notes": notes_of(ways),
    }
