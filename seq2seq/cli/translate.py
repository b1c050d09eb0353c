"""`seq2seq translate`: lines in, lines out, in order."""

import logging
import sys
from collections.abc import Iterator

from seq2seq.build import build_search, find_device, load_model
from seq2seq.checkpoint import read_checkpoint
from seq2seq.cli.options import command_config
from seq2seq.cli.output import write_whole
from seq2seq.data.files import decode_lines, read_lines
from seq2seq.decoding.translator import Translator


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config("translate", arguments, text_keys=("checkpoint", "input", "output"))
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    checkpoint = read_checkpoint(config.checkpoint, trusted=config.trusted)
    model, tokenizers = load_model(checkpoint, find_device(config.device))
    search = build_search(config.search)
    translator = Translator(
        model,
        tokenizers,
        tokens_per_batch=config.loader.tokens_per_batch,
        max_length=config.loader.max_length or checkpoint.max_length,
    )
    name = config.input or "stdin"
    lines: Iterator[str] = decode_lines(sys.stdin.buffer, name) if config.input is None else read_lines(config.input)
    several = getattr(search, "n_best", 1) > 1
    with write_whole(config.output) as output:
        for number, translations in enumerate(translator.translate(lines, search, name=name)):
            for text, score in translations:
                output.write(f"{number} ||| {text} ||| {score:.4f}\n" if several else f"{text}\n")
