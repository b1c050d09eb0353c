"""The runs that `seq2seq train` is asked for, and what of them is refused before PyTorch and Lightning are loaded."""

from itertools import product
from typing import NamedTuple

from omegaconf import ListConfig

from seq2seq.cli.keys.quoting import quote
from seq2seq.cli.keys.shorthand import expand
from seq2seq.cli.keys.values import check_types
from seq2seq.cli.training.sweep import axes_of, configurations
from seq2seq.errors import UserError
from seq2seq.options import composed

LOOKED_FOR = ("begin_with", "output", "resume", "tokenizer.checkpoint", "tokenizer.grow", "variants")
"""Keys that decide, before Hydra composes a configuration, what is to be composed."""

BEGINNING = ("begin_with=", "tokenizer.checkpoint=", "tokenizer.grow=")
"""Overrides by which a run has something of a checkpoint from its beginning."""


class Variant(NamedTuple):
    """One of the runs, or sweeps, that a command asks for."""

    name: str  # what an experiment says of it; empty where there is no experiment of several
    overrides: list[str]


def as_set(overrides: list[str]) -> list[str]:
    """Return overrides in which the keys that this program looks for stand as such: `++resume=true` sets `resume`."""
    return [o.lstrip("+") if o.partition("=")[0].lstrip("+") in LOOKED_FOR else o for o in overrides]


def is_override(argument: str) -> bool:
    """Return whether an argument is an override: not one of Hydra's options, and not what such an option is given."""
    return not argument.startswith("-") and ("=" in argument or argument.startswith("~"))


def choosing_variants(overrides: list[str]) -> list[str]:
    """Return those overrides that say which variants there are."""
    return [override for override in overrides if override.startswith(("experiment=", "variants="))]


def variants_of(overrides: list[str], *, sweep: bool) -> list[Variant]:
    """Return the variants of an experiment, else the one that the overrides are; with short names expanded."""
    chosen = choosing_variants(overrides)
    runs = product(*(axis.values for axis in axes_of(chosen))) if sweep else [tuple(chosen)]
    variants, *others = [config.variants for config in (composed("train", run) for run in runs)]
    if others and any((variants, *others)):
        raise UserError(
            "experiment: one of several experiments has variants of its own; give each a command of its own"
        )
    if variants is not None and not (
        isinstance(variants, ListConfig) and all(isinstance(variant, str) for variant in variants)
    ):
        raise UserError(f"variants={variants}: expected a list, such as variants=['score=dot','score=general']")
    asking = [variant for variant in variants or [] if "resume=" in variant]
    if asking:
        raise UserError(f"variants: {asking[0]}: say resume=true beside variants, for all of them")
    added = (
        [(variant, [*quote(variant.split(), sweep=sweep), "variants=null"]) for variant in variants]
        if variants
        else [("", [])]
    )
    return [Variant(name, run) for name, more in added for run in expand([*overrides, *more], sweep=sweep)]


def is_begun(variant: Variant) -> bool:
    """Return whether a checkpoint, which is to be read, decides a part of its configuration."""
    return any(override.startswith(BEGINNING) for override in variant.overrides)


def check_variants(variants: list[Variant], *, sweep: bool) -> None:
    """Refuse options and values that cannot be, of each run; their meaning is looked at later.

    Raises:
        UserError: naming the key, the value and what is expected.
    """
    for variant in variants:
        if sweep:
            for _ in configurations(variant.overrides):
                pass  # each is looked at on its way
        else:
            check_types("train", variant.overrides)
