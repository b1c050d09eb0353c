"""`seq2seq tensorboard`: TensorBoard on the runs, with every picture of every validation."""

import os
import signal
import sys
from pathlib import Path

from seq2seq.cli.keys.command import command_config
from seq2seq.data.files import walk
from seq2seq.errors import UserError

ALL = 10_000
"""Pictures and texts a tag; TensorBoard by itself shows a sample of 10."""


def main(arguments: list[str]) -> None:
    """Run the command: this process becomes TensorBoard, so that a signal ends both it and its data server."""
    config = command_config("tensorboard", arguments, text_keys=("runs", "host"))
    command = tensorboard_command(config.runs, host=config.host, port=config.port)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell ignores Ctrl-C for a job in the background
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    os.execv(sys.executable, command)


def tensorboard_command(runs: str, *, host: str, port: int) -> list[str]:
    """Return the command line that shows the runs in and below a folder.

    Raises:
        UserError: there is no such folder, or no run in it.
    """
    folder = Path(runs)
    if not 0 <= port <= 65535:
        raise UserError(f"port={port}: expected 0 (any that is free) to 65535, such as 6006")
    if not folder.is_dir():
        raise UserError(f"there is no folder {runs}; give the one that holds the runs, such as runs=outputs")
    if not any(name.startswith("events.out.tfevents.") for _, _, files in walk(folder) for name in files):
        raise UserError(f"there is no run in or below {runs}; `seq2seq train` writes one, by default in outputs/")
    return [
        sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--host", host, "--port", str(port),
        "--samples_per_plugin", f"images={ALL},text={ALL}",
    ]  # fmt: skip
