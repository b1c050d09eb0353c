"""Word links in Pharaoh form (`i-j` sure, `ipj` possible, source-target) and the alignment error rate."""

from collections.abc import Iterable, Set
from typing import NamedTuple

from seq2seq.data.files import read_lines
from seq2seq.data.pair import LINK
from seq2seq.data.text import words
from seq2seq.errors import UserError

Link = tuple[int, int]


class Links(NamedTuple):
    """The gold links of a sentence pair: (source, target) word indices from 0; every sure link is also possible."""

    sure: frozenset[Link]
    possible: frozenset[Link]


class AlignmentScore(NamedTuple):
    """Alignment error rate, precision and recall, each 0-1, and the counts behind them."""

    aer: float
    precision: float
    recall: float
    sure: int
    links: int
    sure_hits: int
    possible_hits: int

    @classmethod
    def of(cls, *, sure: int, links: int, sure_hits: int, possible_hits: int) -> "AlignmentScore":
        """Return the score that these counts give; without any sure link, 0 where nothing was linked."""
        return cls(
            aer=1 - (sure_hits + possible_hits) / (links + sure) if links + sure else 0.0,
            precision=possible_hits / links if links else 0.0,
            recall=sure_hits / sure if sure else 0.0,
            sure=sure,
            links=links,
            sure_hits=sure_hits,
            possible_hits=possible_hits,
        )


def parse_links(line: str, *, first_index: int = 0, where: str = "links") -> Links:
    """Return the links of one line such as `0-0 1p2`, counted from 0 whatever `first_index` the line counts from.

    Raises:
        UserError: naming `where` (file:line) and the word that is not a link, or an index below `first_index`.
    """
    if first_index not in (0, 1):
        raise UserError(f"first_index={first_index}: links are counted from 0 or from 1")
    sure, possible = set(), set()
    for word in words(line):
        match = LINK.fullmatch(word)
        if match is None:
            raise UserError(
                f"{where}: {word[:50]!r} is not a link; expected i-j (sure) or ipj (possible), such as 3-4 or 3p4"
            )
        source, target = int(match[1]) - first_index, int(match[3]) - first_index
        if source < 0 or target < 0:
            raise UserError(
                f"{where}: link {word!r} has index 0, but links are read as counted from 1: set the first index to 0"
            )
        possible.add((source, target))
        if match[2] == "-":
            sure.add((source, target))
    return Links(frozenset(sure), frozenset(possible))


def format_links(pairs: Set[Link]) -> str:
    """Return the (source, target) pairs as one Pharaoh line `0-0 1-2`, sorted by source, then target."""
    return " ".join(f"{source}-{target}" for source, target in sorted(pairs))


def read_links(path: str, *, first_index: int = 0) -> list[Links]:
    """Return the links of every line of a file; an empty line is a sentence pair without links.

    Raises:
        UserError: when there is no such file, it is empty, or `parse_links` refuses a line.
    """
    links = [
        parse_links(line, first_index=first_index, where=f"{path}:{number}")
        for number, line in enumerate(read_lines(path), start=1)
    ]
    if not links:
        raise UserError(f"{path}: empty, there must be a line of links for every sentence pair")
    return links


def alignment_error_rate(gold: Iterable[Links], hypothesis: Iterable[Set[Link]]) -> AlignmentScore:
    """Return AER = 1 - (|A & S| + |A & P|) / (|A| + |S|) with precision and recall, counted over the whole corpus.

    A are the links of the hypothesis, S the sure and P the possible gold links (P includes S);
    precision is |A & P| / |A| (0 when A is empty) and recall |A & S| / |S| (Och & Ney 2003, section 4).

    Raises:
        UserError: when the numbers of sentence pairs differ, or the gold links hold no sure link.
    """
    gold, hypothesis = list(gold), list(hypothesis)
    if len(gold) != len(hypothesis):
        raise UserError(
            f"gold has {len(gold)} lines, hypothesis {len(hypothesis)}: line n of one belongs to line n of the other"
        )
    pairs = list(zip(gold, hypothesis, strict=True))
    score = AlignmentScore.of(
        sure=sum(len(reference.sure) for reference in gold),
        links=sum(len(found) for found in hypothesis),
        sure_hits=sum(len(found & reference.sure) for reference, found in pairs),
        possible_hits=sum(len(found & reference.possible) for reference, found in pairs),
    )
    if score.sure == 0:
        raise UserError(f"the gold links of {len(gold)} sentence pairs hold no sure link i-j: recall and AER need some")
    return score
