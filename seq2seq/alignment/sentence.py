"""A sentence as a model reads it, in pieces, and as a person does, in words."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from seq2seq.data.tags import NO_WORD
from seq2seq.data.text import words as words_of
from seq2seq.data.tokenizer import Tokenizer, Tokenizers
from seq2seq.data.units import spelt

BOS_LABEL, EOS_LABEL = "<s>", "</s>"

# First and last letters of scripts that set no spaces between words: Thai to Myanmar, Khmer, kana, Han, and Han beyond.
WITHOUT_SPACES = (("\u0e00", "\u109f"), ("\u1780", "\u17ff"), ("\u3040", "\u30ff"), ("\u3400", "\u9fff"),
                  ("\uf900", "\ufaff"), ("\U00020000", "\U0003ffff"))  # fmt: skip


class Axis(NamedTuple):
    """What rows or columns of attention stand for: pieces, the words they make up, and which piece belongs where."""

    pieces: list[str]
    words: list[str]
    word_of_piece: list[int]

    def labels(self, unit: str) -> list[str]:
        """Return the labels of a unit, `words` or `pieces`."""
        return self.words if unit == "words" else self.pieces


class Sentence(NamedTuple):
    """A sentence's text, its piece ids without BOS and EOS, and both as labels."""

    text: str
    ids: list[int]
    pieces: list[str]
    words: list[str]
    word_of_piece: list[int]  # `NO_WORD` of a tag

    @property
    def tags(self) -> list[str]:
        """The pieces that are no part of a word: a tag, or none."""
        return [piece for piece, word in zip(self.pieces, self.word_of_piece, strict=True) if word == NO_WORD]

    def without_tags(self) -> "Sentence":
        """Return the sentence with those pieces alone that are part of a word."""
        kept = [i for i, word in enumerate(self.word_of_piece) if word != NO_WORD]
        return self._replace(
            ids=[self.ids[i] for i in kept],
            pieces=[self.pieces[i] for i in kept],
            word_of_piece=[self.word_of_piece[i] for i in kept],
        )

    def ending(self) -> Axis:
        """Return the axis of tokens read by an encoder or predicted by a decoder: the pieces, then EOS.

        Among words a tag stands after them all, before EOS: so each word has the place by which links call it.
        """
        count, tags = len(self.words), self.tags
        words = [count if word == NO_WORD else word for word in self.word_of_piece]
        return Axis([*self.pieces, EOS_LABEL], [*self.words, *tags, EOS_LABEL], [*words, count + len(tags)])

    def linked_words(self) -> list[int]:
        """Return the word of each piece and of EOS for links: the end, and a tag, are one place after all words."""
        count = len(self.words)
        return [*(count if word == NO_WORD else word for word in self.word_of_piece), count]

    def beginning(self) -> Axis:
        """Return the axis of tokens fed to a decoder: BOS, then the pieces."""
        words = [word + 1 for word in self.word_of_piece]  # 0 of what belongs to no word
        return Axis([BOS_LABEL, *self.pieces], [BOS_LABEL, *self.words], [0, *words])


def sentence_of(tokenizer: Tokenizer, text: str, *, max_length: int | None = None) -> Sentence:
    """Return a text as the tokenizer cuts it, with its `words`; longer than max_length pieces is cut there.

    Links count these words, so a word that the tokenizer removed keeps its place.
    """
    ids, words = tokenizer.word_of_piece(text)
    labels = words_of(text)
    if max_length is not None and len(ids) > max_length:
        ids, words = ids[:max_length], words[:max_length]
        labels = labels[: words[-1] + 1]
    return Sentence(text, ids, tokenizer.pieces(ids), labels, words)


def sentences_of_row(tokenizers: Tokenizers, row: Mapping[str, Any]) -> tuple[Sentence, Sentence]:
    """Return both sides of an encoded row, cut where its ids are."""
    source, target = tokenizers
    source = source.tagged(row["tag"]) if row.get("tag") else source
    return (
        sentence_of(source, row["source"], max_length=len(row["source_ids"])),
        sentence_of(target, row["target"], max_length=len(row["target_ids"])),
    )


def hypothesis_of(tokenizer: Tokenizer, ids: Sequence[int]) -> Sentence:
    """Return a translation from its ids, which need not be the best segmentation of their text."""
    ids = list(ids)
    pieces = tokenizer.pieces(ids)
    words = tokenizer.words_of_ids(ids)
    groups = [[i for i, word in zip(ids, words, strict=True) if word == w] for w in range(max(words, default=-1) + 1)]
    return Sentence(tokenizer.decode(ids), ids, pieces, [tokenizer.decode(group).strip(" ") for group in groups], words)


def readable(sentence: Sentence) -> Sentence:
    """Return the sentence for the eye: where its script sets no spaces, every piece of it is a word of its own.

    Of bytes it is every character.
    """
    if not any(_unspaced(word) and sentence.word_of_piece.count(i) > 1 for i, word in enumerate(sentence.words)):
        return sentence
    words: list[str] = []
    index: list[int] = []
    for i, text in enumerate(spelt(sentence.pieces)):
        if sentence.word_of_piece[i] == NO_WORD:
            index.append(NO_WORD)
            continue
        same_word = i > 0 and sentence.word_of_piece[i] == sentence.word_of_piece[i - 1]
        if same_word and not (text and words[-1] and _unspaced(text + words[-1])):
            words[-1] += text
        else:
            words.append(text)
        index.append(len(words) - 1)
    return sentence._replace(words=words, word_of_piece=index)


def _unspaced(text: str) -> bool:
    return any(first <= character <= last for character in text for first, last in WITHOUT_SPACES)
