"""How a request says that translations are found: its fields are keys of `configs/search`."""

import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from omegaconf import OmegaConf

from seq2seq.build import build_search
from seq2seq.decoding.interface import Search as AnySearch
from seq2seq.errors import UserError
from seq2seq.options import compose_defaults

NAMES = ("beam", "greedy", "diverse", "sample")
"""Those of `configs/search` that a request may name: the others take the time of many."""

FIELDS = {
    "n_best": "n_best",
    "beam_size": "beam_size",
    "length_penalty": "length_penalty.alpha",
    "groups": "groups",
    "diversity": "diversity",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "seed": "seed",
    "max_length": "max_length",
    "no_repeat_ngram": "no_repeat_ngram",
    "repetition_penalty": "repetition_penalty",
}
"""Fields of a request, and the keys that they set."""

PLAIN = ("n_best", "beam_size")
"""Fields of what any engine can do."""


@dataclass(frozen=True)
class Search:
    """A search that a request asks for; equal ones share a call of the model."""

    name: str
    fields: tuple[tuple[str, Any], ...] = ()

    def __call__(self) -> AnySearch:
        """Return the search.

        Raises:
            UserError: it has no such field, or the fields contradict each other.
        """
        return _made(self)

    @property
    def plain(self) -> bool:
        """Whether it is a search that any engine can do."""
        return self.name in ("beam", "greedy") and all(field in PLAIN for field, _ in self.fields)

    @property
    def n_best(self) -> int:
        """How many translations it finds for a sentence."""
        return getattr(self(), "n_best", 1)

    @property
    def beam_size(self) -> int:
        """How many hypotheses it has side by side."""
        return getattr(self(), "beam_size", 1)


def asked_for(name: str, fields: dict[str, Any]) -> Search:
    """Return the search of a request.

    Args:
        name: one of `NAMES`.
        fields: those that the request gives a value.

    Raises:
        UserError: the search has no such field, or the fields contradict each other.
    """
    if name == "greedy" and fields.get("n_best") == 1:
        fields = {field: value for field, value in fields.items() if field != "n_best"}
    for field in fields:
        having = searches_with(field)
        if name not in having:
            raise UserError(f"search={name} has no {field}; leave it out, or say search={' or '.join(having)}")
    search = Search(name, tuple(fields.items()))
    search()
    return search


def searches_with(field: str) -> dict[str, Any]:
    """Return the searches that have a field, each with its default."""
    found = {name: OmegaConf.select(_defaults(name), FIELDS[field]) for name in NAMES}
    return {name: value for name, value in found.items() if value is not None}


def defaults_said(field: str) -> str:
    """Return which searches have a field, and its default, in words."""
    found = searches_with(field)
    if len(found) == len(NAMES) and len(set(found.values())) == 1:
        return f"By default {found[NAMES[0]]}."
    return f"By default {', '.join(f'{value} ({name})' for name, value in found.items())}."


def compose_all() -> None:
    """Compose every search once: it takes long, and Hydra must not be asked by two threads."""
    for name in NAMES:
        Search(name)()


@lru_cache(maxsize=256)
def _made(search: Search) -> AnySearch:
    """Make a search, and keep it: that takes longer than to search a short sentence."""
    config = copy.deepcopy(_defaults(search.name))
    for field, value in search.fields:
        OmegaConf.update(config, FIELDS[field], value)
    return build_search(config)


@lru_cache(maxsize=len(NAMES))
def _defaults(name: str) -> Any:
    return compose_defaults("translate", [f"search={name}"]).search
