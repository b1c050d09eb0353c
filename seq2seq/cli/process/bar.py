"""A progress bar for long inputs: on stderr, where somebody sees it and nothing else is said meanwhile."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from seq2seq.data.files import GZIP

PART = 1 << 20
"""Bytes that are read at once where lines are counted."""


class Rate(ProgressColumn):
    """Lines a second."""

    def render(self, task: Task) -> Text:
        """Return it as text."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.0f} lines/s")


@contextmanager
def line_bar(path: str | None, output: str | None) -> Iterator[Callable[[int], None]]:
    """Yield what is told how many more lines are done.

    Nothing is shown where stderr is no terminal, where a person types the lines, or where the output goes to a
    terminal itself.

    Args:
        path: of the input; None: stdin, whose end is not known.
        output: of the command; None: stdout.
    """
    typed = path is None and sys.stdin is not None and sys.stdin.isatty()
    mixed = output is None and sys.stdout is not None and sys.stdout.isatty()
    if not sys.stderr.isatty() or typed or mixed:
        yield lambda _: None
        return
    columns = (BarColumn(), MofNCompleteColumn(), Rate(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("", total=None if path is None else count_lines(path))
        yield lambda lines: bar.advance(task, lines)


def count_lines(path: str) -> int | None:
    """Return how many lines a file has; None of a pipe, and of a packed file, which would have to be unpacked twice."""
    if not os.path.isfile(path):
        return None
    count, last = 0, b"\n"
    with open(path, "rb") as file:
        if file.read(len(GZIP)) == GZIP:
            return None
        file.seek(0)
        while part := file.read(PART):
            count += part.count(b"\n")
            last = part[-1:]
    return count + (last != b"\n")
