"""What a caller from Python gives as text, looked at before a model reads any of it."""

from collections.abc import Iterable, Mapping

from seq2seq.errors import UserError


def text(name: str, value: str) -> str:
    """Return a text as it is; `name` is what an error calls it.

    Raises:
        UserError: it is none, as a missing value of a table is.
    """
    if not isinstance(value, str):
        raise UserError(f"{name}={value!r} is no text; give a text")
    return value


def texts(name: str, values: Iterable[str]) -> list[str]:
    """Return texts as they are; `name` is what an error calls their list.

    Raises:
        UserError: it is one text alone, or no list, or one of them is no text.
    """
    if isinstance(values, str):
        raise UserError(f"{name} is one text, of which every letter would be one; give a list: [text]")
    if isinstance(values, Mapping) or not isinstance(values, Iterable):
        raise UserError(f"{name}={values!r} is no list of texts; give one: [text]")
    return [text(f"{name}[{number}]", value) for number, value in enumerate(values)]


def pairs_of_texts(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return pairs as they are.

    Raises:
        UserError: there is no list of them, or one of them is no pair of texts: of a text each letter would be taken
            for one, and of a third part nothing be said.
    """
    if isinstance(pairs, str | Mapping) or not isinstance(pairs, Iterable):
        raise UserError(f"pairs={pairs!r} is no list of pairs; give one: [(source, target)]")
    found = []
    for number, pair in enumerate(pairs):
        both = tuple(pair) if isinstance(pair, Iterable) and not isinstance(pair, str) else ()
        if len(both) != 2 or not all(isinstance(each, str) for each in both):
            raise UserError(f"pairs[{number}]={pair!r} is no pair of texts; give a list of them: [(source, target)]")
        found.append((both[0], both[1]))
    return found
