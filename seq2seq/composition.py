"""Hydra composes each combination of choices once; plain values are put into copies of that, as Hydra does it last."""

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import hydra
from hydra import initialize_config_dir
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf

from seq2seq.config_files import config_folder, group_names

_choices_so_far, _load = defaults_list._create_interpolation_map, FileConfigSource.load_config

_parsed: dict[tuple[Any, ...], bytes] = {}
"""What stands in each file, by its path, time and size, pickled: Hydra changes what it is given."""


def compose(command: str, overrides: tuple[str, ...], own: object) -> DictConfig:
    """Return what Hydra composes, with its own part; a copy.

    To compose takes Hydra a quarter of a second, and a command asks several times: with all that is typed, with the
    choices alone, for each variant. Most of it is to read and merge the files, which only choices decide.

    Args:
        command: whose configuration it is.
        overrides: as Hydra takes them.
        own: what changes when the user's own files do.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    values = [override for override in parsed if is_value(override)]
    others = [override for override in parsed if not is_value(override)]
    if not all(map(_is_choice, others)) or any(override.is_sweep_override() for override in parsed):
        values, others = [], parsed  # their order counts, or Hydra refuses them
    config = copied(_composed(command, tuple(str(override.input_line) for override in others), own))
    config.hydra.runtime.cwd = os.getcwd()
    # Not Hydra's public part, but so an override means what it does to Hydra, to its words where it cannot be.
    ConfigLoaderImpl._apply_overrides_to_config(values, config)
    typed = [override for override in parsed if not override.is_hydra_override()]
    overridden, job = config.hydra.overrides, config.hydra.job
    overridden.task = [override.input_line for override in typed]
    overridden.hydra = [override.input_line for override in parsed if override.is_hydra_override()]
    form = job.config.override_dirname
    job.override_dirname = get_overrides_dirname(
        overrides=typed, kv_sep=form.kv_sep, item_sep=form.item_sep, exclude_keys=form.exclude_keys
    )
    return config


def copied(config: DictConfig) -> DictConfig:
    """Return a copy as `copy.deepcopy` makes it, three times as fast: that one goes through each key in Python."""
    own: DictConfig = pickle.loads(pickle.dumps(config, pickle.HIGHEST_PROTOCOL))
    return own


def is_value(override: Override) -> bool:
    """Return whether an override changes nothing but its own key, and takes the place of what was there."""
    key = override.get_key_element()
    return (
        override.type == OverrideType.CHANGE
        and key not in (*group_names(), "hydra.searchpath")
        and not set("/@") & set(key)
        and "{" not in str(override.input_line)  # a value that is merged into what is there
    )


def _is_choice(override: Override) -> bool:
    key = override.get_key_element().lstrip("+~").partition("@")[0]
    return key in group_names() or key.startswith("hydra/")


@lru_cache(maxsize=256)
def _composed(command: str, overrides: tuple[str, ...], own: object) -> DictConfig:
    GlobalHydra.instance().clear()
    with _quicker(), initialize_config_dir(str(config_folder()), job_name=command, version_base="1.3"):
        return hydra.compose(command, list(overrides), return_hydra_config=True)


@contextmanager
def _quicker() -> Iterator[None]:
    """Spare Hydra two fifths of its time meanwhile: what it parses again and again, and what it makes for no use."""
    places: tuple[tuple[Any, str, Any, Any], ...] = (
        (defaults_list, "_create_interpolation_map", _choices_if_asked, _choices_so_far),
        (FileConfigSource, "load_config", _load_once, _load),
    )
    for owner, name, quick, _ in places:
        setattr(owner, name, quick)
    try:
        yield
    finally:
        for owner, name, _, own in places:
            setattr(owner, name, own)


def _choices_if_asked(overrides: Any, defaults: list[Any], self_added: bool) -> DictConfig:
    """Return the choices so far where an entry of a list of defaults refers to one; Hydra lists them for every file."""
    asked = any(default.is_interpolation() for default in defaults)
    return _choices_so_far(overrides, defaults, self_added) if asked else OmegaConf.create()


def _load_once(source: FileConfigSource, name: str) -> Any:
    """Return what a file holds, parsed at the first time, and again where it has changed."""
    path = os.path.join(source.path, source._normalize_file_name(name))
    state = os.stat(path)
    key = source.provider, source.path, path, state.st_mtime_ns, state.st_size
    if key not in _parsed:
        _parsed[key] = pickle.dumps(_load(source, name), pickle.HIGHEST_PROTOCOL)
    return pickle.loads(_parsed[key])
