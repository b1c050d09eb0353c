"""Keys that `+key=value` adds to a configuration: a part may have options of its own; else nothing reads them."""

import re
from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf

from seq2seq.cli.keys.unknown_keys import no_such_key
from seq2seq.errors import UserError

PARTS_BY_NAME = ("callbacks", "logger")
"""Keys below which a name of the user's own may stand for a part of his own."""

OF_HYDRA = ("hydra.callbacks", "hydra.hydra_logging", "hydra.job.env_set", "hydra.job_logging", "hydra.runtime")
"""Keys of Hydra's below which stand names of the user's own, or what Hydra itself notes there."""

REFERENCE = re.compile(r"\$\{\.*([\w.]+)\}")
"""What stands for the value of a key."""


def check_added(command: str, overrides: list[str], config: DictConfig, defaults: DictConfig) -> None:
    """Refuse keys that overrides have added and that nothing reads.

    What has a class, under `_target_`, hands its keys to it, which says itself what it does not know. A value may
    also be added for others to refer to, as in `+size=64 model.d_model=${size}`.

    Args:
        command: whose configuration it is.
        overrides: as they were given.
        config: the configuration with them.
        defaults: the same choices of groups without them.

    Raises:
        UserError: naming the key, and the nearest that there is.
    """
    if not any(override.startswith("+") for override in overrides):
        return  # Hydra itself refuses what is not there
    for _, fault in unread(command, overrides, config, defaults):
        raise UserError(fault)


def unread(command: str, overrides: list[str], config: DictConfig, defaults: DictConfig) -> Iterator[tuple[str, str]]:
    """Yield each key that nothing reads, and what is to be said of it; arguments as of `check_added`."""
    text = " ".join([*overrides, OmegaConf.to_yaml(config)])
    references = [f".{name}." for name in REFERENCE.findall(text)]
    for key in _added(config, defaults):
        if key.rpartition(".")[0] in PARTS_BY_NAME:
            value = OmegaConf.select(config, key)
            if value is not None and not (isinstance(value, DictConfig) and "_target_" in value):
                yield key, f"{key}: a part of your own needs a class: +{key}._target_=MODULE.CLASS"
        elif not any(f".{key}.".endswith(name) or name.startswith(f".{key}.") for name in references):
            yield key, no_such_key(key, command, overrides)


def _added(config: DictConfig, defaults: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield the keys that one configuration has and another has not, outside of what has a class."""
    if "_target_" in config:
        return
    for name in map(str, config):
        if f"{prefix}{name}" in OF_HYDRA:
            continue
        if name not in defaults.keys():  # noqa: SIM118, as `in` says no of what is ???
            yield f"{prefix}{name}"
        elif not any(OmegaConf.is_missing(c, name) or OmegaConf.is_interpolation(c, name) for c in (config, defaults)):
            ours, usual = config[name], defaults[name]
            if isinstance(ours, DictConfig) and usual is not None:  # null may stand for a part
                usual = usual if isinstance(usual, DictConfig) else OmegaConf.create()
                yield from _added(ours, usual, f"{prefix}{name}.")
