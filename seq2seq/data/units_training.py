"""How tokenizers of bytes and of words are made: the settings, and the counting of words."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from seq2seq.data.special import SPECIAL
from seq2seq.data.text import comparable, words
from seq2seq.data.tokenizer_training import check_normalization
from seq2seq.errors import UserError

BYTES = 256
FIRST = len(SPECIAL)
LINE_ENDS = str.maketrans("\r\n", "  ")
"""A translation is one line, so there are none in it."""


@dataclass(frozen=True, kw_only=True)
class ListedConfig:
    """What tokenizers whose model is a list of entries have in common, beside those of SentencePiece.

    The keys are those of `TokenizerConfig`, without `sampling`: a text can be cut in one way alone.
    """

    vocab_size: int
    joint: bool
    normalization: str
    checkpoint: str | None = None
    grow: bool = False
    units: ClassVar[str]
    sampling: ClassVar[float] = 0.0
    more_known: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        check_normalization(self.normalization)

    def packed(self, entries: list[str]) -> bytes:
        """The model of a tokenizer with these entries, beside those that all such tokenizers have."""
        return packed({"units": self.units, "normalization": self.normalization, "entries": entries})


@dataclass(frozen=True, kw_only=True)
class ByteConfig(ListedConfig):
    """How to make tokenizers of bytes: they need no text to learn from, and no more than 260 entries."""

    units: ClassVar[str] = "byte"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vocab_size < FIRST + BYTES:
            raise UserError(
                f"tokenizer.vocab_size={self.vocab_size} is less than bytes need: use {FIRST + BYTES} or more"
            )

    def of_vocabulary(self) -> list[object]:
        """What the vocabulary follows from."""
        return [self.units, self.joint, self.normalization]

    def train(self, lines: Iterable[str]) -> bytes:
        """The model of a tokenizer, whatever the lines are."""
        return self.packed([])


@dataclass(frozen=True, kw_only=True)
class WordConfig(ListedConfig):
    """How to make tokenizers of words: of those that are there `min_count` times, the most frequent ones.

    `vocab_size` is how many entries there are at most, with the four special ones.
    """

    min_count: int
    units: ClassVar[str] = "word"
    more_known: ClassVar[str | None] = "raise tokenizer.vocab_size or lower tokenizer.min_count, or use tokenizer=bpe"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.normalization == "identity":
            raise UserError(
                "tokenizer.normalization=identity keeps every blank, which words cannot say; use nfc, or tokenizer=char"
            )
        if self.min_count < 1:
            raise UserError(f"tokenizer.min_count={self.min_count} must be above 0, such as 2")
        if self.vocab_size <= FIRST:
            raise UserError(f"tokenizer.vocab_size={self.vocab_size} must be above {FIRST}, such as 20000")

    def of_vocabulary(self) -> list[object]:
        """What the vocabulary follows from, beside the text."""
        return [self.units, self.min_count, self.vocab_size, self.joint, self.normalization]

    def train(self, lines: Iterable[str]) -> bytes:
        """The model of a tokenizer. Raises UserError where no word is left."""
        counts = counted_words(lines, self.normalization)
        if not counts:
            raise UserError("the training text holds nothing but empty lines: a tokenizer needs text to learn from")
        entries = entries_of(counts, least=self.min_count)
        if not entries:
            most = max(counts.values())
            raise UserError(f"tokenizer.min_count={self.min_count}: no word is there so often; use {most} or less")
        return self.packed(entries[: self.vocab_size - FIRST])


def parts(word: str, normalization: str) -> list[str]:
    """The words that a word of a text is once it is normalised: mostly one."""
    return words(comparable(normalization)(word).translate(LINE_ENDS))


def counted_words(lines: Iterable[str], normalization: str) -> Counter[str]:
    """How often each word stands in some lines."""
    return Counter(part for line in lines for word in words(line) for part in parts(word, normalization))


def entries_of(counts: Mapping[str, int], *, least: int) -> list[str]:
    """The entries of the words that are there so often, the most frequent first."""
    return [f"▁{word}" for _, word in sorted((-count, word) for word, count in counts.items() if count >= least)]


def packed(model: dict[str, Any]) -> bytes:
    """The bytes of a model."""
    return json.dumps(model, ensure_ascii=False).encode("utf-8", "surrogatepass")
