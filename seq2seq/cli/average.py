"""`seq2seq average`: a checkpoint whose weights are the mean of those of several."""

import logging
import sys
from pathlib import Path

from seq2seq.averaging import average
from seq2seq.cli.keys.checkpoints import read_checkpoints
from seq2seq.cli.keys.command import command_config


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config("average", arguments, text_keys=("checkpoints", "output"))
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    checkpoints = read_checkpoints("checkpoints", config.checkpoints, trusted=config.trusted)
    output = Path(config.output)
    average(checkpoints, output)
    print(f"the mean of {len(checkpoints)} checkpoints; written to {output}")
