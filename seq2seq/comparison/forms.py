"""The table in a terminal, as Markdown and as CSV."""

import csv
import io
import textwrap

from rich import box
from rich.cells import cell_len
from rich.table import Table as RichTable
from rich.text import Text

from seq2seq.comparison.chance import Chance
from seq2seq.comparison.table import TESTED, Column, Comparison, Row, format_cell
from seq2seq.comparison.variants import Statistic

PRIORITY = (
    *("bleu", "aer", "bleu_p", "aer_p", "bleu_difference", "aer_difference", "chrf", "harder", "parameters"),
    *("train/target_tokens_per_second", "ter"),
)
"""Columns for which a narrow terminal has room first, `harder` being those of the other tests; then the rest."""

GAP = 3
"""Spaces between two columns of a terminal's table."""


def as_rich(table: Comparison, width: int) -> RichTable:
    """Return the table for a terminal, with as many of its columns as fit the width."""
    rendered = {
        column.key: [column.label, *(_brief(row, column, table.split) for row in table.rows)]
        for column in table.columns
    }
    first = [["variant", *(row.name for row in table.rows)], ["seeds", *(_seeds(row) for row in table.rows)]]
    name_width = min(max(map(cell_len, first[0])), width // 3)
    room = width - name_width - max(map(cell_len, first[1])) - 2 * GAP
    shown = set()
    for column in sorted(table.columns, key=lambda column: _priority(column, table.split)):
        needed = max(map(cell_len, rendered[column.key])) + GAP
        if needed <= room:
            room -= needed
            shown.add(column.key)
    made = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    made.add_column("variant", overflow="fold", max_width=name_width)
    made.add_column("seeds", justify="right", no_wrap=True)
    columns = [column for column in table.columns if column.key in shown]
    for column in columns:
        made.add_column(column.label, justify="right", no_wrap=True)
    for number, row in enumerate(table.rows, 1):
        cells = [rendered[column.key][number] for column in columns]
        made.add_row(*map(Text, (_folded(row.name, name_width), _seeds(row), *cells)))
    return made


def _folded(name: str, width: int) -> str:
    """Return a name in lines of that width, which end at its hyphens where they can."""
    return "\n".join(textwrap.wrap(name, max(width, 1), drop_whitespace=False))


def _brief(row: Row, column: Column, split: str) -> str:
    """Return a cell as text, with its deviation only where it is of the scores that count most."""
    text = format_cell(row, column)
    return text if column.key in (f"{split}/bleu", f"{split}/aer") else text.partition(" ± ")[0]


def _seeds(row: Row) -> str:
    return row.seeds if row.state == "finished" else row.state


def _priority(column: Column, split: str) -> int:
    key = column.key.removeprefix(f"{split}/")
    key = "harder" if key.endswith(("/bleu", "/aer")) else key
    return PRIORITY.index(key) if key in PRIORITY else len(PRIORITY)


def as_markdown(table: Comparison) -> str:
    """Return the table with all its columns, the notes, and what there is to say about single runs."""
    lines = [
        f"| variant | seeds | {' | '.join(plain(column.label) for column in table.columns)} |",
        f"|---|---|{'---:|' * len(table.columns)}",
    ]
    for row in table.rows:
        cells = [format_cell(row, column) for column in table.columns]
        lines.append(f"| {plain(row.name)} | {_seeds(row)} | {' | '.join(cells)} |")
    lines += ["", *(line for note in table.notes for line in (plain(note), ""))]
    lines += [f"- {state}: {plain(where)}: {plain(story)}" for state, where, story in table.remarks]
    return "\n".join(lines).rstrip() + "\n"


def plain(text: str) -> str:
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
    header = ["variant", "state", "n", "seeds", "baseline", "samples", "tested_seeds", *TESTED]
    writer.writerow([*header, *(column for name in metrics for column in (name, f"{name}_sd"))])
    for variant in table.variants:
        seeds = " ".join(str(run.seed) for run in variant.finished)
        values: list[object] = [variant.name, variant.state, len(variant.finished), seeds]
        values += [chance.baseline, chance.samples] if chance else ["", ""]
        tests = (chance.bleu.get(variant.name), chance.aer.get(variant.name)) if chance else (None, None)
        values.append(" ".join(map(str, tests[0].seeds)) if tests[0] else "")
        for tested in tests:
            values += [_number(tested.difference), _number(tested.p)] if tested else ["", ""]
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
