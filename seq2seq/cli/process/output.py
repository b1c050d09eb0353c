"""Output that is whole or not there at all, and where it goes."""

import errno
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from seq2seq.cli.process.streams import check_stdout
from seq2seq.errors import Interrupted, UserError, is_full, unwritable
from seq2seq.unfinished import part_of


@contextmanager
def write_whole(path: str | Path | None, *, reading: Iterable[str | None] = ()) -> Iterator[TextIO]:
    """Yield a file that takes its name only when the block ends well; stdout where the path is None.

    What is no plain file, such as `/dev/stdout`, is written to directly. A link stays one, to the new content.

    Args:
        path: of the file.
        reading: files that are read meanwhile, none of which the path may be.
    """
    if path is None:
        check_stdout()
        yield sys.stdout
        sys.stdout.flush()
        return
    if not str(path):
        raise UserError("output= is empty, as of a variable of the shell that is not set; give a file")
    path = Path(path)
    if os.path.isdir(path):
        raise UserError(f"cannot write {path}: it is a folder; give a file")
    if any(other and os.path.isfile(path) and os.path.exists(other) and path.samefile(other) for other in reading):
        raise UserError(f"cannot write {path}: it is being read; give another file")
    of_system = path.absolute().is_relative_to("/dev") or path.absolute().is_relative_to("/proc")
    # Written to, not replaced:
    direct = (of_system and path.is_symlink()) or (os.path.exists(path) and not os.path.isfile(path))
    whole = Path(os.path.realpath(path)) if path.is_symlink() and not direct else path
    place = path if direct else part_of(whole)
    try:
        # Only names of files can hold what is not in UTF-8, and JSON reads such an escape back.
        # A descriptor of our own is written to as it is: opened anew, a file behind it would begin anew, too.
        opened = _descriptor(path) if direct else place
        with open(opened, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            yield file
        if not direct:
            os.replace(place, whole)
    except Interrupted as interruption:
        raise interruption if direct else interruption.saying(f"{path} is as it was before") from None
    except KeyboardInterrupt as interruption:
        raise interruption if direct else KeyboardInterrupt(f"{path} is as it was before") from None
    except OSError as error:
        # The last is of a descriptor that is there to be read.
        ours = error.filename in (str(place), str(path)) or is_full(error) or error.errno in (errno.EFBIG, errno.EBADF)
        if not ours:
            raise
        raise unwritable(str(path), error, "give a file in a folder that can be written") from None
    finally:
        if not direct:
            with suppress(OSError):
                place.unlink()


def _descriptor(path: Path) -> int | Path:
    """Return a copy of the descriptor of this process that a path means, as `/dev/stdout` does; else the path."""
    found = re.fullmatch(r"/dev/(stdout|stderr)|/(?:dev|proc/self)/fd/(\d+)", str(path.absolute()))
    if found is None:
        return path
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return os.dup(int(found[2] or {"stdout": 1, "stderr": 2}[found[1]]))


@contextmanager
def made_beside(folder: Path, name: str) -> Iterator[tuple[Path, Path]]:
    """Yield two empty folders on the disk of another, gone in the end: what is made, and what leaves, for `exchange`.

    Args:
        folder: that `exchange` is to fill.
        name: of a part (`unfinished.part_of`) in it, or beside it while it is not there.

    Raises:
        UserError: they cannot be written.
    """
    near = folder if folder.exists() else folder.parent
    try:
        near.mkdir(parents=True, exist_ok=True)
        part = part_of(near / name)
        made, old = part / "new", part / "old"
        shutil.rmtree(part, ignore_errors=True)  # of an earlier process with our number
        try:
            made.mkdir(parents=True)
            old.mkdir()
            yield made, old
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise unwritable(f"output={folder}", error) from None


@contextmanager
def enter_together(folder: Path, name: str) -> Iterator[Path]:
    """Yield an empty folder whose files enter another when the block ends well, in place of those of their names.

    Args:
        folder: as of `made_beside`, like the name.
        name: of the part.

    Raises:
        UserError: they cannot be written; then all is as it was.
    """
    with made_beside(folder, name) as (made, old):
        yield made
        entering = list(made.iterdir())
        leaving = [folder / path.name for path in entering if (folder / path.name).exists()]
        exchange(folder, entering=entering, leaving=leaving, old=old)


def exchange(folder: Path, *, entering: Sequence[Path], leaving: Sequence[Path], old: Path) -> None:
    """Move what leaves a folder out of it, to another, and then what enters it in; or else leave all as it was.

    A process that is killed in the middle leaves a part of either, in the order that is given.
    """
    new = not folder.exists()
    folder.mkdir(exist_ok=True)
    moves = [(path, old / path.name) for path in leaving] + [(path, folder / path.name) for path in entering]
    begun = 0
    try:
        for begun, (path, place) in enumerate(moves, 1):  # noqa: B007
            path.rename(place)
    except BaseException:
        for path, place in reversed(moves[:begun]):
            if not os.path.lexists(path):  # the last one may not have been moved
                place.rename(path)
        if new:
            folder.rmdir()
        raise


def check_folder(folder: Path, key: str = "output=") -> None:
    """Refuse a place where nothing can be written; `key` is what stands before it on the command line.

    Raises:
        UserError: it is a file, below a file, or nobody may write there.
    """
    existing = next(path for path in (folder, *folder.parents, Path()) if path.exists())
    if not existing.is_dir():
        raise UserError(f"cannot write {key}{folder}: {existing} is a file; give a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"cannot write {key}{folder}: no permission in {existing}; give another folder")


def results_folder(output: str | None, checkpoint: str) -> Path:
    """Return the folder for what was found of a checkpoint, made if need be: the given one, or that of its run.

    Raises:
        UserError: it cannot be written. So ask before the work whose results it is for.
    """
    folder = Path(output) if output else run_folder(checkpoint)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(f"output={folder}", error) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"cannot write output={folder}: no permission; give a folder that can be written")
    return folder


def refuse_other_results(file: Path, settings: dict[str, Any]) -> None:
    """Refuse to write results over those of other settings, which a JSON file holds.

    Raises:
        UserError: naming the settings that differ.
    """
    if not file.exists():
        return
    try:
        before = dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        before = {}
    other = [key for key, value in settings.items() if before.get(key) != value]
    if other:
        raise UserError(
            f"output={file.parent} has {file.name} of other settings ({', '.join(other)}); give another folder"
        )


def run_folder(checkpoint: str) -> Path:
    """Return the folder of the run that a checkpoint lies in; that of the file where it lies in none."""
    folder = Path(checkpoint).resolve().parent
    return folder.parent if folder.name == "checkpoints" else folder


def from_here(path: Path) -> Path:
    """Return a path as seen from the current folder, where it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
