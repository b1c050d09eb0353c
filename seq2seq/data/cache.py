"""Folders named by what went into them: built once, by one process, and renamed into place when complete."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def content_key(**parts: object) -> str:
    """A name of 16 hexadecimal digits that changes whenever a part does; parts are plain JSON data."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def build_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """The folder, after `build(temporary folder)` has filled it unless it was there already.

    Of several processes one builds and the others wait for it. The folder appears by a rename, so that nobody ever sees
    half of it, and a builder that was killed leaves nothing that is taken for the result.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if folder.is_dir():
            return folder
        temporary = folder.with_name(f"{folder.name}.building")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            build(temporary)
            os.replace(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder
