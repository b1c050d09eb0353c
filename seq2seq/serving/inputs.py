"""Text of a request as a model takes it, or refused."""

from seq2seq.alignment.sentence import Sentence, readable, sentence_of
from seq2seq.data.text import one_line
from seq2seq.errors import UserError
from seq2seq.serving.models import Served
from seq2seq.serving.tasks import Line


class TooMuch(UserError):
    """A request asks for more than is allowed."""


def lines_of(texts: str | list[str], *, most: int) -> list[str]:
    """Return the sentences of a field, each on one line.

    Raises:
        TooMuch: there are more than allowed.
    """
    lines = [texts] if isinstance(texts, str) else texts
    if len(lines) > most:
        raise TooMuch(f"{len(lines)} sentences are more than {most}; send them in several requests")
    return [one_line(line) for line in lines]


def measured(served: Served, side: str, text: str) -> Line:
    """Return a text with its length in pieces of a side, `source` or `target`.

    Raises:
        TooMuch: it is longer than the model's sentences.
    """
    pieces = len(getattr(served.model.tokenizers, side).encode(text))
    _check_length(served, side, pieces)
    return Line(text, pieces + 1)


def sentence(served: Served, side: str, text: str) -> Sentence:
    """Return a sentence for the eye.

    Raises:
        UserError: it is empty.
        TooMuch: it is longer than the model's sentences.
    """
    found = sentence_of(getattr(served.model.tokenizers, side), one_line(text))
    if not found.ids:
        raise UserError(f"{side} has nothing that the model reads; give a sentence")
    _check_length(served, side, len(found.ids))
    return readable(found)


def _check_length(served: Served, side: str, pieces: int) -> None:
    most = served.model.checkpoint.max_length
    if pieces > most:
        raise TooMuch(f"{side} has {pieces} pieces, more than the model's {most}; send it in parts")
