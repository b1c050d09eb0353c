"""Files that ask something of each translation: `prefix=FILE`, `constraints=FILE`."""

import os
from collections.abc import Sequence

from seq2seq.data.files import read_lines
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.decoding.interface import Request, Search
from seq2seq.decoding.requests import parse_constraints, requests_of
from seq2seq.errors import UserError, counted


def read_requests(
    *, prefix: str | None, constraints: str | None, input: str | None, tokenizer: Tokenizer, search: Search
) -> list[Request] | None:
    """Return what is asked of the translation of each line; None where nothing is.

    Args:
        prefix: a file; line n is what translation n must begin with.
        constraints: a file; line n is what translation n must say and must not say, in JSON.
        input: the file with the lines; None: stdin.
        tokenizer: of the target.
        search: that is to be asked.

    Raises:
        UserError: naming file and line of what cannot be had; the files are not equally long, as far as can be seen.
    """
    if prefix is None and constraints is None:
        return None
    prefixes = None if prefix is None else list(read_lines(prefix))
    parsed = None
    if constraints is not None:
        lines = enumerate(read_lines(constraints), start=1)
        parsed = [parse_constraints(line, f"{constraints}:{number}") for number, line in lines]
    if prefixes is not None and parsed is not None and len(prefixes) != len(parsed):
        raise UserError(
            f"{prefix} has {counted(len(prefixes), 'lines')}, {constraints} has {len(parsed)}: give one for each line"
        )
    requests = requests_of(
        tokenizer,
        search=search,
        prefixes=prefixes,
        constraints=parsed,
        prefix_name=lambda i: f"{prefix}:{i + 1}",
        constraint_name=lambda i: f"{prefix if constraints is None else constraints}:{i + 1}",
    )
    if input is not None and os.path.isfile(os.path.expanduser(input)):
        check_count(requests, prefix or constraints, sum(1 for _ in read_lines(input)), input)
    return requests


def check_count(requests: Sequence[object], file: str | None, lines: int, input: str) -> None:
    """Refuse a file that has not a line for each line of the input."""
    if len(requests) != lines:
        raise UserError(
            f"{file} has {counted(len(requests), 'lines')}, {input} has {lines}: "
            "give one for each line, or an empty one"
        )
