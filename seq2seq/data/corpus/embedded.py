"""The embedded grammar as a corpus."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from seq2seq.data import grammar
from seq2seq.data.antecedents import antecedents
from seq2seq.data.corpus.base import Corpus
from seq2seq.data.pair import Pair


class GrammarCorpus(Corpus):
    """English and German from the embedded grammar, with exact links and tags."""

    tokenized = True

    def __init__(self, *, seed: int = 0, streaming: bool = False) -> None:
        super().__init__(grammar.SPLITS, streaming=streaming)
        self.seed = seed
        self._drawn: dict[str, list[Pair]] = {}

    def antecedents(self, pair: Pair) -> frozenset[tuple[int, int]]:
        """Links from the noun that an `it` stands for to the German pronoun: `data.antecedents`."""
        return antecedents(pair)

    def _pairs(self, split: str) -> Iterator[Pair]:
        if split not in self._drawn:
            self._drawn[split] = [Pair(*sentence) for sentence in grammar.generate(split, seed=self.seed)]
        return iter(self._drawn[split])

    def _fingerprint(self, split: str) -> str:
        code = b"".join(file.read_bytes() for file in sorted(Path(grammar.__file__).parent.glob("*.py")))
        return f"{split} {self.seed} {hashlib.sha256(code).hexdigest()}"
