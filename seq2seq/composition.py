"""Hydra composes each combination of choices once; plain values are put into copies of that, as Hydra does it last."""

import os
import pickle
from functools import lru_cache

import hydra
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig

from seq2seq.config_files import config_folder, group_names


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
    with initialize_config_dir(str(config_folder()), job_name=command, version_base="1.3"):
        return hydra.compose(command, list(overrides), return_hydra_config=True)
