"""`seq2seq export`: a trained model for another program."""

import logging
import sys
from pathlib import Path

from seq2seq.checkpoint import read_checkpoint
from seq2seq.cli.keys.command import command_config
from seq2seq.cli.process.output import check_folder
from seq2seq.export.exporting import check_export, export


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config("export", arguments, text_keys=("checkpoint", "output"))
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    output, form = Path(config.output), str(config.format)
    quantization = None if config.quantization is None else str(config.quantization)
    check_folder(output)
    check_export(output, form=form, quantization=quantization)
    checkpoint = read_checkpoint(config.checkpoint, trusted=config.trusted)
    export(checkpoint, output, form=form, quantization=quantization)
    for file in sorted(output.iterdir()):
        print(file)
