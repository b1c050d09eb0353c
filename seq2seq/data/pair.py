"""A sentence pair and its gold word links."""

from collections.abc import Iterable
from typing import NamedTuple

from seq2seq.data.link_forms import WordLink
from seq2seq.data.text import words
from seq2seq.errors import UserError


class Pair(NamedTuple):
    """A sentence and its translation, each one line of text."""

    source: str
    target: str
    links: str = ""  # gold word links in Pharaoh form, source-target, from 0; "" where there are none
    tags: str = ""  # names of the phenomena in it, with spaces between
    corpus: str = ""  # which one of a mixture it is from
    tag: str = ""  # the symbol of the vocabulary that stands before the source


def linked_pair(
    source: str, target: str, links: Iterable[WordLink], *, transpose: bool, first_index: int = 0, key: str = "data"
) -> Pair:
    """The pair with its links source-target, counted from 0; raises UserError for a link that it cannot have.

    Args:
        source: one side.
        target: the other.
        links: as they were written, counted from 0; target-source where they are to be transposed.
        transpose: whether the links were written target-source.
        first_index: from which the file counts, in which a message says what is wrong.
        key: of the corpus in the configuration.
    """
    sizes = len(words(source)), len(words(target))
    written = []
    for link in links:
        i, j = (link.target, link.source) if transpose else (link.source, link.target)
        kind = "-" if link.sure else "p"
        if i >= sizes[0] or j >= sizes[1]:
            shown = f"{link.source + first_index}{kind}{link.target + first_index}"
            raise UserError(
                f"{link.where}: {shown} exceeds the {sizes[0]} source, {sizes[1]} target words, "
                f"counted from {first_index}"
                + ("" if first_index else f"; if the file counts them from 1, say {key}.links_first_index=1")
            )
        written.append(f"{i}{kind}{j}")
    return Pair(source, target, " ".join(written))
