"""What `begin_with=FILE` means: a training that starts from the weights and the vocabulary of a checkpoint."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf

from seq2seq.build import MODEL_KEYS, tokenizers_of, untrained_model
from seq2seq.checkpoint import Checkpoint, read_checkpoint
from seq2seq.cli.keys.shorthand import group_of
from seq2seq.cli.training.begin_vocabulary import check_vocabulary, vocabulary_of
from seq2seq.cli.training.resume import WholeCheckpoint, earlier_runs, resumed, whole_checkpoint
from seq2seq.cli.training.sweep import configurations
from seq2seq.cli.training.variants import is_override
from seq2seq.data.growth import check_growth
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.errors import UserError
from seq2seq.models import EncoderDecoder
from seq2seq.options import compose_defaults, compose_hydra
from seq2seq.pruning import KEYS
from seq2seq.transfer import Vocabularies, describe, transfer

log = logging.getLogger(__name__)

FREE = ("dropout", "attention_dropout", "feedforward_dropout")
"""Keys of a model in which a training may differ from the one that its weights come from."""

SIDES = ("encoder", "decoder")
SHOWN = 5
"""Differences that are named in one message."""


class Difference(NamedTuple):
    """A key of a model in which two configurations differ."""

    key: str  # of a part of another class, that part's
    ours: Any
    theirs: Any
    is_class: bool


class Start(NamedTuple):
    """What a training starts from."""

    weights: Checkpoint | None = None
    tokenizers: Tokenizers | None = None
    grows: bool = False  # whether those are to have new pieces


def as_begun(overrides: list[str], *, sweep: bool) -> list[str]:
    """Return overrides to which is added what the checkpoint of `begin_with` decides: its vocabulary, heads it kept.

    Args:
        overrides: quoted, with Hydra's options among them.
        sweep: whether they are of several runs.

    Raises:
        UserError: that is no checkpoint, or its model differs in what the overrides do not say.
    """
    checkpoint: Checkpoint | None = None
    given = list(filter(is_override, overrides))
    for number, config in enumerate(configurations(given) if sweep else [compose_defaults("train", given)]):
        path = vocabulary_of(config)
        if number and str(path) != str(checkpoint.path if checkpoint else None):
            raise UserError("begin_with: the runs of a command begin with one checkpoint; give a file")
        if not number and path is not None:
            try:
                checkpoint = read_checkpoint(path, trusted=packages_of(config))
            except UserError:
                before = None if sweep else _decided_before(path, config, overrides)
                if before is None:
                    raise
                return [*overrides, *before]
        if checkpoint and config.begin_with is not None:
            _check_same_model(config, checkpoint, overrides)
    if checkpoint is None:
        return overrides
    if config.tokenizer.get("grow"):
        check_growth(tokenizers_of(checkpoint), config.tokenizer.vocab_size)
    return [*overrides, *_decided(config, checkpoint.config, overrides, path=checkpoint.path)]


def _decided(config: DictConfig, theirs: Mapping[str, Any], overrides: list[str], *, path: str) -> list[str]:
    """Return overrides that say what a checkpoint decides, its vocabulary and its heads, where none is given."""
    added = check_vocabulary(config, theirs, overrides, path=path)
    if config.begin_with is not None:
        said = {override.partition("=")[0] for override in overrides}
        for side, key in KEYS.values():
            heads = theirs.get(side, {}).get(key)
            if heads is not None and f"{side}.{key}" not in said:
                added.append(f"{side}.{key}={str(heads).replace(' ', '')}")
    return added


def _decided_before(path: str, config: DictConfig, overrides: list[str]) -> list[str] | None:
    """Return what a checkpoint decided that cannot be read any more, where a run goes on that began with it.

    The configuration of that run says the same, and it has a checkpoint of its own. None: no such run goes on.
    """
    if config.resume is False:
        return None
    given = list(filter(is_override, overrides))
    by_name = config.resume in (True, "auto")
    for run in earlier_runs(config) if by_name else [Path(str(config.resume))]:
        theirs = _config_of(run)
        if not _began_with(path, theirs):
            continue
        added = _decided(config, theirs, overrides, path=path)
        goes_on = resumed([*given, *added], variant=by_name)
        if goes_on is None:
            return added  # it is finished
        found = compose_hydra("train", goes_on)
        if found.resume is not False and whole_checkpoint(Path(found.hydra.run.dir)).path:
            return added
    return None


def _config_of(run: Path) -> dict[str, Any]:
    """Return what a run was started with; nothing where that cannot be read."""
    with suppress(Exception):  # whatever a YAML reader makes of broken bytes
        found = OmegaConf.to_container(OmegaConf.load(run / "config.yaml"), resolve=True)
        if isinstance(found, dict):
            return {str(key): value for key, value in found.items()}
    return {}


def _began_with(path: str, config: Mapping[str, Any]) -> bool:
    """Return whether a configuration names a file, under whatever name, as the one whose vocabulary it takes."""
    named = (config.get("begin_with"), config.get("tokenizer", {}).get("checkpoint"))
    return os.path.realpath(path) in {os.path.realpath(str(name)) for name in named if name is not None}


def start_of(config: DictConfig, found: WholeCheckpoint) -> Start:
    """Return what a training starts from; one that goes on has weights and tokenizers of its own."""
    path = vocabulary_of(config)
    if found.path is not None or path is None:
        return Start(tokenizers=found.tokenizers)
    checkpoint = read_checkpoint(path, trusted=packages_of(config))
    weights = checkpoint if config.begin_with is not None else None
    return Start(weights, tokenizers_of(checkpoint), bool(config.tokenizer.get("grow")))


def start_from(model: EncoderDecoder, start: Start, tokenizers: Tokenizers, config: DictConfig) -> None:
    """Give a model the weights that it starts from, as far as they fit, and say what is not as it was.

    Raises:
        UserError: nothing fits.
    """
    checkpoint, before = start.weights, start.tokenizers
    assert checkpoint and before
    with torch.random.fork_rng(devices=[]):
        trained = untrained_model(checkpoint, before)
    found = transfer(model, checkpoint.weights, trained, Vocabularies(before, tokenizers))
    if not found.taken:
        raise UserError(f"begin_with={checkpoint.path}: none of its weights fits this model; leave begin_with out")
    if found.is_whole:
        log.info("begin_with=%s: all its weights are taken", checkpoint.path)
        return
    changed = [
        f"changed: {difference.key} is {difference.ours}, was {difference.theirs}"
        for difference in _original(config, list(differences(config, checkpoint)))
    ]
    for name in found.grown:
        if not model.get_parameter(name).requires_grad:
            log.warning("freeze: %s is frozen, so what stands there for new pieces stays as it begins", name)
    first, *rest = describe(found, model)
    log.info("%s", "\n  ".join([f"begin_with={checkpoint.path}: {first}", *changed, *rest]))


def differences(config: DictConfig, checkpoint: Checkpoint) -> Iterator[Difference]:
    """Yield the keys of the model in which a configuration differs from that of a checkpoint, of those both have."""
    theirs = checkpoint.config
    ours = {key: OmegaConf.to_container(config[key], resolve=True) for key in MODEL_KEYS if config.get(key)}
    for key, part in ours.items():
        if key in theirs:
            yield from _differences(key, part, theirs[key])


def _differences(name: str, ours: Any, theirs: Any) -> Iterator[Difference]:
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        if ours != theirs and name.rpartition(".")[2] not in FREE:
            yield Difference(name, ours, theirs, False)
        return
    our, their = (_class(part.get("_target_")) for part in (ours, theirs))
    if our != their:  # what else there is hangs on it
        yield Difference(name, our, their, True)
        return
    for key in ours:
        if key in theirs and key != "_target_" and (name, key) not in KEYS.values():
            yield from _differences(f"{name}.{key}", ours[key], theirs[key])


def _check_same_model(config: DictConfig, checkpoint: Checkpoint, overrides: list[str]) -> None:
    """Refuse a model that differs from the checkpoint's in what nobody said.

    What fits by its sizes may mean something else, and a default is no wish.
    """
    found = _original(config, list(differences(config, checkpoint)))
    if not (_is_recurrent(config) and _is_recurrent(checkpoint.config)):
        found = [difference for difference in found if difference.key != "model.rnn"]  # one of them reads no such key
    unsaid = [difference for difference in found if not _is_said(difference, config, overrides)]
    if not unsaid:
        return
    kinds = [difference for difference in found if difference.is_class and difference.key in SIDES]
    unsaid = [*kinds, *(difference for difference in unsaid if difference not in kinds)]
    unsaid.sort(key=lambda difference: not difference.is_class)
    named = ", ".join(f"its {key} is {theirs}, not {ours}" for key, ours, theirs, _ in unsaid[:SHOWN])
    more = f", and {len(unsaid) - SHOWN} more" if len(unsaid) > SHOWN else ""
    raise UserError(
        f"begin_with={checkpoint.path}: {named}{more}; give the overrides that its training was given, "
        "and say by its key what is to be another"
    )


def _is_recurrent(config: Mapping[str, Any] | DictConfig) -> bool:
    return any("rnn" in config.get(side, {}) for side in SIDES)


def _is_said(difference: Difference, config: DictConfig, overrides: list[str]) -> bool:
    """Return whether an override says that a key differs: by its name, or by the choice of the part that it is of."""
    for override in overrides:
        key = override.partition("=")[0].lstrip("+~")
        group, package = group_of(key)
        if group in ("model", *SIDES) and "." not in key:
            # Such a choice says of which classes the parts are, and nothing of their sizes.
            if difference.is_class and (package == difference.key or (group == "model" and "." not in difference.key)):
                return True
        elif any(_is_within(named, package) for named in _chain(difference, config)):
            return True
    return False


def _original(config: DictConfig, found: list[Difference]) -> list[Difference]:
    """Return the differences without those that follow from another, as `encoder.num_layers` from the model's."""
    keys = {difference.key for difference in found}
    return [d for d in found if not keys & set(_chain(d, config)[1:])]


def _chain(difference: Difference, config: DictConfig) -> list[str]:
    """Return a key and those from which its value comes."""
    chain = [difference.key]
    raw = OmegaConf.to_container(config, resolve=False)
    for key in chain:
        value: Any = raw
        for step in (f"{key}._target_" if difference.is_class and key == difference.key else key).split("."):
            value = value.get(step) if isinstance(value, dict) else None
        chain += [name for name in re.findall(r"\$\{([\w.]+)\}", str(value)) if name not in chain]
    return chain


def _is_within(key: str, part: str) -> bool:
    return key == part or key.startswith(f"{part}.")


def _class(target: Any) -> str:
    """Return a class's own name: it may have moved to another module since."""
    return str(target).rpartition(".")[2]


def packages_of(config: DictConfig) -> list[str]:
    """Return the packages whose code the user's own configuration of the model runs."""
    model = OmegaConf.to_container(OmegaConf.masked_copy(config, list(MODEL_KEYS)), resolve=False)
    return sorted(set(re.findall(r"'_target_': '(\w+)\.", str(model))))
