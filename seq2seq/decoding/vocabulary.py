"""What the pieces of a vocabulary spell, and which of them begin or end a word."""

import re
from bisect import bisect_left
from collections.abc import Collection, Sequence
from functools import cached_property

from seq2seq.alignment.sentence import WITHOUT_SPACES
from seq2seq.data.tokenizer import EOS, SPECIAL, UNK, Tokenizer

SPACE = "▁"
"""The space before a word, as pieces write it."""

BYTE = re.compile("<0x[0-9A-F]{2}>")
"""How pieces write a byte that is no sign or letter of ASCII."""

UNKNOWN = "⁇"
"""How SentencePiece shows what is unknown."""


class Vocabulary:
    """The spelling of every piece; special ones spell nothing, but for the unknown, which is a word of its own.

    Args:
        pieces: of every id, as `Tokenizer.pieces` writes them.
        silent: ids of those that stand for no text, such as tags, beside the special ones.
    """

    def __init__(self, pieces: Sequence[str], silent: Collection[int] = ()) -> None:
        self.spellings = ["" if i < len(SPECIAL) or i in silent else piece for i, piece in enumerate(pieces)]
        self.spellings[UNK] = SPACE + UNKNOWN
        self._sorted = sorted((piece, i) for i, piece in enumerate(self.spellings) if piece)
        self._ids: dict[str, int] = {piece: i for piece, i in reversed(self._sorted)}
        self._longest = max(map(len, self.spellings), default=0)

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "Vocabulary":
        """Return the vocabulary of a tokenizer."""
        return cls(tokenizer.pieces(range(len(tokenizer))), tokenizer.silent)

    def spell(self, ids: Sequence[int]) -> str:
        """Return what some pieces spell together, with `▁` for each space."""
        return "".join(self.spellings[i] for i in ids)

    @cached_property
    def word_begins(self) -> list[int]:
        """The pieces that begin a word after a space, and EOS."""
        return [EOS, *self.beginning_with(SPACE)]

    def beginning_with(self, text: str) -> list[int]:
        """Return the pieces whose spelling begins with a text that is not empty, and that text itself.

        A byte begins with no part of what it is called: `<` does not begin `<0xE2>`.
        """
        first = bisect_left(self._sorted, (text, -1))
        last = bisect_left(self._sorted, (text + "\U0010ffff", -1))
        found = self._sorted[first:last]
        return [i for piece, i in found if piece[0] != "<" or piece == text or not BYTE.fullmatch(piece)]

    def begun_in(self, text: str) -> list[int]:
        """Return the pieces with which a text begins, but for the text itself."""
        byte = BYTE.match(text)
        if byte and byte[0] in self._ids:  # and no `<`
            return self.exactly(byte[0]) if byte[0] != text else []
        lengths = range(1, min(len(text) - 1, self._longest) + 1)
        return [self._ids[text[:n]] for n in lengths if text[:n] in self._ids]

    def exactly(self, text: str) -> list[int]:
        """Return the piece that spells a text, if there is one."""
        return [self._ids[text]] if text in self._ids else []


def is_glued(piece: str, *, end: bool = False) -> bool:
    """Whether what a spelling begins or ends with joins words without a space: a sign, or a script that sets none."""
    if piece.endswith(">") if end else piece.startswith("<"):
        place = max(len(piece) - 6, 0) if end else 0
        if BYTE.match(piece, place):
            return False  # part of a letter
    character = piece[-1:] if end else piece[:1]
    if not character or character == SPACE:
        return False
    return not character.isalnum() or any(first <= character <= last for first, last in WITHOUT_SPACES)
