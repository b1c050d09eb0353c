"""The runs of a --multirun: what each changes, and its configuration, known before the first begins."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any, NamedTuple, cast

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override
from omegaconf import DictConfig, OmegaConf

from seq2seq.cli.keys.added import check_added
from seq2seq.cli.keys.shorthand import group_of, matching
from seq2seq.cli.keys.values import check_choices, check_values
from seq2seq.composition import is_value
from seq2seq.config_files import group_names
from seq2seq.options import compose_hydra, composed


class Axis(NamedTuple):
    """An override of a sweep: the runs differ in which of its values they have."""

    values: list[str]  # overrides of one run each
    plain: bool  # another value changes nothing but its own key, and takes the place of the one before


def axes_of(overrides: list[str]) -> list[Axis]:
    """Return what the runs of a sweep may have of each override, of an interval its ends."""
    parsed = OverridesParser.create().parse_overrides([o for o in overrides if not o.startswith("-")])
    return [Axis(_values(override), _is_plain(override)) for override in parsed]


def configurations(overrides: list[str]) -> Iterator[DictConfig]:
    """Yield the configuration of every run of a sweep, once its values are known to be possible.

    Hydra takes a quarter of a second to compose one. It composes one for each combination of choices; where runs differ
    in plain values alone, these are put into it, which is what Hydra itself does last. So each is to be done with
    before the next is taken.

    Raises:
        UserError: naming a key and its value.
    """
    axes = axes_of(overrides)
    check_choices([value for axis in axes for value in axis.values])
    plain = [[_setting(value) for value in axis.values] for axis in axes if axis.plain]
    groups = group_names()
    for choices in product(*(axis.values for axis in axes if not axis.plain)):
        defaults = composed("train", tuple(o for o in choices if group_of(o.partition("=")[0])[0] in groups))
        config = compose_hydra("train", list(choices))
        check_added("train", list(choices), config, defaults)
        for settings in product(*plain):
            for key, value in settings:
                OmegaConf.update(config, key, value)
            check_values([*choices, *(key for key, _ in settings)], config, defaults)
            yield config


@contextmanager
def composed_once() -> Iterator[None]:
    """Keep Hydra from composing what is known: each run of a sweep before the first, and all to see if it is a sweep.

    That says --multirun alone, into which the command line has made every `hydra.mode`, also that of a file.
    """
    # Replaced on the classes, which mypy forbids: Hydra makes the objects itself, and no key turns these off.
    check, mode = BasicSweeper.validate_batch_is_legal, Hydra.get_mode
    BasicSweeper.validate_batch_is_legal = lambda *_: None  # type: ignore[method-assign]
    Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        BasicSweeper.validate_batch_is_legal = check  # type: ignore[method-assign]
        Hydra.get_mode = mode  # type: ignore[method-assign]


def _values(override: Override) -> list[str]:
    # The type that Hydra declares leaves out intervals and globs.
    key, value = override.get_key_element(), cast(Any, override.value())
    if isinstance(value, IntervalSweep):
        return [f"{key}={end}" for end in (value.start, value.end)]
    if isinstance(value, Glob):
        return [f"{key}={choice}" for choice in matching(str(override.input_line), value, group_of(key)[0])]
    if override.is_discrete_sweep():
        return [f"{key}={found}" for found in override.sweep_string_iterator()]
    return [str(override.input_line)]


def _is_plain(override: Override) -> bool:
    return is_value(override) and not override.is_hydra_override()


def _setting(override: str) -> tuple[str, Any]:
    parsed = OverridesParser.create().parse_override(override)
    return str(parsed.key_or_group), parsed.value()
