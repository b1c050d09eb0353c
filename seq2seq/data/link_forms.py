"""The forms in which files hold word links: Pharaoh's, a line a sentence pair, and NAACL's, a line a link."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from seq2seq.errors import UserError

PHARAOH = re.compile(r"([0-9]{1,9})([-p?])([0-9]{1,9})")
"""A link among those of its sentence pair: `0-1` is sure, `0p1` and `0?1` are possible."""

NAACL = re.compile(r"\s*([0-9]{1,9})\s+([0-9]{1,9})\s+([0-9]{1,9})(?:\s+([SPsp]))?(?:\s+[-+0-9.eE]+)?\s*")
"""A link with the number of its sentence pair: sentence, source, target, S (sure, also where nothing is said) or P
(possible), and the confidence, which counts for nothing (Mihalcea & Pedersen 2003)."""

THREE_NUMBERS = re.compile(r"\s*[0-9]+\s+[0-9]+\s+[0-9]+(?:\s|$)")
"""What a line of NAACL's form begins with, also where the rest of it is wrong."""

SHOWN = 50
"""Characters of what is wrong that a message shows."""


class WordLink(NamedTuple):
    """A source and a target word, by their index from 0."""

    source: int
    target: int
    sure: bool
    where: str  # file:line, for messages


class LinkForm(NamedTuple):
    """How a file holds its links."""

    numbered: bool  # a line a link, with the number of its sentence pair: NAACL's form
    first_index: int  # 0 or 1: what the first word counts as


def find_form(lines: Iterable[str], path: str, first_index: int | None) -> LinkForm:
    """Return the form of a file of links, which its first line with anything in it tells.

    Without a `first_index` NAACL's form counts from 1, and so do files whose names end in `.talp`; all others from 0.

    Raises:
        UserError: a first index that is neither 0 nor 1.
    """
    if first_index not in (None, 0, 1):
        raise UserError(f"first_index={first_index}: links are counted from 0 or from 1")
    numbered = THREE_NUMBERS.match(next((line for line in lines if line.strip()), "")) is not None
    if first_index is None:
        first_index = int(numbered or path.removesuffix(".gz").endswith(".talp"))
    return LinkForm(numbered, first_index)


def pharaoh_links(line: str, *, first_index: int, where: str) -> list[WordLink]:
    """Return the links of a line such as `0-0 1p2`.

    Raises:
        UserError: naming `where` (file:line) and the word that is not a link, or an index below `first_index`.
    """
    links = []
    for word in line.split():
        match = PHARAOH.fullmatch(word)
        if match is None and NAACL.fullmatch(line):
            raise UserError(
                f"{where}: {line.strip()!r} is a link in NAACL's form, sentence source target, but the file begins "
                "with lines of links i-j; write all of it in one form"
            )
        if match is None:
            raise UserError(
                f"{where}: {word[:SHOWN]!r} is not a link; expected i-j (sure) or ipj (possible), such as 3-4 or 3p4"
            )
        source, target = int(match[1]) - first_index, int(match[3]) - first_index
        if source < 0 or target < 0:
            raise UserError(
                f"{where}: link {word!r} has index 0, but links are read as counted from 1: set the first index to 0"
            )
        links.append(WordLink(source, target, match[2] == "-", where))
    return links


class NumberedLinks(NamedTuple):
    """The links of a file by sentence pair, from 0; pairs that no line names are not in it."""

    first_sentence: int  # what the first sentence pair counts as in the file: 0 where there is a 0, else 1
    links: dict[int, list[WordLink]]
    where: dict[int, str]  # file:line at which a sentence pair first is named

    def beyond(self, count: int) -> str | None:
        """Return file:line of a link whose sentence is beyond so many, with that sentence; None where there is none."""
        last = max(self.links, default=-1)
        return None if last < count else f"{self.where[last]}: sentence {last + self.first_sentence}"


def naacl_links(lines: Iterable[str], *, first_index: int, name: str) -> NumberedLinks:
    """Return the links of a file in NAACL's form.

    A link of word 0 where words are counted from 1 says that the other word has none, and is left out.

    Raises:
        UserError: naming file and line, for what is not such a link, and for a word that cannot be.
    """
    found: dict[int, list[WordLink]] = {}
    named: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        match = NAACL.fullmatch(line)
        if match is None:
            raise UserError(
                f"{name}:{number}: {line.strip()[:SHOWN]!r} is not a link in the form in which the file begins: "
                "sentence source target, then maybe S or P and a confidence, as 1 3 4 S; write all of it in one form"
            )
        source, target = int(match[2]) - first_index, int(match[3]) - first_index
        if source < 0 and target < 0:
            raise UserError(
                f"{name}:{number}: word 0 with word 0, but words are read as counted from 1: set the first index to 0"
            )
        links = found.setdefault(int(match[1]), [])
        named.setdefault(int(match[1]), f"{name}:{number}")
        if source >= 0 and target >= 0:
            links.append(WordLink(source, target, (match[4] or "S") in "Ss", f"{name}:{number}"))
    first = min(1, *found) if found else 1
    of_sentence = {sentence - first: links for sentence, links in found.items()}
    return NumberedLinks(first, of_sentence, {sentence - first: where for sentence, where in named.items()})
