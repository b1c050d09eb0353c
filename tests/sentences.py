"""The grammar's sentences, made once a process: of a split it takes a second."""

from functools import cache

from seq2seq.data.grammar import Sentence, generate


@cache
def sentences(split: str) -> tuple[Sentence, ...]:
    """Return the sentences of a split of the default seed."""
    return tuple(generate(split))
