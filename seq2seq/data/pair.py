"""A sentence pair and its gold word links."""

import re
from typing import NamedTuple

from seq2seq.data.text import words
from seq2seq.errors import UserError

LINK = re.compile(r"([0-9]{1,9})([-p])([0-9]{1,9})")
"""A link in Pharaoh form: `0-1` is sure, `0p1` possible."""


class Pair(NamedTuple):
    """A sentence and its translation, each one line of text."""

    source: str
    target: str
    links: str = ""  # gold word links in Pharaoh form, source-target, from 0; "" where there are none
    tags: str = ""  # names of the phenomena in it, with spaces between


def checked_links(pair: Pair, where: str, *, transpose: bool) -> Pair:
    """The pair with its links source-target; raises UserError for a link that it cannot have."""
    sizes = len(words(pair.source)), len(words(pair.target))
    links = []
    for link in words(pair.links):
        parts = LINK.fullmatch(link)
        if parts is None:
            raise UserError(f"{where}: {link} is not a link: write 0-0 for a sure one, 0p0 for a possible one")
        i, j = int(parts[1]), int(parts[3])
        source, target = (j, i) if transpose else (i, j)
        if source >= sizes[0] or target >= sizes[1]:
            raise UserError(f"{where}: {link} exceeds the {sizes[0]} source, {sizes[1]} target words, counted from 0")
        links.append(f"{source}{parts[2]}{target}")
    return pair._replace(links=" ".join(links))
