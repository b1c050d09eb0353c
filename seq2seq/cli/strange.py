"""Keys of a training that no part takes: an experiment has them for its own choice, and another choice was made."""

import inspect
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from seq2seq.cli.quoting import quote
from seq2seq.cli.shorthand import expand
from seq2seq.options import compose_defaults


def strange_keys(command: str, overrides: list[str]) -> list[str]:
    """Return all keys that what makes their part does not take; none where that cannot be known.

    Args:
        command: whose configuration it is.
        overrides: as they were typed.
    """
    found: list[str] = []
    with suppress(Exception):  # what is wrong is known already; this only says more
        found += _strange("", compose_defaults(command, expand(quote(overrides))[0]))
    return found


def _strange(place: str, config: DictConfig) -> Iterator[str]:
    if "_target_" in config:
        with suppress(Exception):  # what is not installed, or tells no names
            names = _names(get_object(config["_target_"]))
            yield from (f"{place}{key}" for key in map(str, config) if key not in names and key[0] != "_")
    for key in (key for key in config if key != "corpora"):  # their parts have more keys, and are looked at one by one
        if not OmegaConf.is_missing(config, key) and isinstance(config[key], DictConfig):
            yield from _strange(f"{place}{key!s}.", config[key])


def _names(made: Any) -> set[str]:
    """Return the names of all options; those that a class hands on are those of the classes above it."""
    names: set[str] = set()
    for kind in getattr(made, "__mro__", (made,)):
        takes = inspect.signature(kind).parameters.values()
        names |= {each.name for each in takes}
        if all(each.kind is not each.VAR_KEYWORD for each in takes):
            return names
    raise TypeError(f"{made} takes any option")
