"""One table of all variants: what stands in it, and how it looks in a terminal, as Markdown and as CSV."""

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

from rich import box
from rich.cells import cell_len
from rich.table import Table as RichTable
from rich.text import Text

from seq2seq.comparison.chance import Chance
from seq2seq.comparison.runs import Run
from seq2seq.comparison.variants import Statistic, Variant

PRIORITY = ("bleu", "p", "aer", "chrf", "difference", "parameters", "train/target_tokens_per_second", "ter")
"""Columns for which a narrow terminal has room first; then the other tests, then the rest."""


class Column(NamedTuple):
    """A metric as a column."""

    key: str  # in metrics.json; `difference` and `p` are of the test against the baseline
    label: str
    decimals: int = 1
    factor: float = 1.0
    better: int = 0  # 1: more, -1: less, 0: neither
    spread: bool = True  # whether a deviation is worth showing
    about: str = ""


class Cell(NamedTuple):
    """What stands in a column, in the column's units."""

    value: float
    deviation: float | None = None


class Row(NamedTuple):
    """A variant."""

    name: str
    seeds: str  # how many runs count, of how many
    state: str
    story: str  # why there is nothing to show
    cells: dict[str, Cell]


class Comparison(NamedTuple):
    """All that the four forms of the table show."""

    split: str
    columns: list[Column]
    rows: list[Row]  # highest BLEU first, those without scores at the end
    variants: list[Variant]  # as the rows
    notes: list[str]
    remarks: list[tuple[str, str, str]]  # of single runs: where, state, story


def make_table(variants: Sequence[Variant], left_out: Sequence[Run], chance: Chance | None, split: str) -> Comparison:
    """Return the table of variants whose scores on a split count."""

    def bleu(variant: Variant) -> float:
        statistic = variant.statistic(f"{split}/bleu")
        return statistic.mean if statistic else -1.0

    variants = sorted(variants, key=lambda variant: (not variant.finished, -bleu(variant), variant.name))
    columns = [column for column in _columns(variants, split) if _has(variants, column, chance)]
    rows = [_row(variant, columns, chance) for variant in variants]
    remarks = [
        (run.where, run.state, run.story) for variant in variants for run in variant.runs if run.state != "finished"
    ]
    remarks += [(run.where, "left out", "a newer run has the same configuration and seed") for run in left_out]
    return Comparison(split, columns, rows, list(variants), _notes(variants, chance, split), remarks)


def splits_of(variants: Sequence[Variant]) -> list[str]:
    """Return the splits that some run was scored on, tests first."""
    names = {
        name.removesuffix("/bleu")
        for variant in variants
        for run in variant.finished
        for name in run.metrics
        if name.endswith("/bleu")
    }
    return sorted(names, key=lambda name: (not name.startswith("test"), name))


def _columns(variants: Sequence[Variant], split: str) -> list[Column]:
    others = [name for name in splits_of(variants) if name.startswith("test") and name != split]
    harder = []
    for name in others:
        short = name.removeprefix("test_").replace("_", " ")
        harder += [
            Column(f"{name}/bleu", f"BLEU {short}", better=1, about=f"BLEU on {name}"),
            Column(
                f"{name}/aer", f"AER {short}", factor=100, better=-1, about=f"alignment error rate on {name}, percent"
            ),
        ]
    return [
        Column(f"{split}/bleu", "BLEU", better=1, about=f"BLEU on {split}"),
        Column("difference", "ΔBLEU", about="BLEU less the baseline's, for the seed that was tested"),
        Column("p", "p", 3, about="paired bootstrap against the baseline: how often chance alone differs as much"),
        Column(f"{split}/chrf", "chrF", better=1, about=f"chrF on {split}"),
        Column(f"{split}/ter", "TER", better=-1, about=f"translation edit rate on {split}"),
        Column(f"{split}/aer", "AER", factor=100, better=-1, about=f"alignment error rate on {split}, percent"),
        *harder,
        Column("parameters", "params M", 2, 1e-6, spread=False, about="millions of parameters"),
        Column(
            "train/target_tokens_per_second", "train tok/s", 0, better=1, about="target tokens a second of training"
        ),
        Column(f"{split}/sentences_per_second", "decode sent/s", 0, better=1, about=f"sentences a second on {split}"),
        Column("train/peak_memory_mib", "peak MiB", 0, better=-1, about="peak memory of training"),
        Column(f"{split}/entropy", "entropy", 2, about="of the rows of the alignment's weights, nats"),
        Column(f"{split}/sink_mass", "sink", 2, about="weight on end of sentence and punctuation, 0-1"),
        Column("epochs", "epochs", 0, spread=False, about="epochs trained"),
        Column("train/seconds", "train s", 0, spread=False, about="seconds of training, without validation"),
    ]


def _has(variants: Sequence[Variant], column: Column, chance: Chance | None) -> bool:
    if column.key in ("difference", "p"):
        return chance is not None and bool(chance.tested)
    return column.key.endswith("/bleu") or any(variant.statistic(column.key) for variant in variants)


def _row(variant: Variant, columns: Sequence[Column], chance: Chance | None) -> Row:
    cells = {}
    for column in columns:
        statistic = variant.statistic(column.key)
        tested = chance.tested.get(variant.name) if chance else None
        if statistic is not None:
            deviation = (
                statistic.deviation * column.factor if statistic.deviation is not None and column.spread else None
            )
            cells[column.key] = Cell(statistic.mean * column.factor, deviation)
        elif tested is not None and column.key in ("difference", "p"):
            cells[column.key] = Cell(getattr(tested.result, column.key))
    count, total = len(variant.finished), len(variant.runs)
    seeds = str(count) if count == total else f"{count} of {total}"
    return Row(variant.name, seeds, variant.state, "" if variant.finished else variant.runs[0].story, cells)


