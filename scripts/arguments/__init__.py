"""What scripts are told: numbers and files that they can use, and a mistake in one line, before any work is done."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from seq2seq.cli.messages import explain

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
def mistakes_in_a_line(overrides: Sequence[str] = (), *, interrupted: str = "interrupted") -> Iterator[None]:
    """Say what is wrong in one line, as the program does, and end; HYDRA_FULL_ERROR=1 shows the whole trace.

    Args:
        overrides: of every training, which it may be about.
        interrupted: what Ctrl-C is told.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        sys.exit(f"error: {explain(error, 'train', list(overrides))}")
