"""Tokenizers of other people's models: a SentencePiece model cuts the text, and a list says which id a piece has."""

import base64
import json
import re
from collections.abc import Sequence
from functools import cached_property
from random import Random

import sentencepiece

from seq2seq.data.model_proto import model_of
from seq2seq.data.sampling import Segmenter
from seq2seq.data.tags import NO_WORD
from seq2seq.data.text import EARLIER, NORMALIZATIONS, is_blank, restore, words_of_pieces
from seq2seq.data.tokenizer import MODEL_NAMES, SPECIAL, UNK, Tokenizer, WordPieces
from seq2seq.errors import UserError

CODE = re.compile(r">>[^<>]+<<")
"""A language that a text begins with, as in `>>fra<< How are you?`."""


UNUSED = "<unused "
"""How the name begins of a row of embeddings that no piece belongs to."""


def pack_foreign(model: bytes, vocabulary: Sequence[str], *, tags: dict[str, int], tag: str = "") -> bytes:
    """The bytes of a `ForeignTokenizer`.

    Args:
        model: of SentencePiece.
        vocabulary: the pieces by id; those of `SPECIAL` first.
        tags: ids of the pieces that say a language, by its name.
        tag: what stands before every text; "": nothing.
    """
    packed = {"units": "foreign", "vocabulary": list(vocabulary), "tags": tags, "tag": tag}
    return json.dumps(packed | {"sentencepiece": base64.b64encode(model).decode()}, ensure_ascii=False).encode()


class ForeignTokenizer(Tokenizer):
    """Cuts text as its SentencePiece model does; a piece that the vocabulary has not is unknown.

    Ids are as everywhere here: those of `SPECIAL` come first. A text may begin with a language in the form of `CODE`,
    where the vocabulary has it: that is a piece of its own.
    """

    def _load(self, model_proto: bytes) -> None:
        try:
            packed = json.loads(model_proto)
            self._cutting = base64.b64decode(packed["sentencepiece"])
            self.vocabulary: list[str] = packed["vocabulary"]
            self.tag_ids, self.tag = packed["tags"], packed["tag"]
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=self._cutting)
        except (ValueError, KeyError, TypeError, RuntimeError):
            raise UserError(f"not a vocabulary, or a damaged one ({len(model_proto)} bytes)") from None
        model = model_of(self._cutting)
        spec = model.normalizer_spec
        rewrites = EARLIER if spec.precompiled_charsmap else "identity"
        self.normalization = spec.name if spec.name in NORMALIZATIONS else rewrites
        # One that we have exported cuts text as it did before.
        self._has_stand_ins = model.pieces[self._processor.unk_id()].piece == MODEL_NAMES[UNK]
        self._ids = {piece: i for i, piece in enumerate(self.vocabulary) if i >= len(SPECIAL)}
        unused = (i for i, piece in enumerate(self.vocabulary) if piece.startswith(UNUSED))
        self._silent = super().silent.union(unused)

    @property
    def sentencepiece(self) -> bytes:
        """The SentencePiece model that cuts text; its ids are others."""
        return self._cutting

    @property
    def files(self) -> dict[str, bytes]:
        """That model, and the pieces in the order of their ids."""
        return {".spm": self._cutting, ".json": json.dumps(self.vocabulary, ensure_ascii=False).encode()}

    @property
    def silent(self) -> frozenset[int]:
        """Languages, and rows that no piece belongs to, as well."""
        return self._silent

    def __len__(self) -> int:
        return len(self.vocabulary)

    def _model_with(self, tags: Sequence[str]) -> bytes:
        vocabulary = [*self.vocabulary, *(f"<{name}>" for name in tags)]
        new = {name: len(self) + i for i, name in enumerate(tags)}
        return pack_foreign(self._cutting, vocabulary, tags=self.tag_ids | new, tag=self.tag)

    def _encode(self, text: str) -> list[int]:
        if is_blank(text):
            return []
        code, rest = self._parted(self._prepared(text))
        pieces = self._processor.encode(self._stand_in(rest), out_type=str)
        return [*code, *(self._ids.get(piece, UNK) for piece in pieces)]

    def encode_sampled(self, text: str, *, alpha: float, seed: int) -> list[int]:
        """The ids of a random segmentation, as `Tokenizer.encode_sampled`."""
        code, rest = self._parted(self._prepared(text))
        sampled = self._segmenter.sample(self._processor.normalize(self._stand_in(rest)), alpha, Random(seed))
        return self.after_tag([*code, *sampled])

    @cached_property
    def _segmenter(self) -> Segmenter:
        made = Segmenter(self._cutting)
        made.ids = {piece: self._ids[piece] for piece in made.ids if piece in self._ids}
        made.unknown = UNK
        return made

    def _word_of_piece(self, text: str) -> WordPieces:
        if is_blank(text):
            return WordPieces([], [])
        prepared = self._prepared(text)
        code, rest = self._parted(prepared)
        mapping = self._processor.encode_as_offset_mapping(self._stand_in(rest))
        ids = [self._ids.get(piece, UNK) for piece in mapping["pieces"]]
        words = words_of_pieces(prepared, mapping["pieces"], mapping["offsets"])
        return WordPieces([*code, *ids], [*(0 for _ in code), *words])

    def _parted(self, text: str) -> tuple[list[int], str]:
        """The id of the language that the text begins with, if any, and the text with blanks in its place."""
        found = CODE.match(text)
        if found is None or found[0] not in self._ids:
            return [], text
        return [self._ids[found[0]]], " " * found.end() + text[found.end() :]

    def _before(self, ids: Sequence[int]) -> list[int]:
        """The tag, unless the text begins with a language of its own."""
        return [] if ids and ids[0] in self.tag_ids.values() else super()._before(ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids; special ids and languages give nothing, an unknown one a question mark."""
        unknown = self._processor.id_to_piece(self._processor.unk_id())
        said = (unknown if i == UNK else self.vocabulary[i] for i in map(int, ids) if i not in self._silent)
        text: str = self._processor.decode(list(said))
        if self._has_stand_ins:
            return restore(text)
        return text.replace("▁", " ").strip()  # of pieces that its SentencePiece model has not

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The pieces as written in the vocabulary, where `▁` stands for the space before a word."""
        return [self.vocabulary[i] for i in map(int, ids)]

    def words_of_ids(self, ids: Sequence[int]) -> list[int]:
        """The word, counted from 0, of each of some ids; a language that stands before them belongs to none."""
        language = [NO_WORD for i in ids[:1] if i in self.tag_ids.values()]
        return [*language, *super().words_of_ids(ids[len(language) :])]
