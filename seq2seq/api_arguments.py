"""What a caller from Python gives: texts, files, numbers. All are looked at before a model reads any of it."""

import errno
import operator
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from seq2seq.data.text import SURROGATE
from seq2seq.errors import UserError

LONGEST = 80
"""Characters of a value that a message shows."""


def text(name: str, value: str) -> str:
    """Return a text as it is; `name` is what an error calls it.

    Raises:
        UserError: it is none, as a missing value of a table is, or no text of UTF-8.
    """
    if not isinstance(value, str):
        raise UserError(f"{name}={_shown(value)} is no text; give a text")
    if SURROGATE.search(value):
        raise UserError(f"{name}={ascii(value)} holds half of a surrogate pair: write both, or take it out")
    return value


def texts(name: str, values: Iterable[str]) -> list[str]:
    """Return texts as they are; `name` is what an error calls their list.

    Raises:
        UserError: it is one text alone, or no list, or one of them is no text.
    """
    if isinstance(values, str):
        raise UserError(f"{name} is one text, of which every letter would be one; give a list: [text]")
    return [text(f"{name}[{number}]", value) for number, value in enumerate(listed(name, values, "texts", "[text]"))]


def pairs_of_texts(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return pairs as they are.

    Raises:
        UserError: there is no list of them, or one of them is no pair of texts: of a text each letter would be taken
            for one, and of a third part nothing be said.
    """
    found = []
    for number, pair in enumerate(listed("pairs", pairs, "pairs", "[(source, target)]")):
        both = tuple(pair) if isinstance(pair, Iterable) and not isinstance(pair, str | set | frozenset) else ()
        if len(both) != 2 or not all(isinstance(each, str) for each in both):
            raise UserError(
                f"pairs[{number}]={_shown(pair)} is no pair of texts; give a list of them: [(source, target)]"
            )
        found.append((text(f"pairs[{number}][0]", both[0]), text(f"pairs[{number}][1]", both[1])))
    return found


def listed(name: str, values: Iterable[Any], things: str, example: str) -> list[Any]:
    """Return a list of what can be gone through once, such as a generator.

    Args:
        name: what an error calls it.
        values: neither a text nor a dictionary.
        things: what it holds.
        example: of it.

    Raises:
        UserError: it is no list of things.
    """
    try:
        if isinstance(values, str | bytes | bytearray | Mapping):
            raise TypeError
        return list(values)
    except TypeError:  # an array of no dimension says only now that it has no items
        raise UserError(f"{name}={_shown(values)} is no list of {things}; give one: {example}") from None


def names(name: str, values: Iterable[str]) -> list[str]:
    """Return names, of packages, as they are. Raises UserError where they are no list of texts."""
    if isinstance(values, str):
        raise UserError(f"{name}={values!r} is one name; give a list: [{values!r}]")
    found = listed(name, values, "names", "['my_package']")
    return [text(f"{name}[{number}]", value) for number, value in enumerate(found)]


def place(name: str, value: str | Path) -> Path:
    """Return the path of a file or a folder.

    Args:
        name: what an error calls it.
        value: a text or a path.

    Raises:
        UserError: it is neither, or empty, or nothing can be called so.
    """
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise UserError(f"{name}={_shown(value)} is no path; give a text or a pathlib.Path")
    if not os.fspath(value):
        raise UserError(f"{name} is empty; give a path")  # pathlib would take it for the present folder
    path = Path(value)
    try:
        os.lstat(path)
    except ValueError:
        raise UserError(f"{name}={_shown(str(value))} cannot be a path: a name has no character 0") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(f"{name}={_shown(str(value))} is too long for a path; give a shorter one") from None
    return path


def places(name: str, values: Iterable[str | Path]) -> list[Path]:
    """Return the paths of several files. Raises UserError where they are no list, or one of them is no path."""
    found = listed(name, values, "paths", "[path, path]")
    return [place(f"{name}[{number}]", value) for number, value in enumerate(found)]


def whole(name: str, value: int, *, least: int, most: int | None = None) -> int:
    """Return a whole number, also one of NumPy or PyTorch, as Python's own.

    Raises:
        UserError: it is none, or out of its range.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise UserError(f"{name}={_shown(value)}: expected a whole number, such as {max(least, 1)}")
    if number < least or (most is not None and number > most):
        raise UserError(f"{name}={number} must be " + (f"above {least - 1}" if most is None else f"{least} to {most}"))
    return number


def unit_of(value: str) -> str:
    """Return a unit, `words` or `pieces`. Raises UserError where it is neither."""
    if value not in ("words", "pieces"):
        raise UserError(f"unit={_shown(value)} is not known; use words or pieces")
    return value


def _shown(value: object) -> str:
    """Return a value as Python writes it, in one line that is not too long."""
    line = " ".join(repr(value).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."
