"""Options of the parts that are made from a configuration's `_target_`: is each one that the class takes?"""

import inspect
from collections.abc import Iterator
from functools import cache
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from seq2seq.errors import UserError

MADE = ("data", "tokenizer", "optimizer", "scheduler", "search", "callbacks", "logger", "trainer")
"""Keys of what is made from its options alone. A model's parts get more; they are tried without data."""

OF_THE_RUN = {
    "callbacks": "add them as callbacks.NAME",
    "logger": "choose it with logger=",
    "plugins": "the run has its own",
    "default_root_dir": "say hydra.run.dir=",
    "enable_checkpointing": "leave out callbacks.best and callbacks.last instead",
}
"""Options of Lightning's trainer that the run sets, and what to do about them."""


def check_options(config: DictConfig) -> None:
    """Refuse options that a part would not take when it is made, after other variants have been trained.

    Raises:
        UserError: naming the key and the class.
    """
    for name, what in OF_THE_RUN.items():
        if name in config.trainer:
            raise UserError(f"trainer.{name}: the run sets it itself; {what}")
    for key in MADE:
        if isinstance(config.get(key), DictConfig):
            _check(key, config[key])


def _check(key: str, options: DictConfig) -> None:
    if "corpora" in options:
        return  # a mixture makes each with an eye on its own keys
    if "_target_" in options:
        name, taken = _taken(str(options._target_))
        for option in map(str, options):
            if taken is not None and option not in taken and not option.startswith("_"):
                raise UserError(f"{key}.{option} is no option of {name}; take it away with '~{key}.{option}'")
    for inner, value in _parts(options):
        _check(f"{key}.{inner}", value)


def _parts(options: DictConfig) -> Iterator[tuple[str, DictConfig]]:
    for key in map(str, options):
        if not OmegaConf.is_missing(options, key) and isinstance(options[key], DictConfig):
            yield key, options[key]


@cache
def _taken(target: str) -> tuple[str, frozenset[str] | None]:
    """Return a class's or a function's name and its options; None: any, or nobody knows."""
    try:
        made: Any = get_object(target)
        parameters = inspect.signature(made).parameters.values()
    except Exception:  # of a user's own module, whatever it does; it is said when the part is made
        return target, None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return made.__name__, None
    return made.__name__, frozenset(parameter.name for parameter in parameters)
