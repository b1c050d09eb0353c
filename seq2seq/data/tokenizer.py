"""Text to SentencePiece ids and back, with the whitespace word that each piece belongs to."""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import NamedTuple

import sentencepiece

from seq2seq.data.sampling import Segmenter
from seq2seq.errors import UserError

UNK, PAD, BOS, EOS = 0, 1, 2, 3

# SentencePiece would leave longer lines (in bytes) out of its training without a word; its own default is 4192.
LONGEST_LINE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """How to make the tokenizers of a corpus.

    `sampling` is how the segmentation of training text varies: 0 is off; for BPE the share of merges that is dropped
    (BPE-dropout, Provilkov et al. 2020); for unigram the smoothing alpha (Kudo 2018), where smaller varies more.
    """

    model_type: str
    vocab_size: int
    joint: bool
    sampling: float
    character_coverage: float
    input_sentence_size: int

    def __post_init__(self) -> None:
        if self.model_type not in ("bpe", "unigram"):
            raise UserError(f"tokenizer.model_type={self.model_type} is not known: use bpe or unigram")
        if self.vocab_size < 1:
            raise UserError(f"tokenizer.vocab_size={self.vocab_size} must be above 0, such as 4000")
        if not 0.9 <= self.character_coverage <= 1:
            raise UserError(
                f"tokenizer.character_coverage={self.character_coverage} must be from 0.9 to 1, the share "
                "of characters that pieces cover"
            )
        if self.input_sentence_size < 0 or 0 < self.input_sentence_size <= 100:
            raise UserError(
                f"tokenizer.input_sentence_size={self.input_sentence_size} must be 0 (all lines) or above 100"
            )
        if not 0 <= self.sampling <= 1:
            raise UserError(f"tokenizer.sampling={self.sampling} is out of range: use 0 (off) to 1, for example 0.1")


class WordPieces(NamedTuple):
    """The piece ids of a text and, for each, the index of the whitespace word of the text that it belongs to."""

    ids: list[int]
    words: list[int]


class Tokenizer:
    """A trained SentencePiece model; ids never include BOS or EOS. Raises UserError when the bytes are no model."""

    def __init__(self, model_proto: bytes) -> None:
        self.model_proto = model_proto
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model_proto)
        except RuntimeError as error:
            raise UserError(f"not a SentencePiece model, or a damaged one ({len(model_proto)} bytes)") from error

    def __len__(self) -> int:
        return len(self._processor)

    def __reduce__(self) -> tuple[type["Tokenizer"], tuple[bytes]]:
        return type(self), (self.model_proto,)

    def encode(self, text: str) -> list[int]:
        """The ids of the best segmentation."""
        return self._processor.encode(text)

    def encode_sampled(self, text: str, *, alpha: float, seed: int) -> list[int]:
        """The ids of a random segmentation, the same for the same seed; `alpha` is `TokenizerConfig.sampling`."""
        return self._segmenter.sample(self._processor.normalize(text), alpha, Random(seed))

    @cached_property
    def _segmenter(self) -> Segmenter:
        return Segmenter(self.model_proto)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids; special ids give nothing, an unknown one gives a question mark between spaces."""
        return self._processor.decode(list(ids))

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The pieces as written in the vocabulary, where `▁` stands for the space before a word."""
        return [self._processor.id_to_piece(int(i)) for i in ids]

    def word_of_piece(self, text: str) -> WordPieces:
        """The ids of `encode(text)` with the index in `text.split()` of the word that each piece belongs to.

        Found through character offsets in the original text, so that a normalisation that inserts or removes a space
        shifts nothing. A piece without a visible character of its own, such as a lone `▁`, belongs to the next word.
        A word that normalises to nothing has no piece.
        """
        mapping = self._processor.encode_as_offset_mapping(text)
        word_of_character = _word_of_character(text)
        words: list[int] = []
        word = max(word_of_character, default=0)
        for piece, (begin, end) in zip(reversed(mapping["pieces"]), reversed(mapping["offsets"]), strict=True):
            # A piece spans two words where the first of them normalises to nothing: the second counts.
            if piece != "▁" and text[begin:end].strip():
                word = word_of_character[end - 1]
            words.append(word)
        return WordPieces(mapping["ids"], words[::-1])


def _word_of_character(text: str) -> list[int]:
    """For each character the index of its whitespace word; a space has that of the word before it, or -1."""
    words, word, in_word = [], -1, False
    for character in text:
        word += not character.isspace() and not in_word
        in_word = not character.isspace()
        words.append(word)
    return words


class Tokenizers(NamedTuple):
    """One tokenizer a side; the same object twice when they are joint."""

    source: Tokenizer
    target: Tokenizer


def train_tokenizer(lines: Iterable[str], config: TokenizerConfig) -> bytes:
    """The bytes of a SentencePiece model trained on some lines: the same for the same lines and settings.

    Raises UserError with the value to use when the text allows only a smaller, or needs a larger, vocabulary.
    """
    model = io.BytesIO()
    mistakes: list[UserError] = []  # SentencePiece would turn one in the lines into an error of its own
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=_watched(lines, mistakes),
            model_writer=model,
            model_type=config.model_type,
            vocab_size=config.vocab_size,
            character_coverage=config.character_coverage,
            input_sentence_size=config.input_sentence_size,
            max_sentence_length=LONGEST_LINE,
            num_threads=1,  # the sums of unigram training, and so its vocabulary, depend on the number of threads
            unk_id=UNK,
            pad_id=PAD,
            bos_id=BOS,
            eos_id=EOS,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise mistakes[0] if mistakes else _explained(error, config.vocab_size) from error
    return model.getvalue()


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
