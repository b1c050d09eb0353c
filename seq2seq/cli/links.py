"""`seq2seq links`: word links of a text from its statistics alone, Pharaoh lines `i-j`."""

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from seq2seq.alignment.links import format_links
from seq2seq.alignment.symmetrization import SYMMETRIZATIONS
from seq2seq.cli.keys.command import command_config
from seq2seq.cli.process.output import write_whole
from seq2seq.data.files import read_parallel
from seq2seq.data.text import nfc, words
from seq2seq.errors import UserError, nearest

log = logging.getLogger(__name__)

TEXT_KEYS = ("source", "target", "output", "train.source", "train.target")

SHOWN = 10
"""Lines that a warning names."""


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config("links", arguments, text_keys=TEXT_KEYS)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    statistical = _statistical()
    for key, known in (("aligner", statistical.ALIGNERS), ("symmetrize", SYMMETRIZATIONS)):
        if config[key] not in known:
            raise UserError(f"{key}={config[key]} is not known; {nearest(str(config[key]), list(known))}")
    texts = [config.source, config.target]
    more = _further_text(config)
    with write_whole(config.output, reading=texts + more) as output:
        pairs = _words(texts)
        learn_from = _words(more) if more else []
        if not any(source and target for source, target in pairs + learn_from):
            raise UserError(f"{texts[0]} and {texts[1]}: no line has words on both sides, so there is nothing to link")
        with _progress() as progress:
            aligned = statistical.align_text(
                pairs,
                aligner=config.aligner,
                symmetrize=config.symmetrize,
                learn_from=learn_from,
                progress=progress,
            )
        if aligned.too_long:
            lines = ", ".join(str(i + 1) for i in aligned.too_long[:SHOWN])
            log.warning(
                "%s: without links, as %s takes %d words at most: line %s",
                config.source,
                config.aligner,
                aligned.longest,
                lines + (" ..." if len(aligned.too_long) > SHOWN else ""),
            )
        output.writelines(f"{format_links(links)}\n" for links in aligned.links)


def _statistical() -> ModuleType:
    try:
        return importlib.import_module("seq2seq.alignment.statistical")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "thot":
            raise
        raise UserError("seq2seq links needs the package sil-thot: pip install 'seq2seq[align]'") from None


def _further_text(config: DictConfig) -> list[str]:
    files = {"source": config.train.source, "target": config.train.target}
    missing = [side for side, file in files.items() if file is None]
    if len(missing) == 1:
        (other,) = files.keys() - missing
        raise UserError(f"train.{missing[0]} is missing: say train.{missing[0]}=FILE, or leave train.{other} out")
    return [] if missing else list(files.values())


def _words(paths: list[str]) -> list[tuple[list[str], list[str]]]:
    return [(words(nfc(source)), words(nfc(target))) for source, target in read_parallel(*paths)]


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield what shows on stderr how far each direction is, where that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda *_: None
        return
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def show(direction: str, done: int, total: int) -> None:
            if direction not in tasks:
                tasks[direction] = bars.add_task(direction, total=total)
            bars.update(tasks[direction], completed=done)

        yield show
