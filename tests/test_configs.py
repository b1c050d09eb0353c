"""Every file in configs/ composes and becomes an object; every key is somebody's parameter, or read by code."""

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ReadonlyConfigError

import seq2seq
from seq2seq.build import build_model
from seq2seq.build_mixture import make_corpus
from seq2seq.build_options import check_options
from seq2seq.build_training import build_trainer
from seq2seq.cli.keys.shorthand import PARTS, expand, group_of
from seq2seq.config_files import config_folder
from seq2seq.data.loader import LoaderConfig
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.options import compose_defaults, compose_hydra
from seq2seq.options import composed as composed_once

CONFIGS = config_folder()
COMMANDS = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
GROUPS = sorted(path.name for path in CONFIGS.iterdir() if path.is_dir())
FILES = [(path.parent.name, path.stem) for path in sorted(CONFIGS.glob("*/*.yaml"))]
WITH_TARGETS = [(group, name) for group, name in FILES if group not in ("model", "experiment", "debug")]

SUPPLIED = {
    "encoder": {"table", "two_sided"},
    "decoder": {"table", "two_sided", "d_encoder", "d_summary", "d_fed", "score", "normalizer", "cross_pattern"},
    "score": {"d_query", "d_key", "num_heads"},
    "self_score": {"d_query", "d_key", "num_heads"},
    "normalizer": {"num_heads", "d_value", "layer"},
    "self_normalizer": {"num_heads", "d_value", "layer"},
    "positions": {"d_model", "d_head", "num_heads", "two_sided"},
    "pattern": {"d_query", "num_heads", "seat"},
    "rnn": {"d_input", "d_hidden", "num_layers", "dropout"},
    "optimizer": {"named_parameters"},
    "scheduler": {"optimizer"},
    "links": {"word_weights"},
}
"""Parameters that code supplies, by the key of the target; every other one stands in its YAML."""

SIDES = ("source", "target")

NEEDED = {
    ("data", "text"): [f"data.{split}.{side}=x" for split in ("train", "val", "test") for side in ("source", "target")],
    ("data", "table"): ["data.train=train.tsv", "data.val=val.tsv"],
    ("data", "hub"): ["data.path=somebody/some-set"],
    ("data", "mixture"): [
        "data.corpora.a=text",
        *(f"data.corpora.a.{s}.{k}=x" for s in ("train", "val") for k in SIDES),
    ],
    ("experiment", "multi30k_multilingual"): ["data.corpora.de.root=x"],
    ("experiment", "multi30k_multilingual_en"): ["data.corpora.de.root=x"],
    ("score", "none"): ["model=bottleneck"],
    **{
        (group, path.stem): ["model=transformer"]
        for group in PARTS
        for path in (CONFIGS / group).glob("*.yaml")
        if group in ("positions", "pattern")
    },
    ("pattern", "fixed"): ["score=uniform"],
    **{("normalizer", name): ["model=transformer"] for name in ("differential", "leaky")},
}
"""What a user must say beside the choice of a file."""

SEATS = {"random": "encoder.positions", **dict.fromkeys(("local_m", "local_p", "fixed"), "cross_pattern")}
"""Files that not every seat takes, and a key that does."""

COMMAND_OF = {"method": "explain"}
"""Groups that are not of a training, and the command that takes them."""

GPU_ONLY = ("gpu", "ddp", "fsdp")
"""Trainers that Lightning refuses to make without a GPU: here they are only composed."""


@cache
def compose(*overrides: str, command: str = "train") -> DictConfig:
    return compose_defaults(command, list(overrides))


def overrides_for(group: str, name: str) -> tuple[str, ...]:
    given = [f"{SEATS.get(name, group)}={name}", "output=outputs/none", *NEEDED.get((group, name), [])]
    return tuple(expand(given)[0])


def composed(group: str, name: str) -> DictConfig:
    if group in COMMAND_OF:
        return compose(f"{group}={name}", command=COMMAND_OF[group])
    return compose(*overrides_for(group, name))


def plain_yaml(path: Path) -> dict[str, Any]:
    """Return what stands in a file, by itself."""
    tree: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    return tree


class Vocabulary:
    """As much of a tokenizer as a model's size needs."""

    def __len__(self) -> int:
        return 23


def check_objects(config: DictConfig, *, trainer: bool) -> None:
    """Make all that a run makes, but its data."""
    check_options(config)
    tokenizer: Any = Vocabulary()
    with torch.device("meta"):  # the largest have hundreds of millions of weights
        model = build_model(config, Tokenizers(tokenizer, tokenizer))
    optimizer = instantiate(config.optimizer)(model.named_parameters())
    schedule = instantiate(config.scheduler).pop("scheduler")
    options = {"total_steps": 100} if schedule.keywords.get("total_steps", 0) is None else {}
    scheduler = schedule(optimizer, **options)
    assert scheduler.optimizer is optimizer
    assert callable(instantiate(config.search))
    instantiate(config.tokenizer)
    if trainer:
        made = build_trainer(config)
        expected = sum(bool(callback) for callback in config.callbacks.values())
        assert len(made.callbacks) >= expected  # type: ignore[attr-defined]


