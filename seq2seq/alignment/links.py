"""Word links, sure and possible ones, source-target, and the alignment error rate."""

from collections.abc import Iterable, Set
from typing import NamedTuple

from seq2seq.data.files import read_lines
from seq2seq.data.link_forms import LinkForm, WordLink, find_form, naacl_links, pharaoh_links
from seq2seq.errors import UserError, counted

Link = tuple[int, int]


class Links(NamedTuple):
    """The gold links of a sentence pair: (source, target) word indices from 0; every sure link is also possible."""

    sure: frozenset[Link]
    possible: frozenset[Link]


NONE = Links(frozenset(), frozenset())


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
    return _links(pharaoh_links(line, first_index=first_index, where=where))


def links_within(links: Links, num_source: int, num_target: int) -> Links:
    """Return the links between the first so many words of either side: those of a sentence pair that was cut off."""
    sure, possible = ((link for link in kind if link[0] < num_source and link[1] < num_target) for kind in links)
    return Links(frozenset(sure), frozenset(possible))


def _links(found: Iterable[WordLink]) -> Links:
    found = list(found)
    possible = frozenset((link.source, link.target) for link in found)
    return Links(frozenset((link.source, link.target) for link in found if link.sure), possible)


def format_links(pairs: Set[Link]) -> str:
    """Return the (source, target) pairs as one Pharaoh line `0-0 1-2`, sorted by source, then target."""
    return " ".join(f"{source}-{target}" for source, target in sorted(pairs))


class LinkFile(NamedTuple):
    """The links of a file, sentence by sentence, and the form that it has."""

    of_sentence: dict[int, Links]  # from 0; where sentences are numbered, those that have any
    sentences: int  # how many, as far as the file knows
    form: LinkForm
    last: str  # file:line, and the number of the last sentence in the file

    @property
    def links(self) -> list[Links]:
        """The links of every sentence."""
        return self.lengthened(self.sentences)

    def lengthened(self, count: int) -> list[Links]:
        """Return the links of so many sentences: where they are numbered, the last ones may have none."""
        return self.of(range(max(count, self.sentences) if self.form.numbered else self.sentences))

    def of(self, sentences: Iterable[int]) -> list[Links]:
        """Return the links of some sentences."""
        return [self.of_sentence.get(sentence, NONE) for sentence in sentences]


def read_links(path: str, *, first_index: int | None = None) -> LinkFile:
    """Return the links of a file, in a form and counted as `find_form` says.

    In Pharaoh's form an empty line is a sentence pair without links.

    Raises:
        UserError: when there is no such file, it is empty, or what it holds is refused.
    """
    lines = list(read_lines(path))
    if not lines:
        raise UserError(f"{path}: empty, there must be a line of links for every sentence pair")
    form = find_form(lines, path, first_index)
    if form.numbered:
        found = naacl_links(lines, first_index=form.first_index, name=path)
        count = max(found.links) + 1
        of_sentence = {sentence: _links(links) for sentence, links in found.links.items() if links}
        return LinkFile(of_sentence, count, form, found.beyond(count - 1) or path)
    of_sentence = {
        index: parse_links(line, first_index=form.first_index, where=f"{path}:{index + 1}")
        for index, line in enumerate(lines)
    }
    return LinkFile(of_sentence, len(lines), form, f"{path}:{len(lines)}: sentence {len(lines)}")


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
            f"gold has {counted(len(gold), 'lines')}, hypothesis {len(hypothesis)}: "
            "line n of one belongs to line n of the other"
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
