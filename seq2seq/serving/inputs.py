"""Text of a request as a model takes it, or refused."""

from seq2seq.alignment.sentence import Sentence, readable, sentence_of
from seq2seq.data.text import one_line
from seq2seq.decoding.interface import Request, Search
from seq2seq.decoding.requests import requests_of
from seq2seq.errors import UserError, counted
from seq2seq.serving.models import Served
from seq2seq.serving.schemas import TranslateRequest
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


def lines_to_translate(served: Served, asked: TranslateRequest, search: Search, *, most: int) -> list[Line]:
    """Return the sentences of a request, each with what is asked of its translation.

    Raises:
        TooMuch: there are more than allowed, or one is longer than the model's.
        UserError: there are not as many prefixes or constraints; what is asked cannot be said.
    """
    texts = lines_of(asked.text, most=most)
    prefixes = None if asked.prefix is None else lines_of(asked.prefix, most=most)
    constraints = asked.constraints if isinstance(asked.constraints, list | None) else [asked.constraints]
    for name, given in (("prefixes", prefixes), ("constraints", constraints)):
        if given is not None and len(given) != len(texts):
            raise UserError(f"{counted(len(texts), 'sentences')} and {len(given)} {name}; give one for each sentence")
    for prefix in prefixes or ():
        pieces_of(served, "target", prefix)
    requests = [Request()] * len(texts)
    if prefixes is not None or constraints is not None:
        asks = None if constraints is None else [None if each is None else each.model_dump() for each in constraints]
        tokenizer = served.model.tokenizers.target
        requests = requests_of(tokenizer, search=search, prefixes=prefixes, constraints=asks)
    return [  # random numbers by the line, whatever shares its call
        Line(text, pieces_of(served, "source", text), request._replace(number=i))
        for i, (text, request) in enumerate(zip(texts, requests, strict=True), 1)
    ]


def pieces_of(served: Served, side: str, text: str) -> int:
    """Return how many pieces a text of a side, `source` or `target`, has, its end counted.

    Raises:
        TooMuch: it is longer than the model's sentences.
    """
    pieces = len(getattr(served.model.tokenizers, side).encode(text))
    _check_length(served, side, pieces)
    return pieces + 1


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
    most = served.max_length
    if pieces > most:
        raise TooMuch(f"{side} has {pieces} pieces, more than the model's {most}; send it in parts")