@pytest.mark.parametrize(("group", "name"), FILES)
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # of the libraries of loggers
def test_every_file_composes_and_its_objects_are_made(
    group: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if group == "logger":  # some begin to write when they are made
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("WANDB_MODE", "offline")
        if name in ("mlflow", "wandb"):
            pytest.importorskip(name)
    config = composed(group, name)
    if group in COMMAND_OF:
        assert callable(instantiate(config[group]))
        return
    if group == "trainer" and name in GPU_ONLY:
        assert (config.trainer.accelerator, config.trainer._target_) == ("gpu", "lightning.Trainer")
        assert config.trainer.devices == (1 if name == "gpu" else -1)
        assert config.trainer.strategy == ("auto" if name == "gpu" else name)
        return
    if group == "data":
        corpus = make_corpus(config.data)
        assert {"train", "val"} <= set(corpus.splits())
        return
    check_objects(config, trainer=group in ("trainer", "callbacks", "logger", "debug", "experiment"))


def test_configuration_that_is_kept_cannot_be_changed_and_its_copies_can() -> None:
    kept = composed_once("train", ("seed=3",))
    with pytest.raises(ReadonlyConfigError):
        kept.seed = 4
    for copy in (compose_defaults("train", ["seed=3"]), compose_hydra("train", ["seed=3"])):
        copy.seed = copy.model.d_model = 4
    assert kept.seed == composed_once("train", ("seed=3",)).seed == 3
    composed_once("train", ("model=luong",))
    assert compose_defaults("train", ["model=transformer"]).run_name.startswith("transformer-scaled_dot")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_composes_without_overrides(command: str) -> None:
    config = compose_defaults(command, [])
    assert "hydra" not in config
    assert OmegaConf.to_yaml(config)


@pytest.mark.parametrize("command", ["evaluate", "translate"])
@pytest.mark.parametrize("search", sorted(path.stem for path in (CONFIGS / "search").glob("*.yaml")))
def test_search_of_other_commands_can_be_chosen(command: str, search: str) -> None:
    assert callable(instantiate(compose_defaults(command, [f"search={search}"]).search))


@pytest.mark.parametrize(("group", "name"), [f for f in FILES if f[0] in ("experiment", "debug")])
def test_experiment_and_debug_change_what_they_say(group: str, name: str) -> None:
    """A key at a wrong place would compose, and change nothing."""
    config, plain = composed(group, name), compose("output=outputs/none")
    text = plain_yaml(CONFIGS / group / f"{name}.yaml")
    text.pop("defaults", None)
    unresolved = dict(leaves(OmegaConf.to_container(config)))
    for key, value in leaves(text):
        assert value == "???" or unresolved[key] == value, key  # which the test names
    assert config != plain


def leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def targets(node: Any, key: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the key, the name and the arguments of every target at and below a node."""
    if isinstance(node, dict):
        if node.get("_target_"):
            yield (
                key,
                node["_target_"].replace("${model.rnn}", "LSTM"),
                {k: v for k, v in node.items() if not k.startswith("_")},
            )
        for name, value in node.items():
            if name != "corpora":  # whose weights and tags are no parameters; their kinds are looked at by themselves
                yield from targets(value, name)


@cache
def targets_of(group: str, name: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the targets of a file, as `targets` does: with it alone chosen, its defaults list is followed."""
    config = composed(group, name)
    side = config.encoder if group in ("positions", "pattern") else config
    node = config.cross_pattern if SEATS.get(name) == "cross_pattern" else side[group]
    return list(targets(OmegaConf.to_container(node, resolve=False), group))


def is_ours(target: Callable[..., Any]) -> bool:
    """Return whether this package defines what a target is called with; a subclass may inherit its constructor."""
    if inspect.isclass(target):
        target = next(kind for kind in target.__mro__ if "__init__" in vars(kind))
    return target.__module__.startswith("seq2seq.")


def parameters_of(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return what a target is called with; a class of ours that hands **options on takes its base's as well."""
    found: dict[str, inspect.Parameter] = {}
    for kind in target.__mro__ if inspect.isclass(target) else [target]:
        if inspect.isclass(kind) and "__init__" not in vars(kind):
            continue
        parameters = inspect.signature(kind).parameters
        found = {**parameters, **found}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            break
    return {name: p for name, p in found.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


@pytest.mark.parametrize(("group", "name"), WITH_TARGETS)
def test_yaml_and_signature_name_the_same_parameters(group: str, name: str) -> None:
    for key, target_name, given in targets_of(group, name):
        target = get_object(target_name)
        parameters = parameters_of(target)
        named = set(parameters)
        if is_ours(target):
            assert given.keys() == named - SUPPLIED.get(key, set()), key
            # Where a library user has a default too, it is the same one.
            defaults = {k: parameters[k].default for k in given if parameters[k].default is not inspect.Parameter.empty}
            assert defaults == {
                k: get_object(v["_target_"]) if "_target_" in str(v) else v for k, v in given.items() if k in defaults
            }, key  # a class stands for its YAML
        else:
            assert given.keys() <= named, key


def test_no_supplied_parameter_is_out_of_date() -> None:
    supplied: dict[str, set[str]] = {key: set() for key in SUPPLIED}
    for file in WITH_TARGETS:
        for key, name, _ in targets_of(*file):
            if key in SUPPLIED:
                supplied[key] |= SUPPLIED[key] & set(parameters_of(get_object(name)))
    assert supplied == SUPPLIED


def test_loader_keys_are_the_fields_of_its_class() -> None:
    assert set(compose().loader) == {field.name for field in fields(LoaderConfig)}


SOURCES = {path: path.read_text(encoding="utf-8") for path in Path(seq2seq.__file__).parent.rglob("*.py")}
YAMLS = "\n".join(path.read_text(encoding="utf-8") for path in CONFIGS.rglob("*.yaml"))


def keys_of(command: str) -> list[str]:
    """Return the keys that a command's own file holds, beside its groups."""
    tree = plain_yaml(CONFIGS / f"{command}.yaml")
    return [key for key, _ in leaves({k: v for k, v in tree.items() if k not in ("defaults", "hydra")})]


@pytest.mark.parametrize(("command", "key"), [(command, key) for command in COMMANDS for key in keys_of(command)])
def test_every_key_is_read(command: str, key: str) -> None:
    if command == "train" and key.startswith(("loader.", "callbacks.")):
        return  # compared with signatures above
    # A command's keys are read by its own file, by build.py, or by what some of them share.
    shared = dict.fromkeys(("heads", "prune", "trust"), ["subject"])
    shared["train"] = ["build_training", "check_run", "variants", "plan", "run", "begin", "objective"]
    readers = [f"{name}.py" for name in (command, "build", *shared.get(command, []))]
    files = [text for path, text in SOURCES.items() if path.name in readers]
    name = re.escape(key)
    attribute = rf"\bconfig(\.{name}\b|\[\"{name}\"\])"
    assert any(re.search(attribute, text) for text in files) or f"${{{key}}}" in YAMLS


ADDED = {"ema": "ema", "gradients": "score_gradients", "source_share": "source_share"}


# Where one of many takes away what another adds, it does so in a pair; of more, two orders will do.
ORDERS = [names for n in (1, 2) for names in permutations([*ADDED, "default"], n)]


@pytest.mark.parametrize("names", [*ORDERS, ("default", *ADDED), (*reversed(ADDED), "default")], ids=str)
def test_callbacks_add_up_in_every_order(names: tuple[str, ...]) -> None:
    usual, chosen = (
        list(compose(f"callbacks={given}").callbacks.items()) for given in ("default", f"[{','.join(names)}]")
    )
    assert [key for key, _ in chosen] == [key for key, _ in usual]
    added = {ADDED[name] for name in names if name in ADDED}
    assert {key for (key, value), (_, other) in zip(chosen, usual, strict=True) if value != other} == added
    assert {key for key, value in chosen if value} >= added


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "model").glob("*.yaml")))
def test_every_key_of_a_model_is_read(name: str) -> None:
    tree = plain_yaml(CONFIGS / "model" / f"{name}.yaml")["model"]
    builder = (Path(seq2seq.__file__).parent / "build.py").read_text(encoding="utf-8")
    for key in tree:
        assert f"${{model.{key}}}" in YAMLS or re.search(rf"\boptions\.{key}\b", builder), key


def test_all_models_have_the_same_keys() -> None:
    keys = {path.stem: set(plain_yaml(path)["model"]) for path in (CONFIGS / "model").glob("*.yaml")}
    assert len({frozenset(found) for found in keys.values()}) == 1, keys


def test_every_group_is_one_that_a_command_takes() -> None:
    taken = {
        group_of(key.removeprefix("override ").lstrip("/"))[0]
        for path in CONFIGS.rglob("*.yaml")
        for entry in plain_yaml(path).get("defaults", [])
        if isinstance(entry, dict)
        for key in entry
    }
    assert set(GROUPS) <= taken


def test_cross_attention_is_what_score_and_normalizer_say() -> None:
    tokenizer: Any = Vocabulary()
    with torch.device("meta"):
        model = build_model(
            compose("model=transformer", "score=additive", "normalizer=sparsemax"), Tokenizers(tokenizer, tokenizer)
        )
    kinds = {
        "cross" if "cross" in name else "self": type(module).__name__
        for name, module in model.named_modules()
        if name.endswith(".score")
    }
    assert kinds == {"cross": "Additive", "self": "ScaledDot"}
