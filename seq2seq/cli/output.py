"""Output that is whole or not there at all."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from seq2seq.errors import UserError


@contextmanager
def write_whole(path: str | Path | None) -> Iterator[TextIO]:
    """Yield a file that takes its name only when the block ends well; stdout where the path is None.

    What is no plain file, such as `/dev/stdout`, is written to directly.
    """
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    path = Path(path)
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder; give a file")
    if path.is_symlink() or (path.exists() and not path.is_file()):  # a device or a link is written to, not replaced
        with path.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        os.replace(temporary, path)
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
        if error.filename not in (str(temporary), str(path)):
            raise
        raise UserError(f"cannot write {path}: {error.strerror}; give a file in an existing folder") from None
    finally:
        temporary.unlink(missing_ok=True)


def from_here(path: Path) -> Path:
    """Return a path as seen from the current folder, where it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
