"""A user's own files of configuration: what they set is looked at like what is typed, and told with file and line."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seq2seq.build_options import AWAY
from seq2seq.cli.keys.added import unread
from seq2seq.cli.keys.quoting import quote
from seq2seq.cli.keys.shorthand import SHORT, SIDES, expand, group_of
from seq2seq.config_files import OWN, config_folder, is_own, own_folder
from seq2seq.config_own import mapping_of, place_of
from seq2seq.errors import UserError
from seq2seq.options import composed

PACKAGE = re.compile(r"^# *@package +(\S+)", re.MULTILINE)
"""The key below which Hydra puts what a file holds, where it is not the name of its group."""

Check = Callable[[list[str], DictConfig, DictConfig], None]


def check_own_name(group: str, choice: str) -> None:
    """Refuse a choice of which the user and the package have files that differ: the package's would be taken.

    They are equal where the program is installed and the present folder is a copy of its source.

    Raises:
        UserError: naming the user's.
    """
    both = [folder / group / f"{choice}.yaml" for folder in (OWN, config_folder())]
    if own_folder() and all(file.is_file() for file in both) and both[0].read_bytes() != both[1].read_bytes():
        raise UserError(f"{group}={choice} is a choice of the package, so {both[0]} is not read; give it another name")


def check_own_files(command: str, config: DictConfig, check_values: Check) -> None:
    """Refuse keys of the user's own files that nothing reads, and values that never work.

    Args:
        command: whose configuration it is.
        config: with the files, and Hydra's own part.
        check_values: of `values`, for what is typed.

    Raises:
        UserError: naming the file, the line, the key, and what is expected.
    """
    places = _places_of_all(config)
    if not places:
        return
    choices = _choices(config)
    for key, place in places.items():
        _check_choice(key, place, config, choices)
    own = _own(choices)
    usual = composed(command, ()).hydra.runtime.choices
    others = [f"{key}={choice}" for key, choice in choices.items() if key not in own and choice != usual.get(key, "")]
    defaults = OmegaConf.create()
    with suppress(HydraException, OmegaConfBaseException):  # others may need a file that is left out here
        defaults = composed(command, tuple(others))
        for key, fault in unread(command, others, config, defaults):
            if where := next((places[name] for name in places if f"{name}.".startswith(f"{key}.")), None):
                raise UserError(f"{where}: {fault}")
    for key, place in places.items():
        if OmegaConf.select(defaults, key, throw_on_missing=False) is not None:
            try:
                check_values([f"{key}="], config, defaults)
            except UserError as error:
                raise UserError(f"{place}: {error}") from None


def _check_choice(key: str, place: str, config: DictConfig, choices: dict[str, str]) -> None:
    """Refuse the name of a choice where it would stand in place of what the choice holds."""
    value = OmegaConf.select(config, key, throw_on_missing=False)
    keys = (key, *(f"{side}.{key}" for side in SIDES))
    meant = [f"- override /{choice}: {value}" for choice in choices if group_of(choice)[1] in keys]
    if key in SHORT and not meant:
        raise UserError(f"{place}: {key} is short for encoder.{key} and decoder.{key}; in a file, say it of a side")
    if isinstance(value, str) and meant:
        raise UserError(f"{place}: {key}: {value} is a choice; below defaults, say {' and '.join(meant)}")


def with_place(said: str, command: str, overrides: list[str]) -> str:
    """Return a message that begins with a key, behind the file and line where the user's own files set it."""
    key = re.match(r"[\w.]+", said)
    if own_folder() and key:
        with suppress(Exception):  # what is wrong is known already; this only says more
            place = _places_of_all(composed(command, tuple(expand(quote(overrides))[0])))[key[0]]
            return f"{place}: {said.replace(AWAY, 'take it out there, or for this run alone with')}"
    return said


def place_in(group: str, choice: str, key: str) -> str:
    """Return where the file of a choice sets a key, file and line; the file alone where that cannot be seen."""
    with suppress(OSError, UserError):
        return dict(_places(group, choice)).get(key, f"{group}/{choice}")
    return f"{group}/{choice}"


def _choices(config: DictConfig) -> dict[str, str]:
    return {key: choice for key, choice in config.hydra.runtime.choices.items() if isinstance(choice, str)}


def _own(choices: dict[str, str]) -> dict[str, str]:
    return {key: choice for key, choice in choices.items() if is_own(group_of(key)[0], choice)}


def _places_of_all(config: DictConfig) -> dict[str, str]:
    return {key: place for name, choice in _own(_choices(config)).items() for key, place in _places(name, choice)}


def _places(name: str, choice: str) -> Iterator[tuple[str, str]]:
    """Yield each dotted key that the file of a choice sets, and where: file and line."""
    group, package = group_of(name)
    file = OWN / group / f"{choice}.yaml"
    node = mapping_of(file)
    stated = PACKAGE.search(file.read_text(encoding="utf-8"))
    package = stated[1] if stated else package
    if node is not None and group == "experiment" and not stated:
        raise UserError(f"{file}:1: an experiment begins with the line # @package _global_")
    if node is not None:
        yield from _keys(node, "" if package == "_global_" else f"{package}.", file)


def _keys(node: yaml.MappingNode, prefix: str, file: Path) -> Iterator[tuple[str, str]]:
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if name == "defaults":
            continue
        if isinstance(value, yaml.MappingNode):
            yield from _keys(value, f"{name}.", file)
        yield name, place_of(file, key)
