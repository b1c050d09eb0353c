"""Keys of commands that are lists of names."""

from collections.abc import Collection

from omegaconf import ListConfig

from seq2seq.errors import UserError, nearest

FIGURES = ("pdf", "png", "svg")
"""Kinds of files that a figure can be written as."""


def names_of(key: str, given: object, known: Collection[str] = (), *, example: str) -> list[str]:
    """Return the names that a key lists.

    Args:
        key: as messages call it.
        given: what the configuration has there.
        known: the names that there are; without any, every name will do.
        example: what a list may be, without its brackets.

    Raises:
        UserError: it is no list, or there is no such name.
    """
    if not isinstance(given, ListConfig):
        raise UserError(f"{key}={given}: expected a list, such as {key}=[{example}]")
    for name in given:
        if known and name not in known:
            raise UserError(f"{key}: there is no {name}; {nearest(str(name), known)}")
    return [str(name) for name in given]


def figure_formats(given: object) -> list[str]:
    """Return as what kinds of files figures are wanted; none is a choice, too.

    Raises:
        UserError: it is no list, or a figure cannot be written so.
    """
    if not isinstance(given, ListConfig) or not set(given) <= set(FIGURES):
        raise UserError(f"figures={given}: expected a list of {', '.join(FIGURES)}, such as [png]")
    return list(given)
