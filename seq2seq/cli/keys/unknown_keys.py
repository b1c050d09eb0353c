"""A key that a command does not have, and the one that was meant."""

import re
from collections.abc import Iterable

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seq2seq.cli.keys.corpora import PART
from seq2seq.cli.keys.shorthand import SHORT, expand
from seq2seq.errors import UserError, nearest
from seq2seq.options import compose_defaults, composed

KEY_OF_CLASS = re.compile(r"(^|\.)_|_$")
"""What a key has in it where somebody means `_target_` or `_partial_`, misspelt or not."""

OTHER_NAMES = {
    "checkpoint": "ckpt model_path",
    "device": "cuda gpu",
    "encoder.d_feedforward": "d_ff dim_feedforward ff_size ffn_dim",
    "encoder.num_heads": "heads n_heads nhead num_attention_heads",
    "loader.num_workers": "workers",
    "loader.tokens_per_batch": "batch batch_size batch_tokens bsz max_tokens",
    "model.d_model": "embed_dim hidden hidden_dim hidden_size rnn_size",
    "model.num_layers": "layers n_layers num_hidden_layers",
    "optimizer.lr": "learning_rate",
    "score": "attention attention_type attn",
    "search.beam_size": "beam beams num_beams",
    "tokenizer.vocab_size": "bpe_size vocab",
    "trainer.accelerator": "cuda device gpu use_gpu",
    "trainer.devices": "gpus n_gpu n_gpus num_gpus world_size",
    "trainer.gradient_clip_val": "clip clip_norm grad_clip max_grad_norm",
    "trainer.max_epochs": "n_epochs num_epochs num_train_epochs",
    "trainer.max_steps": "iterations max_update steps train_steps",
    "trainer.precision": "amp bf16 fp16 mixed_precision",
}
"""Keys, and what other programs call them."""


def no_such_key(key: str, command: str, overrides: list[str]) -> str:
    """Return that a command has no such key, and which was meant, under the choices that overrides make."""
    if key.startswith("hydra."):
        known = [name for name in keys(composed(command, ())) if name.startswith("hydra.")]
        known = [name for name in known if not key.startswith(f"{name}.")]
        return f"there is no key {key}; {nearest(key, known)}"
    return no_key_of(known_keys(command, choices_without(key, overrides)), key, command)


def no_key_of(known: list[str], key: str, command: str) -> str:
    """Return the same, of keys that are known already."""
    if not KEY_OF_CLASS.search(key):  # else somebody does mean a class
        known = [name for name in known if not name.endswith("_")]
    # What holds for the whole model stands before what holds for a part of it.
    known = sorted((n for n in known if not key.startswith(f"{n}.")), key=lambda name: not name.startswith("model."))
    last = key.rpartition(".")[2]
    ours = [name for name, others in OTHER_NAMES.items() if last in others.split() and name in known]
    hint = f"did you mean {ours[0]}?" if ours else nearest(key, known)
    return f"there is no key {key}; {hint if hint.endswith('?') else f'seq2seq {command} --help lists the keys'}"


def choices_without(key: str, overrides: list[str]) -> list[str]:
    """Return the overrides of groups and of whole corpora, without a key that does not exist."""
    choices = [o for o in overrides if not {"+", "/", "."} & set(o.partition("=")[0]) or PART.fullmatch(o)]
    return [o for o in choices if not o.startswith((f"{key}=", "-"))]


def known_keys(command: str, choices: list[str]) -> list[str]:
    """Return the keys that there are under choices of groups, of a sweep the first; short names with them."""
    firsts = [choice.partition(",")[0] for choice in choices]
    try:
        config = compose_defaults(command, expand(firsts)[0] if command == "train" else firsts)
    except (HydraException, OmegaConfBaseException, UserError):  # one of them is wrong as well
        config = compose_defaults(command, [])
    return [*keys(config), *(SHORT if command == "train" else ())]


def keys(config: DictConfig) -> list[str]:
    """Return every key of a configuration, nested ones joined with dots."""

    def walk(node: DictConfig, prefix: str) -> Iterable[str]:
        for name in map(str, node):
            key = f"{prefix}{name}"
            yield key
            if not OmegaConf.is_missing(node, name) and not OmegaConf.is_interpolation(node, name):
                value = node[name]
                if isinstance(value, DictConfig):
                    yield from walk(value, f"{key}.")

    return list(walk(config, ""))
