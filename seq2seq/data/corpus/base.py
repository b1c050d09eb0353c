"""What every corpus is: splits of sentence pairs."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

from seq2seq.data.pair import Pair
from seq2seq.errors import UserError


class Corpus(ABC):
    """Splits of sentence pairs: `train`, `val`, and tests, the main one of which is `test`."""

    tokenized = False  # whether the words are set apart already, so that BLEU must not tokenise them again
    key = "data"  # what the configuration calls it, for messages; of a part of a mixture, `data.corpora.NAME`
    tags: tuple[str, ...] = ()  # those of its pairs, which the vocabulary of the source needs

    def __init__(self, splits: Iterable[str], *, streaming: bool) -> None:
        self.streaming = streaming  # whether training pairs are encoded as they are read, and never stored
        self._splits = list(splits)
        self._fingerprints: dict[str, str] = {}

    def splits(self) -> list[str]:
        """The names of the splits."""
        return self._splits

    def pairs(self, split: str) -> Iterator[Pair]:
        """The pairs of a split one after another, never all in memory; raises UserError where the data is at fault."""
        return self._pairs(self._checked(split))

    def fingerprint(self, split: str) -> str:
        """A text that changes whenever a sentence of the split does; taken once, as it may read the whole split."""
        if split not in self._fingerprints:
            self._fingerprints[split] = self._fingerprint(self._checked(split))
        return self._fingerprints[split]

    def antecedents(self, pair: Pair) -> frozenset[tuple[int, int]]:
        """Links (source word, target word) from the noun that a pronoun stands for to its translation, where known."""
        return frozenset()

    def _checked(self, split: str) -> str:
        if split not in self._splits:
            raise UserError(
                f"the data has no split {split}, only {', '.join(self._splits) or 'nothing'}: "
                f"data=text and data=table are told its files by data.{split}"
            )
        return split

    @abstractmethod
    def _pairs(self, split: str) -> Iterator[Pair]: ...

    @abstractmethod
    def _fingerprint(self, split: str) -> str: ...
