"""Files that ask something of each translation: `prefix=FILE`."""

import os
from collections.abc import Sequence

from seq2seq.data.files import read_lines
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.decoding.interface import Request, Search
from seq2seq.decoding.requests import requests_of
from seq2seq.errors import UserError


def read_requests(
    *, prefix: str | None, input: str | None, tokenizer: Tokenizer, search: Search
) -> list[Request] | None:
    """Return what is asked of the translation of each line; None where nothing is.

    Args:
        prefix: a file; line n is what translation n must begin with.
        input: the file with the lines; None: stdin.
        tokenizer: of the target.
        search: with its limit.

    Raises:
        UserError: naming file and line of what cannot be had; the files are not equally long, as far as can be seen.
    """
    if prefix is None:
        return None
    prefixes = list(read_lines(prefix))
    requests = requests_of(
        tokenizer, max_length=search.max_length, prefixes=prefixes, name=lambda i: f"{prefix}:{i + 1}"
    )
    if input is not None and os.path.isfile(os.path.expanduser(input)):
        check_count(requests, prefix, sum(1 for _ in read_lines(input)), input)
    return requests


def check_count(requests: Sequence[object], file: str, lines: int, input: str) -> None:
    """Refuse a file that has not a line for each line of the input."""
    if len(requests) != lines:
        raise UserError(
            f"{file} has {len(requests)} lines, {input} has {lines}: give one for each line, or an empty one"
        )
