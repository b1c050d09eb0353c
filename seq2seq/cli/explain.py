"""`seq2seq explain`: which words of the source, and of the target before, made a model say each word of the target."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress as Bar

from seq2seq.alignment.heatmap import save_figure
from seq2seq.attribution import Explanation, explain
from seq2seq.attribution.figure import figure
from seq2seq.attribution.forced import Progress, unwatched
from seq2seq.attribution.sentences import read_sentence, read_target
from seq2seq.attribution.table import table
from seq2seq.build import build_method, build_search, find_device, load_model
from seq2seq.build_tags import with_tag
from seq2seq.checkpoint import read_checkpoint
from seq2seq.cli.keys.command import command_config
from seq2seq.cli.keys.lists import figure_formats
from seq2seq.cli.process.crowding import sharing_cores
from seq2seq.cli.process.output import check_folder, enter_together
from seq2seq.data.text import is_blank
from seq2seq.decoding.translator import own_translation
from seq2seq.errors import UserError


def main(arguments: list[str]) -> None:
    """Run the command."""
    keys, sentences = ("checkpoint", "output", "tag"), ("source", "target", "contrast")
    config = command_config("explain", arguments, text_keys=keys, sentences=sentences)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    formats = figure_formats(config.figures)
    if config.at is not None and (not isinstance(config.at, int) or isinstance(config.at, bool)):
        raise UserError(f"at={config.at}: expected the number of a word of the target, from 1")
    for key in ("source", "target", "contrast"):
        if config[key] is not None and is_blank(config[key]):  # before a checkpoint is read
            raise UserError(f'{key} is empty, so there is nothing to explain; give words, such as {key}="..."')
    output = None if config.output is None else Path(config.output)
    if output is not None:
        check_folder(output)
    method, search = build_method(config.method), build_search(config.search)
    checkpoint = read_checkpoint(config.checkpoint, trusted=config.trusted)
    device = find_device(config.device)
    model, tokenizers = load_model(checkpoint, device)
    tokenizers = with_tag(tokenizers, config.tag, [checkpoint])
    method.check(model)

    max_length = config.loader.max_length or checkpoint.max_length
    source = read_sentence("source", tokenizers.source, config.source, max_length=max_length)
    with sharing_cores(device), progress_bar(method.name) as progress:
        if config.target is None:
            target = own_translation(model, tokenizers, source, search)
        else:
            target = read_target("target", tokenizers.target, config.target, max_length=max_length)
        explanation = explain(
            model,
            tokenizers,
            source,
            target,
            method=method,
            contrast=config.contrast,
            at=config.at,
            unit=config.unit,
            max_length=max_length,
            tokens_per_batch=config.loader.tokens_per_batch,
            progress=progress,
        )
    print(table(explanation))
    if output is not None:
        write_folder(output, explanation, config.checkpoint, formats)
        print(f"\n{output / f'{explanation.name}.json'}")


@contextmanager
def progress_bar(name: str) -> Iterator[Progress]:
    """Yield what draws a bar on stderr, where that is a terminal; it is gone in the end."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield unwatched
        return
    with Bar(console=console, transient=True) as bar:
        task = bar.add_task(name, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def write_folder(folder: Path, explanation: Explanation, checkpoint: str, formats: list[str]) -> None:
    """Write the numbers and the figures, named by the method; the files appear, or are replaced, together."""
    with enter_together(folder, "explain") as made:
        for suffix in formats:
            save_figure(figure(explanation), made / f"{explanation.name}.{suffix}")
        data = {"checkpoint": checkpoint, **explanation.as_data()}
        text = json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
        # Only the checkpoint's name can hold what is not in UTF-8, and JSON reads such an escape back.
        (made / f"{explanation.name}.json").write_text(text, encoding="utf-8", errors="backslashreplace")
