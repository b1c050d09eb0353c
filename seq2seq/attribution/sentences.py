"""The two sentences of a question, checked: each word has pieces, and the model can say each piece."""

import logging

from seq2seq.alignment.sentence import Sentence, readable, sentence_of
from seq2seq.data.tags import NO_WORD
from seq2seq.data.text import is_blank, one_line
from seq2seq.data.tokenizer import UNK, Tokenizer
from seq2seq.errors import UserError

log = logging.getLogger(__name__)


def read_sentence(key: str, tokenizer: Tokenizer, text: str, *, max_length: int | None = None) -> Sentence:
    """Return a text as the model reads it; words that it does not read, as normalisation removed them, are left out.

    A longer one than max_length pieces is cut. Both are said, as a warning.

    Raises:
        UserError: it is no text, is empty, or nothing of it is read.
    """
    return readable(_read(key, tokenizer, text, max_length))


def read_target(key: str, tokenizer: Tokenizer, text: str, *, max_length: int | None = None) -> Sentence:
    """Return a text that the model is to say, as `read_sentence`.

    Raises:
        UserError: as there, or the vocabulary cannot say a word of it.
    """
    sentence = _read(key, tokenizer, text, max_length)
    for i, word in zip(sentence.ids, sentence.word_of_piece, strict=True):
        if i == UNK:
            raise UserError(
                f"{key}: the model's vocabulary cannot say {sentence.words[word]!r}, word {word + 1}, as it lacks "
                "letters of it; use other words"
            )
    return readable(sentence)


def _read(key: str, tokenizer: Tokenizer, text: str, max_length: int | None) -> Sentence:
    text = one_line(text)
    if is_blank(text):
        raise UserError(f'{key} is empty, so there is nothing to explain; give words, such as {key}="the wolf slept"')
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{key}={ascii(text)} is not text in UTF-8; say it in a UTF-8 locale") from None
    sentence = sentence_of(tokenizer, text)
    if not sentence.ids:
        raise UserError(f"{key}={text!r} has nothing that the model reads; give a sentence of letters")
    if max_length is not None and len(sentence.ids) > max_length:
        log.warning("%s: %d pieces are more than the model's %d; cut there", key, len(sentence.ids), max_length)
        sentence = sentence_of(tokenizer, text, max_length=max_length)
        sentence = sentence._replace(text=" ".join(sentence.words))
    return _without_unread(key, sentence)


def _without_unread(key: str, sentence: Sentence) -> Sentence:
    """Return the sentence with those words alone that have pieces; others are named in a warning."""
    unread = [repr(word) for i, word in enumerate(sentence.words) if i not in sentence.word_of_piece]
    if unread:
        log.warning("%s: the model does not read %s, which its normalisation removes; left out", key, ", ".join(unread))
    return words_read(sentence)


def words_read(sentence: Sentence) -> Sentence:
    """Return the sentence with those words alone that have pieces: normalisation removes others."""
    read = sorted({*sentence.word_of_piece} - {NO_WORD})
    words = [sentence.words[i] for i in read]
    places = [i if i == NO_WORD else read.index(i) for i in sentence.word_of_piece]
    return sentence._replace(words=words, word_of_piece=places)
