"""Options of the parts that a configuration names by `_target_`: does each take what it is given?"""

import inspect
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from seq2seq.errors import UserError

MADE = ("data", "tokenizer", "optimizer", "scheduler", "search", "callbacks", "logger", "trainer")
"""Keys of what is made from its options alone, and late. A model's parts are tried early, without data."""

OF_THE_RUN = {
    "callbacks": "add them as callbacks.NAME",
    "logger": "choose it with logger=",
    "plugins": "leave it out, the run has its own",
    "default_root_dir": "say hydra.run.dir=",
    "enable_checkpointing": "say callbacks.best=null callbacks.last=null",
}
"""Options of Lightning's trainer that the run sets, and what to do about them."""

USELESS = {
    "overfit_batches": "each epoch would take other batches; say debug=overfit",
    "fast_dev_run": "it would end as a finished run without a checkpoint; say debug=limit",
    "barebones": "a run has checkpoints and curves; leave it out",
    "limit_test_batches": "a test is whole; training.test_splits=[] leaves it out",
    "limit_predict_batches": "a training predicts nothing; leave it out",
    "use_distributed_sampler": "batches are shared out among processes already; leave it out",
    "gradient_clip_algorithm": "the norm of the gradient is clipped; leave it out",
}
"""Options of Lightning's trainer that would change nothing here, or not what they say, and what to do instead."""

AWAY = "leave it out, or take it away with"
"""What to do about a key that is typed; one of a file is mended there."""

OFF = (None, False, 0, "norm")
"""Values of these that ask for nothing."""


def check_options(config: DictConfig) -> None:
    """Refuse options that a part would not take when it is made, after other variants have been trained.

    Raises:
        UserError: naming a key, its class, and all keys of this kind.
    """
    for name, what in OF_THE_RUN.items():
        if name in config.trainer:
            raise UserError(f"trainer.{name}: the run sets it itself; {what}")
    for name, why in USELESS.items():
        if config.trainer.get(name) not in OFF:
            raise UserError(f"trainer.{name}={config.trainer[name]}: {why}")
    _check_reloading(config.trainer)
    found = strange_options(config)
    for key, kind in found.items():
        if key.partition(".")[0] in MADE:
            raise UserError(no_option(key, kind, found))


def _check_reloading(trainer: DictConfig) -> None:
    """Refuse to keep the loaders of an epoch, unless a few batches are wanted again and again."""
    every = trainer.get("reload_dataloaders_every_n_epochs", 1)
    few = isinstance(trainer.get("limit_train_batches"), int)
    if every != 1 and not (every == 0 and few):
        raise UserError(
            f"trainer.reload_dataloaders_every_n_epochs={every}: epochs would have the same batches in the same order; "
            "leave it at 1, or say debug=overfit"
        )


def no_option(key: str, kind: str, strange: dict[str, str]) -> str:
    """Say that a key is no option of a kind, and how to take it away with all that would be refused after it."""
    away = " ".join(f"'~{name}'" for name in dict.fromkeys([key, *strange]))
    return f"{key} is no option of {kind}; {AWAY} {away}"


def strange_options(config: DictConfig) -> dict[str, str]:
    """Return the keys that what makes their part does not take, and what makes it.

    An experiment may have them for a choice of its own, where another choice was made.
    """
    return dict(_strange("", config))


def _strange(place: str, config: DictConfig) -> Iterator[tuple[str, str]]:
    if "_target_" in config:
        with suppress(Exception):  # what is not installed, or tells no names
            kind, names = _taken(str(config["_target_"]))
            yield from ((f"{place}{key}", kind) for key in map(str, config) if key not in names and key[0] != "_")
    # Parts of a mixture have more keys, and are looked at one by one; Hydra's own say what only its runs know.
    for key in (key for key in config if key not in ("corpora", "hydra")):
        if not OmegaConf.is_missing(config, key) and isinstance(config[key], DictConfig):
            yield from _strange(f"{place}{key!s}.", config[key])


@cache
def _taken(target: str) -> tuple[str, set[str]]:
    """Return a part's name and those of its options; what a class hands on is what the classes above it take.

    Raises:
        TypeError: it takes any.
    """
    made, names = get_object(target), set[str]()
    for kind in getattr(made, "__mro__", (made,)):
        takes = inspect.signature(kind).parameters.values()
        names |= {each.name for each in takes}
        if all(each.kind is not each.VAR_KEYWORD for each in takes):
            return made.__name__, names
    raise TypeError(f"{target} takes any option")
