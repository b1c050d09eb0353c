"""What scripts are told: numbers and files that they can use, and a mistake in one line, before any work is done."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from seq2seq.cli.keys.messages import explain
from seq2seq.cli.process.signals import ending_in_a_line
from seq2seq.errors import Interrupted

PICTURES = (".png", ".svg", ".pdf")


def above_0(text: str) -> int:
    """Return the whole number above 0 that an option says."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number, 1 or more")
    return int(text)


def picture(text: str) -> str:
    """Return the file of a picture that can be written when the work is done."""
    file = Path(text)
    if file.suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"{text}: a picture's name ends in {', '.join(PICTURES)}")
    if not file.parent.is_dir() or file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written; give a file in a folder that is there")
    return text


@contextmanager
def mistakes_in_a_line(overrides: Sequence[str] = (), *, remedy: str = "") -> Iterator[None]:
    """Say what is wrong in one line, as the program does, and end; HYDRA_FULL_ERROR=1 shows the whole trace.

    Args:
        overrides: of every training, which it may be about.
        remedy: how to go on after Ctrl-C, or after another signal that asks to stop.
    """

    def stopped(reason: str, number: int) -> NoReturn:
        with suppress(OSError):  # a terminal that was closed
            print("; ".join(filter(None, [reason, remedy])), file=sys.stderr, flush=True)
        sys.exit(128 + number)

    try:
        with ending_in_a_line(training=False):
            yield
    except Interrupted as interruption:
        stopped(interruption.reason, interruption.number)
    except KeyboardInterrupt:
        stopped("interrupted", signal.SIGINT)
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sys.exit(f"error: {explain(error, 'train', list(overrides))}")
