"""What a tokenizer loses of text: the share of pieces that are unknown, and the lines that it does not give back."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from seq2seq.data.pair import Pair
from seq2seq.data.text import FAITHFUL, nfc, words
from seq2seq.data.tokenizer import UNK, Tokenizer, Tokenizers

ALL_LINES = 2_000
SAMPLED = 50
"""Of a large training set the first 2,000 lines are decoded, and then every 50th."""


@dataclass
class Loss:
    """What is lost of one side of a split; lines are counted from 1, and 0 stands for none."""

    pieces: int = 0
    unknown: int = 0  # pieces
    unknown_line: int = 0  # the first with one
    lines: int = 0  # that were decoded
    changed: int = 0  # lines that do not come back as they were: other words, or other characters in them
    rewritten: int = 0  # those of them without an unknown piece: normalisation did it
    rewritten_line: int = 0

    def add(self, tokenizer: Tokenizer, text: str, ids: list[int], line: int, *, decode: bool) -> None:
        """Count a line and its ids; whether it comes back only where it is decoded."""
        unknown = ids.count(UNK)
        self.pieces += len(ids)
        if unknown:
            self.unknown += unknown
            self.unknown_line = self.unknown_line or line
        if not decode:
            return
        self.lines += 1
        if unknown:
            self.changed += 1
        elif words(nfc(tokenizer.decode(ids))) != words(nfc(text)):
            self.changed += 1
            self.rewritten += 1
            self.rewritten_line = self.rewritten_line or line


class Losses:
    """Counts what is lost of both sides of a split.

    Args:
        tokenizers: make the ids.
        sample: decode not every line.
    """

    def __init__(self, tokenizers: Tokenizers, *, sample: bool) -> None:
        self.tokenizers, self.sample = tokenizers, sample
        self.sides = Loss(), Loss()

    def add(self, pair: Pair, ids: Iterable[list[int]], line: int) -> None:
        """Count a pair and the ids of both sides."""
        decode = not self.sample or line <= ALL_LINES or line % SAMPLED == 0
        for loss, tokenizer, text, found in zip(self.sides, self.tokenizers, pair[:2], ids, strict=True):
            loss.add(tokenizer, text, found, line, decode=decode)

    def as_data(self) -> list[dict[str, int]]:
        """Return the counts of source and target as plain data."""
        return [asdict(loss) for loss in self.sides]


def describe_losses(counts: Iterable[dict[str, int]], tokenizers: Tokenizers, *, remedy: str | None) -> str | None:
    """Return in one line what is lost and the remedy; None where nothing is.

    Args:
        counts: of source and target, from `Losses.as_data`.
        tokenizers: what they were counted with.
        remedy: for unknown pieces, as the tokenizer's configuration has it; None: there is none.
    """
    found, remedies = [], []
    for side, tokenizer, count in zip(("source", "target"), tokenizers, counts, strict=True):
        loss = Loss(**count)
        if loss.unknown:
            share = f"{loss.unknown:,} of {loss.pieces:,} {side} pieces are unknown"
            found.append(f"{share} ({loss.unknown / loss.pieces:.2%}, first in line {loss.unknown_line})")
            remedies.append(remedy or "the text that the tokenizer was trained on lacks their characters")
        if loss.changed:
            lines = f"{loss.changed:,} of {loss.lines:,} {side} lines do not come back from the tokenizer as they were"
            found.append(
                f"{lines} (first without an unknown piece line {loss.rewritten_line})" if loss.rewritten else lines
            )
        if loss.rewritten and tokenizer.normalization not in FAITHFUL:
            kept = " and ".join(FAITHFUL)
            remedies.append(f"tokenizer.normalization={tokenizer.normalization} rewrites characters, {kept} do not")
    if not found:
        return None
    return ", ".join(found) + "".join(f"; {remedy}" for remedy in dict.fromkeys(remedies))
