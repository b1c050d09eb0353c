"""Links of another tool, such as `seq2seq links`, scored as a model's are: what a model has to beat."""

import logging
from collections.abc import Collection, Iterable

from seq2seq.alignment.links import alignment_error_rate, parse_links, read_links
from seq2seq.data.text import words
from seq2seq.errors import UserError, counted

log = logging.getLogger(__name__)


def baseline_error_rate(
    path: str, rows: Iterable[tuple[str, str, str]], *, unlinked: Collection[int] = frozenset()
) -> float:
    """Return the alignment error rate, 0-1, of a file of links against the gold links of a data set.

    Args:
        path: of the links, in any form that `seq2seq aer` reads, of all pairs.
        rows: source, target and gold links (Pharaoh, from 0) of each pair.
        unlinked: pairs of which nobody knows the links (`by_corpus.without_links`): as for a model, they do not count.

    Raises:
        UserError: there are no gold links, or the file does not belong to these pairs.
    """
    rows = list(rows)
    if not any(gold for _, _, gold in rows):
        raise UserError(f"baseline_links={path}: the data has no gold links to score it against; leave it out")
    file, pairs = read_links(path), counted(len(rows), "pairs")
    if not file.form.numbered and file.sentences != len(rows):
        raise UserError(f"baseline_links={path} has {counted(file.sentences, 'lines')}, but the data has {pairs}")
    if file.sentences > len(rows):
        raise UserError(f"baseline_links={file.last}, but the data has {pairs}")
    found = file.of(range(len(rows)))
    for number, (links, (source, target, _)) in enumerate(zip(found, rows, strict=True), start=1):
        sizes = len(words(source)), len(words(target))
        for link in sorted(links.possible):
            if link[0] >= sizes[0] or link[1] >= sizes[1]:
                raise UserError(
                    f"baseline_links={path}: pair {number}: {link[0]}-{link[1]} exceeds the {sizes[0]} source, "
                    f"{sizes[1]} target words, counted from 0; make the links of this text, source-target"
                )
    if not file.form.first_index and not any(0 in link for links in found for link in links.possible):
        log.warning("%s: no link has index 0; links from 1 are read as such in NAACL's form and *.talp alone", path)
    known = [i for i in range(len(rows)) if i not in unlinked]
    return alignment_error_rate([parse_links(rows[i][2]) for i in known], [found[i].possible for i in known]).aer
