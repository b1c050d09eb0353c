"""A beginning that a translation is forced to have, as a person types it: its last word may be half a word.

Of whole words the best segmentation is forced, piece by piece. The last word is forced letter by letter: any pieces may
spell it that together begin with it, so `Hau` goes on as `Haus`, whether that is one piece or two. A space at the end
says that the last word is whole: then a new word follows, or nothing.
"""

from collections.abc import Sequence

from seq2seq.data.text import visible, words
from seq2seq.data.tokenizer import UNK, Tokenizer
from seq2seq.decoding.vocabulary import SPACE, Vocabulary
from seq2seq.errors import UserError

IMPOSSIBLE = 1 << 30
"""More pieces than any text has."""

BLANK = " \t"
"""What ends a word."""


class Prefix:
    """What a translation begins with.

    Args:
        ids: of the pieces it must begin with.
        open: what the pieces after them must begin to spell.
        closed: whether after all that a new word must begin, or the translation end.
        vocabulary: of the target.

    Raises:
        ValueError: no pieces spell what is open.
    """

    def __init__(self, ids: Sequence[int], open: str, vocabulary: Vocabulary, *, closed: bool = False) -> None:
        self.ids = list(ids)
        self.open = open
        self.closed = closed
        self.vocabulary = vocabulary
        self._needed = _pieces_needed(open, vocabulary)
        if self._needed[0] >= IMPOSSIBLE:
            raise ValueError(f"no pieces spell {open!r}")
        self.least = len(self.ids) + self._needed[0]
        """The fewest pieces that it can be said with."""
        self.most = len(self.ids) + len(open) + closed
        """How many steps it may have a say in."""

    def allowed(self, said: Sequence[int], room: int) -> list[int] | None:
        """Return the ids that may come next; None where all may.

        Args:
            said: ids so far, which are allowed ones.
            room: how many may still come, this one and EOS counted.
        """
        at = len(said)
        if at < len(self.ids):
            return [self.ids[at]]
        spelled = len(self.vocabulary.spell(said[len(self.ids) :]))
        if spelled >= len(self.open):
            return self.vocabulary.word_begins if self.closed and at == len(self.ids) else None
        rest = self.open[spelled:]
        inside = (
            i
            for i in self.vocabulary.begun_in(rest)
            if self._needed[spelled + len(self.vocabulary.spellings[i])] <= room - 2
        )
        return [*self.vocabulary.beginning_with(rest), *inside]


def _pieces_needed(text: str, vocabulary: Vocabulary) -> list[int]:
    """Return with how many pieces, at least, text[i:] can be spelled or begun, for each i."""
    needed = [0] * (len(text) + 1)
    for i in reversed(range(len(text))):
        rest = text[i:]
        if vocabulary.beginning_with(rest):
            needed[i] = 1
        else:
            after = (needed[i + len(vocabulary.spellings[p])] for p in vocabulary.begun_in(rest))
            needed[i] = 1 + min(after, default=IMPOSSIBLE)
    return needed


def prefix_of(text: str, tokenizer: Tokenizer, vocabulary: Vocabulary, *, max_length: int, where: str) -> Prefix | None:
    """Return the prefix that a text is; None where it is blank.

    Args:
        text: of the translation's beginning.
        tokenizer: of the target.
        vocabulary: of that tokenizer.
        max_length: most tokens of a translation, EOS counted.
        where: what an error calls the text, such as `FILE:7`.

    Raises:
        UserError: it cannot be said in the vocabulary, or is longer than the limit.
    """
    said = text.rstrip(BLANK)
    ids = tokenizer.encode(said)
    if not ids:
        return None
    closed = said != text
    made = None if closed else _open_prefix(tokenizer.spelling(said), ids, vocabulary)
    if made is None:  # pieces that do not spell letters, such as bytes, are forced as they are
        if UNK in ids:
            unknown = ", ".join(word for word in words(said) if UNK in tokenizer.encode(word))
            lacking = visible(unknown or said)
            raise UserError(f"{where}: the vocabulary has no pieces for {lacking}; write it with other letters")
        made = Prefix(ids, "", vocabulary, closed=closed)
    if made.least + 1 > max_length:
        raise UserError(
            f"{where}: the prefix needs {made.least} pieces, and one more for the end, but a translation may have "
            f"{max_length}; shorten it, or raise search.max_length"
        )
    return made


def _open_prefix(spelling: str, ids: Sequence[int], vocabulary: Vocabulary) -> Prefix | None:
    """Return a prefix whose last word is open; None where its pieces do not spell that word, or one is unknown."""
    begin = max(spelling.rfind(SPACE), 0)
    whole: list[int] = []
    spelled = 0
    for i in ids:
        if spelled + len(vocabulary.spellings[i]) > begin:
            break
        whole.append(i)
        spelled += len(vocabulary.spellings[i])
    if vocabulary.spell(whole) != spelling[:spelled] or begin != spelled:
        return None
    try:
        return Prefix(whole, spelling[spelled:], vocabulary)
    except ValueError:
        return None
