"""One checkpoint or several, as a person names them: `checkpoint=FILE`, `checkpoint=[FILE,FILE]`."""

import os
import re
from collections.abc import Iterable

from seq2seq.checkpoint import Checkpoint, read_checkpoint
from seq2seq.errors import UserError

PATH = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)"|([^,]*?))\s*(?:,|$)""")
"""A path of a list, in quotes where it has a comma, and the comma after it."""


def paths_of(key: str, given: str) -> list[str]:
    """Return the paths that the value of a key names: a path, or a list of them in brackets.

    Raises:
        UserError: the list is empty, or names nothing between two commas.
    """
    if not (given.startswith("[") and given.endswith("]")) or os.path.exists(given):
        return [given]
    inside = given[1:-1].removesuffix(",")
    paths, at = [], 0
    while at < len(inside):
        found = PATH.match(inside, at)
        path = next((group for group in found.groups() if group), "") if found else ""
        if found is None or not path:
            raise UserError(f"{key}={given}: expected files between commas, such as [first.ckpt,second.ckpt]")
        paths.append(os.path.expanduser(path))
        at = found.end()
    if not paths:
        raise UserError(f"{key}={given} names no file; give some, such as [first.ckpt,second.ckpt]")
    return paths


def read_checkpoints(key: str, given: str, *, trusted: Iterable[str]) -> list[Checkpoint]:
    """Return the checkpoint that the value of a key names, or several.

    Raises:
        UserError: one cannot be read, or is named twice.
    """
    paths = paths_of(key, given)
    real = [os.path.realpath(path) for path in paths]
    twice = next((path for i, path in enumerate(paths) if real[i] in real[:i]), None)
    if twice is not None:
        hint = "" if os.path.exists(twice) else ", and in quotes where its name has a comma"
        raise UserError(f"{key}={given} names {twice} twice; give each checkpoint once{hint}")
    return [read_checkpoint(path, trusted=trusted) for path in paths]
