"""Text to SentencePiece ids and back, with the word of the text that each piece belongs to."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from random import Random
from typing import Any, NamedTuple

import sentencepiece

from seq2seq.data.model_proto import bytes_of, model_of
from seq2seq.data.sampling import Segmenter
from seq2seq.data.special import BOS, EOS, MODEL_NAMES, PAD, SPECIAL, UNK
from seq2seq.data.tags import NO_WORD, TAG, tag_name
from seq2seq.data.text import escape, is_blank, nfc, restore, stand_in, words_of_pieces
from seq2seq.data.tokenizer_training import TokenizerConfig
from seq2seq.errors import UserError, nearest

__all__ = [
    "BOS",
    "EOS",
    "MODEL_NAMES",
    "PAD",
    "SPECIAL",
    "UNK",
    "Tokenizer",
    "TokenizerConfig",  # as configurations name it
    "Tokenizers",
    "WordPieces",
]

SHOWN = 20
"""Tags that a message names at most."""


class WordPieces(NamedTuple):
    """The piece ids of a text and, for each, the index of the word of the text that it belongs to, or `NO_WORD`."""

    ids: list[int]
    words: list[int]


class Tokenizer:
    """A trained SentencePiece model; ids never include BOS or EOS. Raises UserError when the bytes are no model.

    A line without words has no ids. Tags are symbols of the vocabulary that no text can make: `tagged` puts one before
    the pieces of every text. Other units than SentencePiece's are subclasses, in `seq2seq.data.units`.
    """

    def __init__(self, model_proto: bytes) -> None:
        self.model_proto = model_proto
        self.normalization = ""  # as `TokenizerConfig`
        self.tag = ""  # that stands before every text
        self.tag_ids: dict[str, int] = {}  # by name
        self._by_tag: dict[str, Tokenizer] = {"": self}
        self._load(model_proto)

    def _load(self, model_proto: bytes) -> None:
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model_proto)
        except RuntimeError as error:
            raise UserError(f"not a SentencePiece model, or a damaged one ({len(model_proto)} bytes)") from error
        model = model_of(model_proto)
        self.normalization = model.normalizer_spec.name
        self._has_stand_ins = model.pieces[UNK].piece == MODEL_NAMES[UNK]  # not so before there was a normalization
        for i, piece in enumerate(model.pieces):
            found = TAG.fullmatch(piece.piece.replace(" >", ">"))
            if i >= len(SPECIAL) and piece.type == piece.CONTROL and found:
                self.tag_ids[found[1]] = i

    def __len__(self) -> int:
        return len(self._processor)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.model_proto, self.tag)

    def with_tags(self, names: Iterable[str]) -> "Tokenizer":
        """One that has these tags as well; ids of what it has stay."""
        new = [name for name in map(tag_name, names) if name not in self.tag_ids]
        return type(self)(self._model_with(new)) if new else self

    def _model_with(self, tags: Sequence[str]) -> bytes:
        """The model with more tags at its end."""
        model = model_of(self.model_proto)
        for name in tags:
            model.pieces.add(piece=f"<{name} >", score=0.0, type=model.SentencePiece.CONTROL)
        return bytes_of(model)

    def tagged(self, tag: str) -> "Tokenizer":
        """The same one with a tag before the pieces of every text, none for ""; UserError where it has no such tag."""
        name = tag if tag in self._by_tag else tag_name(tag)
        if name not in self._by_tag:
            if name not in self.tag_ids:
                known = f"it knows {', '.join(sorted(self.tag_ids))}" if self.tag_ids else "it was trained without tags"
                known = nearest(name, self.tag_ids) if len(self.tag_ids) > SHOWN else known
                raise UserError(f"tag={name} is not known to the model: {known}")
            made = object.__new__(type(self))  # `copy` would go through `__reduce__`, and read the model again
            made.__dict__ |= self.__dict__ | {"tag": name}
            self._by_tag[name] = made  # asked for at every pair
        return self._by_tag[name]

    @property
    def first(self) -> list[int]:
        """What stands before every text: its tag, or nothing."""
        return [self.tag_ids[self.tag]] if self.tag else []

    @property
    def silent(self) -> frozenset[int]:
        """Ids that stand for no text: special ones but for the unknown, and tags."""
        return frozenset({PAD, BOS, EOS, *self.tag_ids.values()})

    @property
    def sentencepiece(self) -> bytes | None:
        """The SentencePiece model that cuts text; None where something else does."""
        return self.model_proto

    @property
    def files(self) -> dict[str, bytes]:
        """What another program needs to cut text alike: contents of files by how their names end."""
        return {".spm": self.model_proto}

    def encode(self, text: str) -> list[int]:
        """The ids of the best segmentation."""
        return self.after_tag(self._encode(text))

    def encode_sampled(self, text: str, *, alpha: float, seed: int) -> list[int]:
        """The ids of a random segmentation, the same for the same seed; `alpha` is `TokenizerConfig.sampling`."""
        return self.after_tag(self._segmenter.sample(self.spelling(text), alpha, Random(seed)))

    def spelling(self, text: str) -> str:
        """The text as `pieces` of it spell it together, with `▁` for a space; unknown characters stay in it."""
        return self._processor.normalize(self._stand_in(self._prepared(text)))

    def word_of_piece(self, text: str) -> WordPieces:
        """The ids of `encode(text)` with the index in `words(text)` of the word that each piece belongs to.

        A piece without a visible character of its own, such as a lone `▁`, belongs to the next word. A word that
        normalises to nothing has no piece, and a tag has no word.
        """
        ids, words = self._word_of_piece(text)
        before = self._before(ids)
        return WordPieces([*before, *ids], [*(NO_WORD for _ in before), *words])

    def after_tag(self, ids: list[int]) -> list[int]:
        """Ids of a text, as `tagged("")` gives them, after the tag if there is one; none stay none."""
        return [*self._before(ids), *ids]

    def _before(self, ids: Sequence[int]) -> list[int]:
        """What stands before ids of a text: its tag, or nothing."""
        return self.first if ids else []

    def _encode(self, text: str) -> list[int]:
        return self._processor.encode(self._stand_in(self._prepared(text)))

    @cached_property
    def _segmenter(self) -> Segmenter:
        return Segmenter(self.model_proto)

    def _prepared(self, text: str) -> str:
        """The text with the same words, and no character in it that will stand for another."""
        text = nfc(text) if self.normalization == "nfc" else text
        return escape(text) if self._has_stand_ins else text

    def _stand_in(self, text: str) -> str:
        """The text as long as it was, as the model reads it."""
        if not self._has_stand_ins:
            return text
        if is_blank(text):
            return ""
        return stand_in(text, keep_tabs=self.normalization == "identity")

    def surfaces(self, text: str) -> list[str]:
        """The best segmentation as text, in which an unknown stretch is what it was, and `▁` stands for a space."""
        return self._processor.encode(self._stand_in(self._prepared(text)), out_type=str)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids; special ids give nothing, an unknown one gives a question mark between spaces."""
        text = self._processor.decode(list(ids))
        return restore(text) if self._has_stand_ins else text

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The pieces as written in the vocabulary, where `▁` stands for the space before a word; a tag in angles."""
        named = {**dict(enumerate(SPECIAL)), **{i: f"<{name}>" for name, i in self.tag_ids.items()}}
        return [named.get(i) or self._piece(i) for i in map(int, ids)]

    def _piece(self, i: int) -> str:
        return self._processor.id_to_piece(i)

    def words_of_ids(self, ids: Sequence[int]) -> list[int]:
        """The word, counted from 0, of each of some ids, which need not be the best segmentation of their text."""
        words: list[int] = []
        for piece in self.pieces(ids):
            words.append(words[-1] + piece.startswith("▁") if words else 0)
        return words

    def _word_of_piece(self, text: str) -> WordPieces:
        """Found through character offsets in the original text, so that a space more or less shifts nothing."""
        prepared = self._prepared(text)
        mapping = self._processor.encode_as_offset_mapping(self._stand_in(prepared))
        return WordPieces(mapping["ids"], words_of_pieces(prepared, mapping["pieces"], mapping["offsets"]))


def _restored(kind: type[Tokenizer], model_proto: bytes, tag: str) -> Tokenizer:
    return kind(model_proto).tagged(tag)


class Tokenizers(NamedTuple):
    """One tokenizer a side; the same object twice when they are joint."""

    source: Tokenizer
    target: Tokenizer

    @property
    def one_vocabulary(self) -> bool:
        """Whether both sides have the same pieces with the same ids, so that they can share embeddings."""
        if self.source is self.target:
            return True
        size = len(self.source)
        return size == len(self.target) and self.source.pieces(range(size)) == self.target.pieces(range(size))


def marked(tokenizer: Tokenizer, tag: str) -> Tokenizer:
    """The tokenizer of a source that has a tag of its own, or else the one that is given."""
    return tokenizer.tagged(tag) if tag else tokenizer
