"""A user's own files of configuration, read before Hydra reads them: what it cannot compose is told with its line."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from seq2seq.config_files import OWN, choices_of, group_names, is_own
from seq2seq.errors import UserError, nearest


def check_chosen(overrides: Iterable[str]) -> None:
    """Refuse what Hydra cannot compose in the user's own files that overrides choose, and in those they build on.

    Args:
        overrides: such as `experiment=mine` and `positions@encoder.positions=mine`.

    Raises:
        UserError: naming the file, the line, and what is expected.
    """
    waiting = [(key.lstrip("+").partition("@")[0], choice) for key, _, choice in (o.partition("=") for o in overrides)]
    for group, choice in waiting:
        if choice.isprintable() and "/" not in choice and is_own(group, choice):
            waiting += [base for base in _bases(group, choice) if base not in waiting]


def mapping_of(file: Path) -> yaml.MappingNode | None:
    """Return what a file holds, with the places of its keys; None where it is empty.

    Raises:
        UserError: naming the file and the line where it cannot be read, is no YAML, or holds no keys.
    """
    content = file.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{file}:{line}: this is not text in UTF-8; save the file as UTF-8") from None
    if text.startswith("\ufeff"):
        raise UserError(f"{file}:1: a mark of the byte order comes first (BOM); save the file as UTF-8 without it")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        yaml.safe_load(text)  # finds what a node may hold and a value not, such as a tag of Python's
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        said = " ".join(str(part) for part in (error.context, error.problem) if part)
        raise UserError(f"{file}:{line}: no valid YAML: {said}") from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        raise UserError(f"{file}:{line}: no valid YAML: {str(error).splitlines()[0]}") from None
    if node is not None and not isinstance(node, yaml.MappingNode):
        raise UserError(f"{file}:1: expected keys with values, such as dropout: 0.2")
    for inner in _mappings(node):
        _check_keys(inner, file)
    return node


def place_of(file: Path, node: yaml.Node) -> str:
    """Return a file and the line in which something stands."""
    return f"{file}:{node.start_mark.line + 1}"


def _mappings(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        yield node
        inner = [value for _, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    for each in inner:
        yield from _mappings(each)


def _check_keys(node: yaml.MappingNode, file: Path) -> None:
    first: dict[str, int] = {}
    for key, _ in node.value:
        if key.value in first:
            raise UserError(f"{place_of(file, key)}: {key.value} stands in line {first[key.value]} too; say it once")
        first[key.value] = key.start_mark.line + 1


def _bases(group: str, choice: str) -> Iterator[tuple[str, str]]:
    """Yield the group and the choice of each file that one builds on, by its `defaults`."""
    file = OWN / group / f"{choice}.yaml"
    node = mapping_of(file)
    defaults = next((value for key, value in node.value if key.value == "defaults"), None) if node else None
    if defaults is None:
        return
    if not isinstance(defaults, yaml.SequenceNode):
        raise UserError(f"{place_of(file, defaults)}: defaults: expected a list, whose lines begin with - ")
    for entry in defaults.value:
        pairs = entry.value if isinstance(entry, yaml.MappingNode) else [(None, entry)]
        for key, value in pairs:
            if isinstance(value, yaml.ScalarNode) and not _is_free(value.value):
                yield _base(group, key.value if key else None, value.value, place_of(file, entry))


def _is_free(choice: str) -> bool:
    """Return whether a choice is none, or known only when it is composed."""
    return choice in ("_self_", "null", "~", "") or "$" in choice


def _base(group: str, key: str | None, choice: str, place: str) -> tuple[str, str]:
    """Return the group and the choice that one entry of `defaults` means."""
    if key is None:  # a file of the same group, or /GROUP/NAME
        parent, _, name = choice.partition("@")[0].rpartition("/")
        found = (parent.removeprefix("/") or group, name.removesuffix(".yaml"))
    else:
        words = key.split()
        name = words[-1].partition("@")[0]
        if not name.startswith("/") or (group == "experiment" and "override" not in words and "@" not in words[-1]):
            raise UserError(f"{place}: {key}: {choice}: say override /{words[-1].lstrip('/')}: {choice}")
        found = (name[1:], choice.removesuffix(".yaml"))
    group, choice = found
    if group.startswith("hydra/"):
        return found
    if group not in group_names():
        raise UserError(f"{place}: there is no group {group}; {nearest(group, group_names())}")
    if choice not in choices_of(group):
        raise UserError(f"{place}: {group}={choice} does not exist; {nearest(choice, choices_of(group))}")
    return found
