"""Noise on words: what a source may suffer in training, so that a model learns to read past it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import groupby
from random import Random

from seq2seq.data.text import words
from seq2seq.errors import UserError

LARGEST = 0.9
"""The largest share: some words must be left to learn from."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Shares of the words of a sentence, each 0 (off) to 0.9: left out, exchanged with the next, masked, mistyped.

    A masked word is one `<unk>`. A mistyped one, of two letters or more, has one letter left out, doubled or exchanged
    with the next. At least one word stays.
    """

    drop: float = 0.0
    swap: float = 0.0
    mask: float = 0.0
    typo: float = 0.0

    def __post_init__(self) -> None:
        for name, share in asdict(self).items():
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= LARGEST:
                raise UserError(f"noise.{name}={share} must be a share of the words, from 0 (off) to {LARGEST}")

    def __bool__(self) -> bool:
        return any(asdict(self).values())

    def parts(self, text: str, random: Random) -> list[str | None]:
        """The text with noise, in parts: between two of them, and where there is None, a word is masked.

        A text that has come to no harm is one part, blanks and all.
        """
        before = words(text)
        kept = [word for word in before if random.random() >= self.drop] or before[:1]
        for i in range(len(kept) - 1):
            if random.random() < self.swap:
                kept[i], kept[i + 1] = kept[i + 1], kept[i]
        said = [mistyped(word, random) if random.random() < self.typo else word for word in kept]
        masked = [random.random() < self.mask for _ in said]
        if said == before and not any(masked):
            return [text]
        parts: list[str | None] = []
        for is_masked, group in groupby(zip(masked, said, strict=True), key=lambda pair: pair[0]):
            run = [word for _, word in group]
            parts += [None] * len(run) if is_masked else [" ".join(run)]
        return parts


def mistyped(word: str, random: Random) -> str:
    """The word with one letter left out, doubled, or exchanged with the next; shorter than two letters as it is."""
    if len(word) < 2:
        return word
    i = random.randrange(len(word) - 1)
    change: Callable[[], str] = random.choice(
        [
            lambda: word[:i] + word[i + 1 :],
            lambda: word[: i + 1] + word[i:],
            lambda: word[:i] + word[i + 1] + word[i] + word[i + 2 :],
        ]
    )
    return change()
