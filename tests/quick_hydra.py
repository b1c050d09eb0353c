"""Hydra in three fifths of its time: tests compose thousands of configurations. What comes out is the same.

It parses a file anew each time it meets it, and lists for each the choices so far, which few files refer to.
"""

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hydra._internal import defaults_list
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from omegaconf import DictConfig, OmegaConf

_choices_so_far, _load = defaults_list._create_interpolation_map, FileConfigSource.load_config

_parsed: dict[tuple[Any, ...], bytes] = {}
"""What stands in each file, by its path, time and size, pickled: Hydra changes what it is given."""


_patch = pytest.MonkeyPatch()


def hasten() -> None:
    """Let Hydra do so from here on."""
    _patch.setattr(defaults_list, "_create_interpolation_map", _choices_if_asked)
    _patch.setattr(FileConfigSource, "load_config", _load_once)


@contextmanager
def as_it_is() -> Iterator[None]:
    """Let Hydra do as its authors have it meanwhile."""
    _patch.undo()
    try:
        yield
    finally:
        hasten()


def _choices_if_asked(overrides: Any, defaults: list[Any], self_added: bool) -> DictConfig:
    asked = any(default.is_interpolation() for default in defaults)
    return _choices_so_far(overrides, defaults, self_added) if asked else OmegaConf.create()


def _load_once(source: FileConfigSource, config_path: str) -> Any:
    path = os.path.join(source.path, source._normalize_file_name(config_path))
    state = os.stat(path)
    key = source.provider, source.path, path, state.st_mtime_ns, state.st_size
    if key not in _parsed:
        _parsed[key] = pickle.dumps(_load(source, config_path), pickle.HIGHEST_PROTOCOL)
    return pickle.loads(_parsed[key])
