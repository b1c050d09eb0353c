"""Text to SentencePiece ids and back, with the word of the text that each piece belongs to."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any, NamedTuple

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from seq2seq.data.sampling import Segmenter
from seq2seq.data.tags import NO_WORD, TAG, tag_name
from seq2seq.data.text import NORMALIZATIONS, escape, is_blank, nfc, restore, stand_in
from seq2seq.errors import UserError

UNK, PAD, BOS, EOS = 0, 1, 2, 3
SPECIAL = ("<unk>", "<pad>", "<s>", "</s>")
"""What those four are called; no piece of text is alike, as SentencePiece never joins a sign and a letter."""

# Inside a model a space stands in their names. So no text can be taken for them: there, a space is a `▁`.
MODEL_NAMES = tuple(name.replace(">", " >") for name in SPECIAL)

# SentencePiece would leave longer lines (in bytes) out of its training without a word. This is the most that it takes.
LONGEST_LINE = 1 << 30

SEED = 1
"""Of the lines that are drawn. A constant: a vocabulary belongs to its text, not to a run."""


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """How to make the tokenizers of a corpus.

    `sampling` is how the segmentation of training text varies: 0 is off; for BPE the share of merges that is dropped
    (BPE-dropout, Provilkov et al. 2020); for unigram the smoothing alpha (Kudo 2018), where smaller varies more.
    `normalization` is what becomes of text first: `nfc` composes letters and makes one space of several blanks;
    `identity` changes nothing; `nfkc` and `nmt_nfkc` are SentencePiece's, and rewrite characters (`m²` to `m2`).
    `checkpoint` has a vocabulary that is taken as it is, in place of one trained on the text; `grow` adds pieces for
    the text to that, or to the vocabulary of the checkpoint that a training begins with.
    """

    model_type: str
    vocab_size: int
    joint: bool
    sampling: float
    normalization: str
    character_coverage: float
    input_sentence_size: int
    checkpoint: str | None = None
    grow: bool = False

    def __post_init__(self) -> None:
        if self.model_type not in ("bpe", "unigram", "char"):
            raise UserError(f"tokenizer.model_type={self.model_type} is not known: use bpe, unigram or char")
        if self.vocab_size < 1:
            raise UserError(f"tokenizer.vocab_size={self.vocab_size} must be above 0, such as 4000")
        check_normalization(self.normalization)
        if not 0.98 <= self.character_coverage <= 1:  # SentencePiece's own bounds
            raise UserError(
                f"tokenizer.character_coverage={self.character_coverage} must be from 0.98 to 1, the share "
                "of characters that pieces cover"
            )
        if self.input_sentence_size < 0 or 0 < self.input_sentence_size <= 100:
            raise UserError(
                f"tokenizer.input_sentence_size={self.input_sentence_size} must be 0 (all lines) or above 100"
            )
        if not 0 <= self.sampling <= 1:
            raise UserError(f"tokenizer.sampling={self.sampling} is out of range: use 0 (off) to 1, for example 0.1")
        if self.sampling and self.model_type == "char":
            raise UserError(
                f"tokenizer.sampling={self.sampling}: characters can be cut in one way alone; "
                "say tokenizer.sampling=0, or vary the source with noise.typo"
            )

    def of_vocabulary(self) -> list[object]:
        """What the vocabulary follows from, beside the text."""
        sizes = [self.character_coverage, self.input_sentence_size]
        return [self.model_type, self.vocab_size, self.joint, self.normalization, *sizes]

    def train(self, lines: Iterable[str]) -> bytes:
        """The model of a tokenizer, as `train_tokenizer`."""
        return train_tokenizer(lines, self)

    @property
    def more_known(self) -> str | None:
        """What to do so that fewer pieces are unknown; None: the text itself lacks them."""
        if self.character_coverage < 1:
            coverage = f"raise tokenizer.character_coverage={self.character_coverage}"
            return f"{coverage}, and tokenizer.vocab_size if that needs it"
        return None


def check_normalization(name: str) -> None:
    """Refuse a `tokenizer.normalization` that is none."""
    if name not in NORMALIZATIONS:
        raise UserError(
            f"tokenizer.normalization={name} is not known: use {', '.join(NORMALIZATIONS[:-1])} or {NORMALIZATIONS[-1]}"
        )


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
        model = sentencepiece_model_pb2.ModelProto.FromString(model_proto)  # type: ignore[attr-defined]
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
        model = sentencepiece_model_pb2.ModelProto.FromString(self.model_proto)  # type: ignore[attr-defined]
        for name in tags:
            model.pieces.add(piece=f"<{name} >", score=0.0, type=model.SentencePiece.CONTROL)
        return model.SerializeToString(deterministic=True)

    def tagged(self, tag: str) -> "Tokenizer":
        """The same one with a tag before the pieces of every text, none for ""; UserError where it has no such tag."""
        name = tag if tag in self._by_tag else tag_name(tag)
        if name not in self._by_tag:
            if name not in self.tag_ids:
                known = f"it knows {', '.join(sorted(self.tag_ids))}" if self.tag_ids else "it was trained without tags"
                raise UserError(f"tag={name} is not known to the model: {known}")
            made = object.__new__(type(self))  # `copy` would go through `__reduce__`, and read the model again
            made.__dict__ |= self.__dict__ | {"tag": name}
            self._by_tag[name] = made  # asked for at every pair
        return self._by_tag[name]

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
        return WordPieces(self.after_tag(ids), [NO_WORD, *words] if ids and self.tag else words)

    def after_tag(self, ids: list[int]) -> list[int]:
        """Ids of a text, as `tagged("")` gives them, after the tag if there is one; none stay none."""
        return [self.tag_ids[self.tag], *ids] if ids and self.tag else ids

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


def words_of_pieces(text: str, pieces: Sequence[str], offsets: Sequence[tuple[int, int]]) -> list[int]:
    """The index of the word of a text for each piece, of which is known where in the text it is."""
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


def train_tokenizer(lines: Iterable[str], config: TokenizerConfig) -> bytes:
    """The bytes of a SentencePiece model trained on some lines: the same for the same lines and settings, everywhere.

    Raises UserError with the value to use when the text allows only a smaller, or needs a larger, vocabulary.
    """
    model = io.BytesIO()
    keeps_all = config.normalization == "identity"
    prepare = nfc if config.normalization == "nfc" else str
    readable = (stand_in(escape(prepare(line)), keep_tabs=keeps_all) for line in lines if not is_blank(line))
    mistakes: list[UserError] = []  # SentencePiece would turn one in the lines into an error of its own
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_watched(drawn_lines(readable, config.input_sentence_size), mistakes),
            model_writer=model,
            model_type=config.model_type,
            vocab_size=config.vocab_size,
            hard_vocab_limit=config.model_type != "char",  # of characters there are as many as there are
            normalization_rule_name="identity" if config.normalization == "nfc" else config.normalization,
            remove_extra_whitespaces=not keeps_all,
            character_coverage=config.character_coverage,
            max_sentence_length=LONGEST_LINE,
            num_threads=1,  # the sums of unigram training, and so its vocabulary, depend on the number of threads
            unk_id=UNK,
            pad_id=PAD,
            bos_id=BOS,
            eos_id=EOS,
            unk_piece=MODEL_NAMES[UNK],
            pad_piece=MODEL_NAMES[PAD],
            bos_piece=MODEL_NAMES[BOS],
            eos_piece=MODEL_NAMES[EOS],
            minloglevel=2,
        )
    except RuntimeError as error:
        raise mistakes[0] if mistakes else _explained(error, config.vocab_size) from error
    made = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())  # type: ignore[attr-defined]
    made.normalizer_spec.name = config.normalization
    return made.SerializeToString(deterministic=True)


def drawn_lines(lines: Iterable[str], size: int) -> Iterator[str]:
    """`size` lines drawn from all with equal chance, or all where they are no more, or size is 0.

    SentencePiece would draw by a seed of the process. A line is let go as soon as it is taken: SentencePiece holds it.
    """
    if not size:
        yield from lines
        return
    random, kept = Random(SEED), []
    for number, line in enumerate(lines):
        if number < size:
            kept.append(line)
        elif (place := int(random.random() * (number + 1))) < size:
            kept[place] = line
    kept.reverse()
    while kept:
        yield kept.pop()


def _watched(lines: Iterable[str], mistakes: list[UserError]) -> Iterator[str]:
    try:
        yield from lines
    except UserError as mistake:
        mistakes.append(mistake)
        raise


def _explained(error: RuntimeError, vocab_size: int) -> UserError:
    """SentencePiece's complaint in the user's words."""
    if too_high := re.search(r"size too high \(\d+\).*<= (\d+)", str(error)):
        return UserError(
            f"tokenizer.vocab_size={vocab_size} is more than the training text allows: "
            f"use tokenizer.vocab_size={too_high[1]} or less"
        )
    if too_low := re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error)):
        return UserError(
            f"tokenizer.vocab_size={vocab_size} is less than the characters of the training text need: "
            f"use tokenizer.vocab_size={too_low[1]} or more, or a lower tokenizer.character_coverage"
        )
    if "sentences_.empty()" in str(error):
        return UserError("the training text holds nothing but empty lines: a tokenizer needs text to learn from")
    reason = " ".join(str(error).split())
    return UserError(f"SentencePiece cannot train with the settings of tokenizer.*: {reason}")
