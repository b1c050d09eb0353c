"""What a page shows of a source and what was said of it: attention, read in every way, and methods beside it."""

from collections.abc import Sequence
from typing import NamedTuple

from seq2seq.alignment.sentence import Sentence
from seq2seq.attribution import Explanation, Method, explain, explain_beside_runner_up
from seq2seq.build import build_method
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.errors import UserError
from seq2seq.evaluation.inspection import inspect_pairs
from seq2seq.models import EncoderDecoder
from seq2seq.options import compose_defaults
from seq2seq.pages.visualize import Target
from seq2seq.reading import NAMES, Best, Reading

QUICK = ("erasure", "gradient_x_input", "alti")
"""Methods that the page has of itself."""


class Look(NamedTuple):
    """What is to be looked at: a source, and what the model is forced to say."""

    source: Sentence
    name: str  # of the target
    target: Sentence
    score: float | None  # of search


def targets_of(
    model: EncoderDecoder,
    tokenizers: Tokenizers,
    looks: Sequence[Look],
    *,
    reading: Reading | None,
    other_readings: bool,
    methods: Sequence[Method],
) -> list[Target]:
    """Return what a page shows of each, from forced passes over all of them together.

    Args:
        model: with attention or without.
        tokenizers: of the model.
        looks: what is looked at.
        reading: of cross-attention; None: weights at the output.
        other_readings: whether to read cross-attention in all other ways, too.
        methods: what to ask beside attention.
    """
    pairs = [(look.source, look.target) for look in looks]
    maps = inspect_pairs(model, pairs, reading=reading)
    others = (
        [other for other in Best(readings=NAMES).of(model) if other != reading] if reading and other_readings else []
    )
    read = {str(other): inspect_pairs(model, pairs, reading=other) for other in others}
    return [
        Target(
            look.name,
            look.target,
            look.score,
            maps[i],
            {name: found[i] for name, found in read.items()},
            [explained_by(method, model, tokenizers, look.source, look.target) for method in methods],
        )
        for i, look in enumerate(looks)
    ]


def methods_for(model: EncoderDecoder, names: list[str] | None) -> list[Method]:
    """Return the methods of some names; for None those that the model can have and that take no time.

    Raises:
        UserError: the model cannot have one that was named.
    """
    found = []
    for name in QUICK if names is None else names:
        method = build_method(compose_defaults("explain", [f"method={name}"]).method)
        try:
            method.check(model)
            found.append(method)
        except UserError:
            if names is not None:
                raise
    return found


def explained_by(
    method: Method, model: EncoderDecoder, tokenizers: Tokenizers, source: Sentence, target: Sentence
) -> tuple[Explanation, Explanation | None]:
    """Return what a method says of each word and, where it knows contrasts, of each beside its runner-up."""
    found = explain(model, tokenizers, source, target, method=method)
    if not method.of_token:
        return found, None
    return found, explain_beside_runner_up(model, tokenizers, source, target, method=method)
