"""Two texts, line by line, with the word links of a third file, in whatever form it holds them."""

import logging
from collections.abc import Iterator

from seq2seq.data.files import read_lines, read_parallel
from seq2seq.data.link_forms import LinkForm, WordLink, naacl_links, pharaoh_links
from seq2seq.data.pair import Pair, linked_pair
from seq2seq.errors import UserError, counted

logger = logging.getLogger(__name__)

NEVER_ZERO = "%s: no link has index 0; if its words are counted from 1, add %s=1"
"""Said of links that would all be wrong if they were counted from 1."""


def linked_pairs(
    source: str, target: str, links: str, *, form: LinkForm, transpose: bool, doubted: set[str], key: str = "data"
) -> Iterator[Pair]:
    """The pairs of two text files with the links of a third.

    Args:
        source: file of source sentences.
        target: file of target sentences.
        links: file of links.
        form: of the links.
        transpose: whether they are written target-source.
        doubted: the files of links of which was said already that they may count from 1; this one may join them.
        key: of the corpus in the configuration.

    Raises:
        UserError: for files that do not belong together, naming file and line.
    """
    read = _numbered if form.numbered else _line_by_line
    pairs = read(source, target, links, form.first_index)
    linked = zero = False
    for texts, found in pairs:
        yield linked_pair(*texts, found, transpose=transpose, first_index=form.first_index, key=key)
        linked = linked or bool(found)
        zero = zero or any(0 in (link.source, link.target) for link in found)
    if linked and not zero and not form.first_index and links not in doubted:
        doubted.add(links)
        logger.warning(NEVER_ZERO, links, f"{key}.links_first_index")


def _line_by_line(
    source: str, target: str, links: str, first_index: int
) -> Iterator[tuple[tuple[str, str], list[WordLink]]]:
    for number, (*texts, line) in enumerate(read_parallel(source, target, links), start=1):
        yield (texts[0], texts[1]), pharaoh_links(line, first_index=first_index, where=f"{links}:{number}")


def _numbered(
    source: str, target: str, links: str, first_index: int
) -> Iterator[tuple[tuple[str, str], list[WordLink]]]:
    found = naacl_links(read_lines(links), first_index=first_index, name=links)
    count = 0
    for count, texts in enumerate(read_parallel(source, target), start=1):
        yield (texts[0], texts[1]), found.links.get(count - 1, [])
    if beyond := found.beyond(count):
        raise UserError(
            f"{beyond}, but {source} has {counted(count, 'lines')}: the sentences of {links} are the "
            f"lines of the text, counted from {found.first_sentence}"
        )
