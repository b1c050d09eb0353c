"""Units beside SentencePiece's: bytes, which say every text, and whole words, the rare ones of which are unknown."""

import json
import re
from collections.abc import Collection, Sequence

from seq2seq.data.foreign import ForeignTokenizer
from seq2seq.data.text import comparable, is_blank, words
from seq2seq.data.tokenizer import UNK, Tokenizer, TokenizerConfig, WordPieces
from seq2seq.data.units_training import BYTES, FIRST, LINE_ENDS, ByteConfig, WordConfig, packed, parts
from seq2seq.errors import UserError

__all__ = [
    "UNITS",
    "ByteConfig",  # as configurations name it
    "ByteTokenizer",
    "Listed",
    "VocabularyConfig",
    "WordConfig",  # likewise
    "WordTokenizer",
    "spelt",
    "tokenizer_of",
]

UNKNOWN = "⁇"
"""What an unknown word is in a text that was decoded, as SentencePiece writes it."""

BLANKS = b" "[0], b"\t"[0]

BYTE = re.compile(r"<0x([0-9A-F]{2})>")
"""What a byte is called that is no letter by itself."""


def tokenizer_of(model: bytes) -> Tokenizer:
    """The tokenizer that such bytes make: JSON those of `UNITS`, others a SentencePiece model.

    Raises UserError when they make none.
    """
    if not model.startswith(b"{"):
        return Tokenizer(model)
    try:
        kind = UNITS[json.loads(model)["units"]]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"not a vocabulary that this version knows, or a damaged one ({len(model)} bytes)") from None
    return kind(model)


class Listed(Tokenizer):
    """A tokenizer whose model is JSON: its units, its normalisation, and its entries beyond what all such have."""

    sentencepiece = None
    base = FIRST  # the id of the first entry

    def _load(self, model_proto: bytes) -> None:
        try:
            model = json.loads(model_proto)
            self.normalization, self.entries = str(model["normalization"]), [str(entry) for entry in model["entries"]]
        except (ValueError, KeyError, TypeError):
            raise UserError(f"not a vocabulary, or a damaged one ({len(model_proto)} bytes)") from None
        for i, entry in enumerate(self.entries, start=self.base):
            if entry.startswith("<"):
                self.tag_ids[entry[1:-1]] = i

    def __len__(self) -> int:
        return self.base + len(self.entries)

    @property
    def files(self) -> dict[str, bytes]:
        """The model itself."""
        return {".json": self.model_proto}

    def _model_with(self, tags: Sequence[str]) -> bytes:
        return self.model_with([f"<{name}>" for name in tags])

    def model_with(self, entries: Sequence[str]) -> bytes:
        """The model with more entries at its end."""
        return packed(json.loads(self.model_proto) | {"entries": [*self.entries, *entries]})

    def spelling(self, text: str) -> str:
        """The text as `pieces` of it spell it together."""
        return "".join(self.pieces(self._encode(text)))

    def encode_sampled(self, text: str, *, alpha: float, seed: int) -> list[int]:
        """The ids of the only segmentation that there is."""
        return self.encode(text)


