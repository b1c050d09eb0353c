"""`seq2seq compare`: every run below a folder as one table, in the terminal, as Markdown, CSV and a page with plots."""

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from seq2seq.build import find_device
from seq2seq.cli.keys.command import command_config
from seq2seq.cli.process.crowding import sharing_cores
from seq2seq.cli.process.output import check_folder, write_whole
from seq2seq.comparison.comparing import compare_runs
from seq2seq.comparison.forms import as_csv, as_markdown, as_rich
from seq2seq.comparison.page import as_page, collect_attention
from seq2seq.comparison.readings import Options
from seq2seq.comparison.table import Comparison, make_table
from seq2seq.comparison.ways import Way, find_ways, heads_curves, notes_of, ways_as_csv, ways_as_markdown, ways_as_rich
from seq2seq.errors import counted, unwritable

WIDTH = 120
"""Columns where the output is no terminal."""


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config("compare", arguments, text_keys=("runs", "baseline", "baseline_links", "output"))
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    root = Path(config.runs)
    output = Path(config.output) if config.output else root
    if config.output or root.is_dir():  # before the work; no folder at all is said below
        check_folder(output)
    device = find_device(config.device)
    again = None
    if config.get("reading") is not None:
        again = Options(
            config.reading,
            config.get("links"),
            config.split,
            config.samples,
            config.loader.tokens_per_batch,
            Path(config.loader.cache_dir),
            device,
            list(config.trusted),
        )
    with sharing_cores(device):
        ranked, left_out, chance, read, runs = compare_runs(
            root,
            split=config.split,
            baseline=config.baseline,
            samples=config.samples,
            baseline_links=config.baseline_links,
            again=again,
        )
    attention = collect_attention(ranked, config.split)  # before the table: it says which files were damaged
    ways, heads = find_ways(ranked, read, config.split), heads_curves(ranked)
    table = make_table(ranked, left_out, chance, config.split)
    title = f"{root.resolve().name}: {counted(len(ranked), 'variants')}, {counted(len(runs), 'runs')}"
    files = {
        "comparison.md": as_markdown(table) + (f"\n{ways_as_markdown(ways)}" if ways else ""),
        "comparison.csv": as_csv(table, chance),
        "comparison.html": as_page(table, attention, ways, heads, title),
    } | ({"readings.csv": ways_as_csv(ways)} if ways else {})
    write_together(output, files)
    print_tables(table, ways)
    for name in files:
        print(os.path.join(output, name))


def write_together(output: Path, files: dict[str, str]) -> None:
    """Write texts by the names of their files in a folder, all or none.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(f"output={output}", error) from None
    with ExitStack() as stack:  # all take their names when all are written
        opened = [stack.enter_context(write_whole(output / name)) for name in files]
        for file, text in zip(opened, files.values(), strict=True):
            file.write(text)
            file.flush()  # what is left of it must not fail when another has its name


def print_tables(table: Comparison, ways: Sequence[Way]) -> None:
    """Print the comparison, and that of the ways to read a model, with what there is to say about both."""
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    console.print(as_rich(table, console.width))
    for note in table.notes:
        console.print(note, markup=False, style="dim")
    if ways:
        console.print(ways_as_rich(ways, console.width))
        for note in notes_of(ways):
            console.print(note, markup=False, style="dim")
    for state, where, story in table.remarks:
        console.print(f"{state}: {where}: {story}", markup=False)
    console.print()
