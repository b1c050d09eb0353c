"""`seq2seq COMMAND --help`: the groups and their choices, every key with its default and what it means."""

import re
from collections.abc import Iterator

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from seq2seq.cli.keys.quoting import quote
from seq2seq.cli.keys.shorthand import expand, group_of
from seq2seq.config_files import choices_of, config_folder, file_of
from seq2seq.options import compose_defaults

COMMENTS = 44
"""Column where comments begin."""

FIRST = ("model", "score", "normalizer", "encoder", "decoder", "data", "tokenizer", "experiment")
"""Groups that people reach for most."""

KEY = re.compile(r"^(?P<indent> *)(?P<key>\w+):(?P<value>.*?)(?:\s+# (?P<comment>.*))?$")


def print_help(command: str, arguments: list[str], *, does: str) -> None:
    """Print what a command does, and what can be overridden, as it is under the overrides already given."""
    overrides = quote([argument for argument in arguments if not argument.startswith("-")])
    if command == "train":
        overrides = expand(overrides)[0]
    config = compose_defaults(command, overrides)
    choices = HydraConfig.get().runtime.choices
    groups = [*(group for group in FIRST if group in choices), *(group for group in choices if group not in FIRST)]
    chosen = {group: choices[group] for group in groups if not group.startswith("hydra")}
    usage = (config_folder() / f"{command}.yaml").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    print(f"seq2seq {command}: {does}\n\nusage: {usage}\n")
    if chosen:
        width = max(len(group_of(choice)[1]) for choice in chosen)
        print("Choices, said as group=choice; the one in [brackets] is taken now:\n")
        for key, choice in chosen.items():
            group, shown = group_of(key)
            names = [f"[{name}]" if name == choice else name for name in choices_of(group)]
            print(f"  {shown:<{width}}  {'  '.join(names)}")
        inner = ", inner ones with a dot (optimizer.lr=0.001)" if command == "train" else ", inner ones with a dot"
        print(f"\nKeys, said as key=value{inner}; here with their defaults, or as you have set them:\n")
    else:
        print("Keys, said as key=value; here with their defaults, or as you have set them:\n")
    for line in _explained(OmegaConf.to_yaml(config), _comments(command, chosen)):
        print(f"  {line}")


def _explained(text: str, comments: dict[str, str]) -> Iterator[str]:
    """Yield the lines of a configuration, each with its comment."""
    for line, key in _keys(text):
        shown = line.replace(": ???", ":  (needed)")
        yield f"{shown:<{COMMENTS}}  # {comments[key]}" if key in comments else shown


def _comments(command: str, chosen: dict[str, str | None]) -> dict[str, str]:
    """Return by dotted key what stands behind it in the files that a configuration is made of."""
    texts = [((config_folder() / f"{command}.yaml").read_text(encoding="utf-8"), "")]
    for key, choice in chosen.items():
        group, package = group_of(key)
        texts += [(text, f"{package}.") for text in _with_parents(group, choice)] if choice else []
    found = {}
    for text, package in texts:
        prefix = "" if "@package _global_" in text.partition("\n")[0] else package
        for line, key in _keys(text):
            match = KEY.match(line)
            if match and match["comment"]:
                found[prefix + key] = match["comment"]
    return found


def _with_parents(group: str, choice: str) -> Iterator[str]:
    """Yield the texts of the files of its group that a choice is made of, its own last."""
    text = file_of(group, choice).read_text(encoding="utf-8")
    for parent in re.findall(r"^  - (?!_self_)(\w+)$", text, re.MULTILINE):
        yield from _with_parents(group, parent)
    yield text


def _keys(text: str) -> Iterator[tuple[str, str]]:
    """Yield the lines of a YAML file, each with the dotted key that it begins; without one where it begins none."""
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        match = KEY.match(line)
        if match:
            indent = len(match["indent"])
            path = [(i, key) for i, key in path if i < indent] + [(indent, match["key"])]
        yield line, ".".join(key for _, key in path) if match else ""
