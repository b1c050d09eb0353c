"""Short names for the parts of attention: `positions=learned` for `positions@encoder.positions=learned`, and so on."""

from collections.abc import Iterator
from itertools import product
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.errors import HydraException

from seq2seq.cli.keys.corpora import with_parts
from seq2seq.config_files import choices_of
from seq2seq.errors import UserError
from seq2seq.options import composed

PARTS = {"positions": "positions", "pattern": "pattern", "self_score": "score", "self_normalizer": "normalizer"}
"""Keys of a Transformer's side that choose a file, and the group that the file is in."""

OPTIONS = ("num_key_heads", "gate")
"""Keys of a Transformer's side that hold a value."""

CROSS = {"cross_pattern": "pattern"}
"""Keys of cross-attention that choose a file, and its group."""

SIDES = ("encoder", "decoder")

MODEL = ("model", "experiment", *SIDES)
"""Groups that decide which sides are Transformers."""

SHORT = (*PARTS, *OPTIONS, *CROSS)
"""All short names."""


def expand(overrides: list[str], *, sweep: bool = False) -> list[list[str]]:
    """Return overrides in which every short name is what Hydra calls it; of a sweep over such names, a list each.

    `encoder.positions=learned` chooses a file as a group does; `positions=learned` does it for both sides.

    Args:
        overrides: quoted.
        sweep: whether `a,b` means one run each.

    Raises:
        UserError: a name for a side that has no such part.
    """
    overrides = with_parts(overrides)
    if not any(_is_short(override) for override in overrides):
        return [overrides]
    runs = product(*(_each(override) if sweep else [override] for override in overrides))
    return [[new for override in run for new in _expanded(override, run)] for run in runs]


def group_of(choice: str) -> tuple[str, str]:
    """Return the group and the short name of one of Hydra's choices, such as `positions@encoder.positions`."""
    group, _, package = choice.partition("@")
    return group, package or group


def _parts(override: str) -> tuple[str, str, str]:
    """Return the side that an override names, or none, the name of the part, and the value."""
    key, _, value = override.partition("=")
    side, dot, name = key.lstrip("+").partition(".")
    return (side, name, value) if dot and side in SIDES else ("", key.lstrip("+"), value)


def _is_short(override: str) -> bool:
    side, name, value = _parts(override)
    if value.startswith("{"):  # a whole part, said key by key
        return False
    return name in PARTS or (not side and (name in CROSS or name in OPTIONS))


def _each(override: str) -> list[str]:
    """Return the overrides that one is in a sweep, if it is short or decides the model; else itself."""
    if not _is_short(override) and override.partition("=")[0] not in MODEL:
        return [override]
    try:
        parsed = OverridesParser.create().parse_override(override)
        value = cast(Any, parsed.value())  # the type that Hydra declares leaves out globs
        if isinstance(value, Glob):
            key = parsed.get_key_element()
            name = _parts(override)[1]
            return [f"{key}={c}" for c in matching(override, value, {**PARTS, **CROSS}.get(name, name))]
        if not parsed.is_discrete_sweep():
            return [override]
    except HydraException:
        return [override]
    return [f"{parsed.get_key_element()}={value}" for value in parsed.sweep_string_iterator()]


def matching(override: str, pattern: Glob, group: str) -> list[str]:
    """Return the choices of a group that a pattern means.

    Raises:
        UserError: there are none.
    """
    options = choices_of(group)
    found = pattern.filter(options)
    if not found:
        raise UserError(f"{override}: there is no such choice; the options are {', '.join(options)}")
    return list(found)


def _expanded(override: str, run: tuple[str, ...]) -> Iterator[str]:
    side, name, value = _parts(override)
    if not _is_short(override):
        yield override
    elif name in CROSS:
        yield f"{CROSS[name]}@{name}={value}"
    else:
        sides = _transformer_sides(run)
        if not sides or side not in ("", *sides):
            if name in PARTS and value.isidentifier() and value not in ("null", *choices_of(PARTS[name])):
                yield f"+{PARTS[name]}={value}"  # of which Hydra says that it does not exist
                return
            model = next((o for o in run if o.startswith("model=")), "")
            raise UserError(no_such_part(override, side, name, model))
        for one in [side] if side else sides:
            yield f"{PARTS[name]}@{one}.{name}={value}" if name in PARTS else f"{one}.{name}={value}"


def part_of_side(key: str) -> tuple[str, str]:
    """Return the side and the part of a Transformer that a key is of, such as `encoder.positions.base`; else nothing.

    Whether the side is a Transformer is not asked.
    """
    side, _, rest = key.partition(".")
    part = rest.partition(".")[0]
    return (side, part) if side in SIDES and part in (*PARTS, *OPTIONS) else ("", "")


def no_such_part(override: str, side: str, part: str, model: str = "") -> str:
    """Return what is to be said where a side, or both, are recurrent, and have no such part; model chose both."""
    who = f"{side} is recurrent here" if side else f"both sides are recurrent {f'with {model}' if model else 'here'}"
    return (
        f"{override}: {who}, and only a Transformer's self-attention has {part}; "
        f"take {side or 'model'}=transformer, or leave it out"
    )


def _transformer_sides(run: tuple[str, ...]) -> list[str]:
    chosen = [override for override in run if override.partition("=")[0] in MODEL]
    choices = composed("train", tuple(chosen)).hydra.runtime.choices
    return [side for side in SIDES if choices.get(side) == "transformer"]
