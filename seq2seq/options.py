"""A command's configuration, composed by Hydra from its files and from overrides."""

import copy
import math
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from seq2seq.composition import compose, copied
from seq2seq.config_files import choices_of, config_folder, own_state
from seq2seq.config_own import check_chosen
from seq2seq.errors import UserError, nearest

REFERENCE = re.compile(r"\$\{([^{}]*)\}")
"""What stands for the value of a key."""

COMMANDS = {"search": "translate", "links": "align", "method": "explain"}
"""Groups of which a choice can be had by itself, and a command that has each."""

_composing = threading.RLock()
"""Is held while Hydra composes, which it does for one thread at a time."""

KINDS: tuple[tuple[Any, str], ...] = ((bool, "true or false"), (int, "a whole number"), (float | int, "a number"))
"""Types that a value must keep, and what to call them; the first that fits the default counts."""


def compose_defaults(command: str, overrides: list[str]) -> DictConfig:
    """Return the composed configuration of a command."""
    composed(command, tuple(overrides))  # what `hydra:` means in it is asked of the last that was looked at
    return _to_change(_without_hydra(command, tuple(overrides), own_state()))


def choice_of(group: str, name: str, options: Mapping[str, Any]) -> DictConfig:
    """Return the configuration of a choice of a group with some of its keys set.

    Raises:
        UserError: there is no such choice, or it has no such key, or none of that kind.
    """
    if name not in choices_of(group):
        raise UserError(f"{group}={name}: there is no such choice; {nearest(name, choices_of(group))}")
    with _aside():
        config, defaults = (compose_defaults(COMMANDS[group], [f"{group}={name}"])[group] for _ in range(2))
    unknown = [key for key in options if key not in config or key.startswith("_")]
    if unknown:
        keys = [str(key) for key in config if not str(key).startswith("_")]
        hint = nearest(unknown[0], keys) if keys else "it has none at all"
        raise UserError(f"{group}={name} has no key {unknown[0]}; {hint}")
    try:
        # Merged, not set: a key may have keys of its own, such as candidates.
        config.merge_with({key: _plain(value) for key, value in options.items()})
        _check_kinds(group, config, defaults)
    except OmegaConfBaseException as error:
        raise UserError(f"{group}={name}: {str(error).splitlines()[0]}") from None
    return config


def other_kind(value: Any, default: Any) -> str | None:
    """Return what a key takes, by its default, where a value is of another kind; None where it may be the key's."""
    kind, name = next((known for known in KINDS if isinstance(default, known[0])), (object, ""))
    right = isinstance(value, kind) and (kind in (bool, object) or not isinstance(value, bool))
    return None if right else name


def _check_kinds(key: str, config: DictConfig, defaults: DictConfig) -> None:
    for name, default in defaults.items():
        inner, value = f"{key}.{name!s}", config[name]
        if isinstance(default, DictConfig) and isinstance(value, DictConfig):
            _check_kinds(inner, value, default)
        elif isinstance(default, DictConfig):
            keys = ", ".join(str(each) for each in default if not str(each).startswith("_"))
            raise UserError(f"{inner}={value!r}: it has keys of its own, {keys}; give a dictionary of them")
        elif expected := other_kind(value, default) or (_is_endless(value) and "a number"):
            raise UserError(f"{inner}={value}: expected {expected}, such as {default}")


def _plain(value: Any) -> Any:
    """Return Python's own number of one of NumPy or PyTorch, as of `numpy.arange`; all else as it is."""
    return value.item() if getattr(value, "shape", None) == () else value


def _is_endless(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def plain_data(config: DictConfig) -> dict[str, Any]:
    """Return a configuration as dictionaries, lists and values, with its interpolations resolved."""
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)  # as a DictConfig is; other configurations are lists, or missing
    return {str(key): value for key, value in plain.items()}


def compose_hydra(command: str, overrides: list[str]) -> DictConfig:
    """Return the composed configuration of a command together with Hydra's own."""
    return _to_change(composed(command, tuple(overrides)))


def composed(command: str, overrides: tuple[str, ...]) -> DictConfig:
    """Return the same to look at, not to change: kept, since a command looks several times at each of its runs."""
    with _composing:
        config, HydraConfig.instance().cfg = _composed(command, overrides, own_state())
    return config


@contextmanager
def _aside() -> Iterator[None]:
    """Leave what `hydra:` means as it was: a training looks there for its own, and may be in another thread."""
    with _composing:
        before = HydraConfig.instance().cfg
        try:
            yield
        finally:
            HydraConfig.instance().cfg = before


@lru_cache(maxsize=256)
def _composed(command: str, overrides: tuple[str, ...], own: tuple[tuple[str, int], ...]) -> tuple[DictConfig, Any]:
    """Return a configuration and what `HydraConfig` makes of it."""
    if own:
        check_chosen(overrides)
    config = compose(command, overrides, own)
    HydraConfig.instance().set_config(config)
    OmegaConf.set_readonly(config, True)
    return config, HydraConfig.instance().cfg


@lru_cache(maxsize=256)
def _without_hydra(command: str, overrides: tuple[str, ...], own: tuple[tuple[str, int], ...]) -> DictConfig:
    config = compose_hydra(command, list(overrides))
    with open_dict(config):
        del config["hydra"]
    return config


def _to_change(config: DictConfig) -> DictConfig:
    own = copied(config)
    OmegaConf.set_readonly(own, None)
    return own


def with_new_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored configuration of a training, and with it the keys that its version did not have.

    They are as today's default has them, by which such a training is read everywhere. A default that refers to what the
    configuration does not hold, as to Hydra's own keys, is left out.

    Args:
        config: as plain data, its interpolations resolved.
    """
    found: dict[str, Any] = copy.deepcopy(dict(config))
    usual, parts = _usual()
    _add_new(found, usual, parts, found)
    return found


@cache
def _usual() -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return what a training is by default, and by the names of classes what the part of each is."""
    with _aside():
        usual: Any = OmegaConf.to_container(compose_defaults("train", []), resolve=False)
    parts: dict[str, dict[str, Any]] = {}
    for file in sorted(config_folder().glob("*/*.yaml")):
        part: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
        if isinstance(part, dict) and "_target_" in part:
            parts.setdefault(_class(part), {k: v for k, v in part.items() if k != "defaults"})
    return usual, parts


def _class(part: Mapping[str, Any]) -> str:
    """Return a class's own name, since it may have moved to another module."""
    return str(part.get("_target_")).rpartition(".")[2]


def _add_new(
    found: dict[str, Any], usual: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]], whole: Mapping[str, Any]
) -> None:
    for key, default in usual.items():
        if key not in found:
            try:
                found[key] = _resolved(default, whole)
            except KeyError:
                continue
        elif isinstance(found[key], dict):
            chosen = parts.get(_class(found[key]), {}) if "_target_" in found[key] else default
            _add_new(found[key], chosen if isinstance(chosen, Mapping) else {}, parts, whole)


def _resolved(default: Any, whole: Mapping[str, Any]) -> Any:
    """Return a default with the values that it refers to; raises KeyError where there is none."""
    if isinstance(default, dict):
        return {key: _resolved(value, whole) for key, value in default.items()}

    def value_of(reference: re.Match[str]) -> Any:
        value: Any = whole
        for name in reference[1].split("."):
            if not isinstance(value, Mapping):
                raise KeyError(name)
            value = value[name]
        return value

    if not isinstance(default, str):
        return copy.deepcopy(default)
    alone = REFERENCE.fullmatch(default)
    return value_of(alone) if alone else REFERENCE.sub(lambda reference: str(value_of(reference)), default)
