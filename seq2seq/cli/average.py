"""`seq2seq average`: a checkpoint whose weights are the mean of those of several."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from seq2seq.averaging import mean_weights
from seq2seq.build import find_device, load_model
from seq2seq.checkpoint import KEY, MODEL_PREFIX, Checkpoint, pack
from seq2seq.cli.checkpoints import read_checkpoints
from seq2seq.cli.command import command_config
from seq2seq.cli.output import check_new_file
from seq2seq.errors import UserError
from seq2seq.training.last_checkpoint import CheckpointFiles

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config("average", arguments, text_keys=("checkpoints", "output"))
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    checkpoints = read_checkpoints("checkpoints", config.checkpoints, trusted=config.trusted)
    output = Path(config.output)
    average(checkpoints, output)
    print(f"the mean of {len(checkpoints)} checkpoints; written to {output}")


def average(checkpoints: Sequence[Checkpoint], output: Path) -> None:
    """Write a checkpoint whose weights are the mean of those of several.

    Raises:
        UserError: there are fewer than two, they are not of one model, or the file cannot be written, or is there.
    """
    if len(checkpoints) < 2:
        given = ",".join(checkpoint.path for checkpoint in checkpoints)
        raise UserError(f"checkpoints={given} is one alone; give at least two: [FILE,FILE]")
    check_new_file(output, [checkpoint.path for checkpoint in checkpoints], example="averaged.ckpt")
    first = checkpoints[0]
    # Weights that are tied in the model are one tensor in what it hands out, and in the file.
    model, _ = load_model(first._replace(weights=mean_weights(checkpoints)), find_device("cpu"))
    content = {
        "state_dict": {f"{MODEL_PREFIX}{name}": tensor for name, tensor in model.state_dict().items()},
        KEY: pack(first.config, first.tokenizers, first.alignment)
        | {"averaged_from": [os.path.abspath(checkpoint.path) for checkpoint in checkpoints]},
    }
    CheckpointFiles().save_checkpoint(content, output)
    other = next((checkpoint for checkpoint in checkpoints if checkpoint.alignment != first.alignment), None)
    if other is not None:
        log.warning("the alignment is that of %s; %s has another", first.path, other.path)
