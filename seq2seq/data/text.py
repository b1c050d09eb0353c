"""What counts as a word of a text, when two texts are the same, and how text is put to SentencePiece unharmed."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache, partial

import sentencepiece

NORMALIZATIONS = ("nfc", "identity", "nfkc", "nmt_nfkc")
"""What may happen to text before it is cut into pieces, by how much it changes: `tokenizer.normalization`."""

FAITHFUL = ("nfc", "identity")
"""Those by which no character becomes another, as a reader sees it."""

EARLIER = "nmt_nfkc"
"""What did happen before there was a choice: of configurations that do not name one."""

WORD = re.compile(r"[^ \t]+")

SURROGATE = re.compile("[\ud800-\udfff]")
"""What JSON can hold, and no text in UTF-8."""

# SentencePiece itself uses these for a space, for an unknown character and for a boundary, and never learns a NUL:
# in its pieces they are noncharacters, which Unicode keeps free for the inside of programs.
_STAND_INS = {"▁": "\ufdd0", "▅": "\ufdd1", "\x1f": "\ufdd2", "\0": "\ufdd3"}
_TAB = "\t", "\ufdd4"

# Where a text has one of those itself, or this, this stands before it.
_ESCAPE = "\ufdd5"

_RESERVED = re.compile(f"[{''.join(_STAND_INS)}{_TAB[0]}]")
_TAKEN = re.compile(f"[{''.join(_STAND_INS.values())}{_TAB[1]}{_ESCAPE}]")
_STANDING_IN = re.compile(f"{_ESCAPE}({_TAKEN.pattern})|{_TAKEN.pattern}")
_TO_PIECES = str.maketrans(_STAND_INS | {_TAB[0]: " "})
_TO_PIECES_WITH_TABS = str.maketrans(_STAND_INS | dict([_TAB]))
_TO_TEXT = {stand_in: character for character, stand_in in [*_STAND_INS.items(), _TAB]}


def words(text: str) -> list[str]:
    """The words of a text, those between spaces and tabs, as the tools count them that make and read word links.

    Nothing else ends a word: not a no-break space, nor any other blank of Unicode at which `str.split` would cut.
    """
    return WORD.findall(text)


def is_blank(text: str) -> bool:
    """Whether a text has no word."""
    return WORD.search(text) is None


def visible(text: str) -> str:
    """A text of which everything can be seen: what does not print, such as a zero-width space, as Python escapes it."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def words_of_pieces(text: str, pieces: Sequence[str], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """The index of the word for each piece of a text, whose offsets say from which character to which it stands."""
    word_of_character = _word_of_character(text)
    found: list[int] = []
    word = max(word_of_character, default=0)
    for piece, (begin, end) in zip(reversed(pieces), reversed(offsets), strict=True):
        # A piece spans two words where the first of them normalises to nothing: the second counts.
        if piece != "▁" and not is_blank(text[begin:end]):
            word = word_of_character[end - 1]
        found.append(word)
    return found[::-1]


def _word_of_character(text: str) -> list[int]:
    """For each character the index of its word; a blank has that of the word before it, or -1."""
    indices, word, in_word = [], -1, False
    for character in text:
        visible = not is_blank(character)
        word += visible and not in_word
        in_word = visible
        indices.append(word)
    return indices


def one_line(text: str) -> str:
    """The text with a space for every end of a line."""
    return re.sub(r"[ \t]*[\r\n]+[ \t]*", " ", text)


def nfc(text: str) -> str:
    """The text with every letter and its marks composed, which to a reader is the same text."""
    return unicodedata.normalize("NFC", text)


def escape(text: str) -> str:
    """The text with a mark before each character that `stand_in` would put in another's place."""
    return text if _TAKEN.search(text) is None else _TAKEN.sub(rf"{_ESCAPE}\g<0>", text)


def stand_in(text: str, *, keep_tabs: bool) -> str:
    """The text, as long as it was, without the characters that SentencePiece keeps for itself."""
    if _RESERVED.search(text) is None:
        return text
    return text.translate(_TO_PIECES_WITH_TABS if keep_tabs else _TO_PIECES)


def restore(text: str) -> str:
    """The text that `escape`, and then `stand_in`, was given."""
    return _STANDING_IN.sub(lambda found: found[1] or _TO_TEXT.get(found[0], found[0]), text)


@cache
def comparable(normalization: str) -> Callable[[str], str]:
    """Return what brings texts into the one form in which those of a tokenizer are compared.

    That is what its normalisation leaves of them, as it can say nothing else, and then NFC.
    """
    if normalization in FAITHFUL:
        return nfc
    rules = sentencepiece.SentencePieceNormalizer(
        rule_name=normalization, add_dummy_prefix=False, escape_whitespaces=False, remove_extra_whitespaces=True
    )
    return partial(_by_rules, rules)


def _by_rules(rules: sentencepiece.SentencePieceNormalizer, text: str) -> str:
    return nfc(rules.normalize(text))