class ByteTokenizer(Listed):
    """The bytes of a text in UTF-8: 256 ids after the special ones, and none that is unknown.

    A space belongs to the word after it. What a model says may be no text: then `�` stands where it fails.
    """

    base = FIRST + BYTES

    def _encode(self, text: str) -> list[int]:
        return self._bytes(self._read(text))

    def _bytes(self, text: str) -> list[int]:
        return [FIRST + byte for byte in text.encode("utf-8", "surrogatepass")]

    def _read(self, text: str) -> str:
        """The text as it is read, with the same words."""
        if is_blank(text):
            return ""
        if self.normalization == "identity":
            return text.translate(LINE_ENDS)
        return " ".join(filter(None, map(self._normal, words(text))))

    def _normal(self, word: str) -> str:
        return comparable(self.normalization)(word).translate(LINE_ENDS)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids, always one line; special ids give nothing."""
        said = bytes(i - FIRST for i in map(int, ids) if FIRST <= i < FIRST + BYTES)
        return said.decode("utf-8", "replace").translate(LINE_ENDS)

    def _piece(self, i: int) -> str:
        byte = i - FIRST
        if byte == ord(" "):
            return "▁"
        return chr(byte) if ord("!") <= byte <= ord("~") else f"<0x{byte:02X}>"

    def words_of_ids(self, ids: Sequence[int]) -> list[int]:
        """The word of each of some ids: a blank, or several, begins the next one."""
        found, word, blank = list[int](), 0, True
        for i in map(int, ids):
            is_space = i - FIRST in BLANKS
            word += is_space and not blank and bool(found)
            blank = is_space
            found.append(word)
        return found

    def _word_of_piece(self, text: str) -> WordPieces:
        ids, found = self._encode(text), list[int]()
        if self.normalization == "identity":
            # Of the text as it was: an end of a line, of which a space is made, ends no word.
            places = self.words_of_ids(self._bytes(text)) if ids else []
            return WordPieces(ids, [min(place, len(words(text)) - 1) for place in places])
        for i, word in enumerate(words(text)):
            size = len(self._normal(word).encode("utf-8", "surrogatepass"))
            found += [i] * (size + bool(found) if size else 0)
        return WordPieces(ids, found)


class WordTokenizer(Listed):
    """The words of a text, those between spaces and tabs; words that are not in the vocabulary are `<unk>`.

    A word that normalisation makes several is several pieces, and all of them belong to it.
    """

    def _load(self, model_proto: bytes) -> None:
        super()._load(model_proto)
        # The others are tags: a word of the text may be called as one is.
        self._ids = {entry[1:]: i for i, entry in enumerate(self.entries, start=FIRST) if entry.startswith("▁")}

    @property
    def known(self) -> Collection[str]:
        """The words that it has."""
        return self._ids.keys()

    def _encode(self, text: str) -> list[int]:
        return self._word_of_piece(text).ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids; special ids give nothing, an unknown word a `⁇`."""
        said = [UNKNOWN if i == UNK else self._piece(i)[1:] for i in map(int, ids) if self._is_word(i)]
        return " ".join(said)

    def spelling(self, text: str) -> str:
        """The words with `▁` before each, unknown ones too."""
        return "".join(f"▁{part}" for word in words(text) for part in parts(word, self.normalization))

    def _is_word(self, i: int) -> bool:
        return i == UNK or (i >= FIRST and self._piece(i).startswith("▁"))

    def _piece(self, i: int) -> str:
        return self.entries[i - FIRST]

    def words_of_ids(self, ids: Sequence[int]) -> list[int]:
        """Each of some ids is a word."""
        return list(range(len(ids)))

    def _word_of_piece(self, text: str) -> WordPieces:
        found = [(part, i) for i, word in enumerate(words(text)) for part in parts(word, self.normalization)]
        return WordPieces([self._ids.get(part, UNK) for part, _ in found], [i for _, i in found])


UNITS: dict[str, type[Tokenizer]] = {"byte": ByteTokenizer, "word": WordTokenizer, "foreign": ForeignTokenizer}
"""What models in JSON call their units."""


VocabularyConfig = TokenizerConfig | ByteConfig | WordConfig
"""How to make the tokenizers of a corpus, of whatever units."""


def spelt(pieces: Sequence[str]) -> list[str]:
    """Pieces without the `▁`, and where they are bytes of a character, that character for the first of its bytes."""
    texts = [piece.removeprefix("▁") for piece in pieces]
    start = 0
    while start < len(pieces):
        end = start
        while end < len(pieces) and BYTE.fullmatch(pieces[end]):
            end += 1
        if end > start:
            said = bytes(int(piece[3:5], 16) for piece in pieces[start:end])
            texts[start:end] = _first_bytes(said)
        start = max(end, start + 1)
    return texts


def _first_bytes(said: bytes) -> list[str]:
    """For each byte the character that it begins, and nothing for the others."""
    try:
        text = said.decode("utf-8")
    except UnicodeDecodeError:
        return [f"<0x{byte:02X}>" for byte in said]
    return [part for character in text for part in (character, *[""] * (len(character.encode()) - 1))]
