"""From text to a SentencePiece model: the settings, and the training."""

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random

import sentencepiece

from seq2seq.data.model_proto import bytes_of, model_of
from seq2seq.data.special import BOS, EOS, MODEL_NAMES, PAD, UNK
from seq2seq.data.text import NORMALIZATIONS, escape, is_blank, nfc, stand_in
from seq2seq.errors import UserError

# SentencePiece would leave longer lines (in bytes) out of its training without a word. This is the most that it takes.
LONGEST_LINE = 1 << 30

LARGEST = (1 << 31) - 1
"""Pieces that a SentencePiece model can be asked for."""

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
        if not 0 < self.vocab_size <= LARGEST:
            raise UserError(f"tokenizer.vocab_size={self.vocab_size} must be from 1 to {LARGEST:,}, such as 4000")
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
    made = model_of(model.getvalue())
    made.normalizer_spec.name = config.normalization
    return bytes_of(made)


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
