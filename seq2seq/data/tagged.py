"""A corpus that has no tags, with one for each pair of a split."""

from collections.abc import Iterator, Sequence

from seq2seq.data.corpus import Corpus
from seq2seq.data.pair import Pair
from seq2seq.errors import UserError, counted


class TaggedCorpus(Corpus):
    """Another corpus, each pair of which has a tag before its source.

    Args:
        corpus: the other one.
        lines: a tag for each pair of a split; "": none.
        file: where they stand.
    """

    def __init__(self, corpus: Corpus, lines: Sequence[str], *, file: str) -> None:
        super().__init__(corpus.splits(), streaming=corpus.streaming)
        self.corpus, self.lines, self.file = corpus, lines, file
        self.tokenized = corpus.tokenized
        self.tags = tuple(dict.fromkeys(tag for tag in lines if tag))

    def antecedents(self, pair: Pair) -> frozenset[tuple[int, int]]:
        """Those of the other corpus."""
        return self.corpus.antecedents(pair)

    def _pairs(self, split: str) -> Iterator[Pair]:
        count = 0
        for count, pair in enumerate(self.corpus.pairs(split), start=1):
            yield pair._replace(tag=self.lines[count - 1]) if count <= len(self.lines) else pair
        if count != len(self.lines):
            raise UserError(
                f"{self.file} has {counted(len(self.lines), 'lines')}, {split} has {counted(count, 'pairs')}: "
                "give one for each"
            )

    def _fingerprint(self, split: str) -> str:
        return f"{self.corpus.fingerprint(split)} {list(self.lines)}"
