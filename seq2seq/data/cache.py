"""Folders named by what went into them: built once, by one process, and renamed into place when complete."""

import hashlib
import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from seq2seq.errors import UserError, is_full

logger = logging.getLogger(__name__)

SUMS = "sums.json"
_whole: set[Path] = set()  # folders that this process has looked at


def content_key(**parts: object) -> str:
    """A name of 16 hexadecimal digits that changes whenever a part does; parts are plain JSON data."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def build_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """The folder, after `build(temporary folder)` has filled it unless it was there already, whole.

    Of several processes one builds and the others wait for it. The folder appears by a rename, so that nobody ever sees
    half of it, and a builder that was killed leaves nothing that is taken for the result. One whose files are not what
    was built is said to be damaged, and built anew. Raises UserError when there is no space for it, or no permission.
    """
    if _is_whole(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f"{folder.name}.lock")).acquire()
    except OSError as error:
        raise UserError(
            f"cannot write to the cache {folder.parent} ({error.strerror}); say loader.cache_dir=DIR"
        ) from error
    with lock:
        if _is_whole(folder):
            return folder
        if folder.exists():
            logger.warning("%s is damaged, and is made anew", folder)
            shutil.rmtree(folder)
        temporary = folder.with_name(f"{folder.name}.building")
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir()
            build(temporary)
            sums = {file.name: content_sum(file) for file in sorted(temporary.iterdir())}
            (temporary / SUMS).write_text(json.dumps(sums))
            os.replace(temporary, folder)
        except OSError as error:
            if not is_full(error):
                raise
            raise UserError(
                f"no space left for the cache {folder}: make some, or say loader.cache_dir=DIR on another disk"
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    _whole.add(folder)
    return folder


def built_sums(folder: Path) -> dict[str, list[int]]:
    """The size and the CRC-32 of each file that was built in a folder."""
    return json.loads((folder / SUMS).read_text())


def _is_whole(folder: Path) -> bool:
    """Whether the files of a folder are those that were built; looked at once a process."""
    if folder in _whole and folder.is_dir():
        return True
    try:
        if any(content_sum(folder / name) != sum_ for name, sum_ in built_sums(folder).items()):
            return False
    except (OSError, ValueError, AttributeError):
        return False
    _whole.add(folder)
    return True


def content_sum(file: Path) -> list[int]:
    """The size and the CRC-32 of a file."""
    size = crc = 0
    with file.open("rb") as content:
        while part := content.read(1 << 20):
            size, crc = size + len(part), zlib.crc32(part, crc)
    return [size, crc]