def _notes(variants: Sequence[Variant], chance: Chance | None, split: str) -> list[str]:
    several = any(len(variant.finished) > 1 for variant in variants)
    notes = [
        f"Scores are of {split}" + (", mean ± standard deviation over seeds" if several else "") + "; AER in percent."
    ]
    if chance is not None and chance.tested:
        seeds = {tested.seed for tested in chance.tested.values()}
        which = f"seed {seeds.pop()}" if len(seeds) == 1 else "the first seed that both have"
        signature = next(iter(chance.tested.values())).result.signature
        notes.append(
            f"ΔBLEU and p: paired bootstrap against {chance.baseline} with {chance.samples:,} samples, on {which} "
            f"({signature}); below 0.05 a difference is unlikely to be chance, as far as one seed can tell."
        )
    return notes


def format_cell(cell: Cell | None, column: Column) -> str:
    """Return a cell as text: `97.2 ± 0.3`; `–` where there is nothing."""
    if cell is None:
        return "–"
    sign = "+" if column.key == "difference" else ""
    text = f"{cell.value:{sign},.{column.decimals}f}"
    return text if cell.deviation is None else f"{text} ± {cell.deviation:,.{column.decimals}f}"


def as_rich(table: Comparison, width: int) -> RichTable:
    """Return the table for a terminal, with as many of its columns as fit the width."""
    rendered = {
        column.key: [column.label, *(format_cell(row.cells.get(column.key), column) for row in table.rows)]
        for column in table.columns
    }
    first = [["variant", *(row.name for row in table.rows)], ["seeds", *(_seeds(row) for row in table.rows)]]
    name_width = min(max(map(cell_len, first[0])), width // 3)
    room = width - name_width - 2 - max(map(cell_len, first[1])) - 2
    shown = set()
    for column in sorted(table.columns, key=lambda column: _priority(column, table.split)):
        needed = max(map(cell_len, rendered[column.key])) + 2
        if needed <= room:
            room -= needed
            shown.add(column.key)
    made = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=False)
    made.add_column("variant", overflow="fold", max_width=name_width)
    made.add_column("seeds", justify="right", no_wrap=True)
    columns = [column for column in table.columns if column.key in shown]
    for column in columns:
        made.add_column(column.label, justify="right", no_wrap=True)
    for number, row in enumerate(table.rows, 1):
        cells = [rendered[column.key][number] for column in columns]
        made.add_row(*map(Text, (row.name, _seeds(row), *cells)))
    return made


def _seeds(row: Row) -> str:
    return row.seeds if row.state == "finished" else row.state


def _priority(column: Column, split: str) -> tuple[int, int]:
    key = column.key.removeprefix(f"{split}/")
    if key in PRIORITY:
        return PRIORITY.index(key), 0
    return len(PRIORITY) + (not key.endswith(("/bleu", "/aer"))), 0


def as_markdown(table: Comparison) -> str:
    """Return the table with all its columns, the notes, and what there is to say about single runs."""
    lines = [
        f"| variant | seeds | {' | '.join(_plain(column.label) for column in table.columns)} |",
        f"|---|---|{'---:|' * len(table.columns)}",
    ]
    for row in table.rows:
        cells = [format_cell(row.cells.get(column.key), column) for column in table.columns]
        lines.append(f"| {_plain(row.name)} | {_seeds(row)} | {' | '.join(cells)} |")
    lines += ["", *(line for note in table.notes for line in (_plain(note), ""))]
    lines += [f"- {_plain(where)}: {state}: {_plain(story)}" for where, state, story in table.remarks]
    return "\n".join(lines).rstrip() + "\n"


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    for character in "\\`*_[]<>|":
        text = text.replace(character, f"\\{character}")
    return text


def as_csv(table: Comparison, chance: Chance | None) -> str:
    """Return everything: mean and deviation of every metric of every variant, in the units of `metrics.json`."""
    metrics = list(dict.fromkeys(name for v in table.variants for run in v.finished for name in run.metrics))
    metrics = [name for name in metrics if name != "seed"]
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    header = ["variant", "state", "n", "seeds", "baseline", "bleu_difference", "p", "tested_seed", "samples"]
    writer.writerow([*header, *(column for name in metrics for column in (name, f"{name}_sd"))])
    for variant in table.variants:
        seeds = " ".join(str(run.seed) for run in variant.finished)
        values: list[object] = [variant.name, variant.state, len(variant.finished), seeds]
        tested = chance.tested.get(variant.name) if chance else None
        values += [chance.baseline if chance else ""]
        values += (
            [_number(tested.result.difference), _number(tested.result.p), tested.seed, chance.samples]
            if chance and tested
            else [""] * 4
        )
        for name in metrics:
            values += _both(variant.statistic(name))
        writer.writerow(values)
    return file.getvalue()


def _both(statistic: Statistic | None) -> list[str]:
    if statistic is None:
        return ["", ""]
    return [_number(statistic.mean), "" if statistic.deviation is None else _number(statistic.deviation)]


def _number(value: float) -> str:
    return f"{value:.8g}"
