"""Overrides as a person types them, composed into a command's configuration."""

import copy
import difflib
import math
import os
import pydoc
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

import seq2seq
from seq2seq.errors import UserError

KINDS: tuple[tuple[Any, str], ...] = ((bool, "true or false"), (int, "a whole number"), (float | int, "a number"))
"""Types that a value must keep, and what to call them; the first that fits the default counts."""

MAY_BE_MINUS_1 = ("max_steps", "max_epochs", "save_top_k")
"""Last parts of keys whose numbers may be -1: without end, or all."""

MAY_BE_NULL = ("gradient_clip_val", "check_val_every_n_epoch", "every_n_minutes", "val_check_interval")
"""Last parts of keys whose default is a number, and which null switches off."""

NEVER_NULL = ("accelerator", "strategy")
"""Last parts of keys whose default is a word, and which null does not switch off."""

ABOVE_0 = (
    "accumulate_grad_batches",
    "check_val_every_n_epoch",
    "d_embedding",
    "d_feedforward",
    "d_model",
    "eval_tokens_per_batch",
    "every",
    "gradient_clip_val",
    "limit_train_batches",
    "log_every_n_steps",
    "lr",
    "max_epochs",
    "max_length",
    "max_steps",
    "num_heads",
    "num_layers",
    "tokens_per_batch",
    "val_check_interval",
)
"""Last parts of keys whose numbers must be above 0."""

SHARES = ("dropout", "momentum")
"""Ends of keys whose numbers are from 0 to below 1."""

METRICS = ("bleu", "chrf", "loss", "perplexity", "token_accuracy", "aer", "aer_argmax", "entropy", "sink_mass")
WORDS: dict[str, tuple[Any, ...]] = {
    "accelerator": ("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    "deterministic": (True, False, "warn"),
    "form": ("raw", "tokenized"),
    "interval": ("step", "epoch"),
    "logging_interval": ("step", "epoch"),
    "mode": ("min", "max"),
    "model_type": ("bpe", "unigram"),
    "monitor": tuple(f"val/{metric}" for metric in METRICS),
    "precision": ("auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true"),
    "profiler": ("simple", "advanced", "pytorch"),
    "rnn": ("GRU", "LSTM"),
    "strategy": ("auto", "ddp", "ddp_find_unused_parameters_true", "fsdp"),
    "unit": ("words", "pieces"),
}
"""What keys of one of these last parts may say."""

DEVICES = r"auto|-1|[1-9]\d*|\d+(,\d+)+|\[\d+(, \d+)*\]"
FORMS = {
    "trainer.devices": (DEVICES, "a number of them, -1 for all, a list such as [0,1], or auto"),
    "trainer.max_time": (r"\d+:\d+:\d+:\d+", "days:hours:minutes:seconds, such as 00:12:00:00"),
    "trainer.val_check_interval": (
        r"[1-9]\d*|0\.\d*[1-9]\d*|1\.0",
        "a number of batches, or a share of an epoch, such as 0.5",
    ),
}
"""What the text of these keys looks like, as a pattern and in words."""

OF_SEVERAL_KINDS = ("resume", "trainer.devices", "trainer.deterministic")
"""Keys that take text as well, whatever their default is."""


HOME = re.compile(r"~([^/]*/|$)")
"""How a path begins that leads to a home folder."""


def quote(
    overrides: list[str], *, sweep: bool = False, text_keys: tuple[str, ...] = (), sentences: tuple[str, ...] = ()
) -> list[str]:
    """Return overrides that Hydra reads as they were meant: a value that is no Hydra syntax is quoted text.

    A value that begins with `~/` or `~name/` is a place in a home folder, as at the beginning of a shell's word.

    Args:
        overrides: `key=value`, as the shell handed them over; options (`--...`) pass through.
        sweep: whether `a,b` means one run each; else it is text.
        text_keys: keys whose values are always text, whatever they look like.
        sentences: keys whose values are that, and never a place.
    """
    at_home = [override if override.partition("=")[0] in sentences else _at_home(override) for override in overrides]
    return [_quote(override, sweep=sweep, text_keys=(*text_keys, *sentences)) for override in at_home]


def _at_home(override: str) -> str:
    key, equals, value = override.partition("=")
    return f"{key}={os.path.expanduser(value)}" if equals and HOME.match(value) else override


def _quote(override: str, *, sweep: bool, text_keys: tuple[str, ...]) -> str:
    key, equals, value = override.partition("=")
    if not equals or override.startswith("-") or not value:
        return override
    if key.lstrip("+") in text_keys:
        # A `${` in a text is no interpolation; OmegaConf takes backslashes before it for escapes.
        value = re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + "\\${", value)
    else:
        try:
            parsed = OverridesParser.create().parse_override(override)
            # Hydra takes away backslashes and outer spaces of a text that stands without quotes.
            unchanged = value[0] in "'\"" or not isinstance(parsed.value(), str) or parsed.value() == value
            if sweep or (unchanged and not parsed.is_sweep_override()):
                return override
        except HydraException:
            pass
    # Hydra takes backslashes for escapes only where they stand before a quote, the closing one included.
    value = re.sub(r"(\\*)'", lambda found: found[1] * 2 + "\\'", value)
    value = re.sub(r"(\\+)$", lambda found: found[1] * 2, value)
    return f"{key}='{value}'"


def config_folder() -> Path:
    """Return the folder of YAML files: inside an installed package, or beside the package in a checkout."""
    package = Path(seq2seq.__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def compose_defaults(command: str, overrides: list[str]) -> DictConfig:
    """Return the composed configuration of a command."""
    config = compose_hydra(command, overrides)
    with open_dict(config):
        del config["hydra"]
    return config


def compose_hydra(command: str, overrides: list[str]) -> DictConfig:
    """Return the composed configuration of a command together with Hydra's own."""
    config = copy.deepcopy(_composed(command, tuple(overrides)))
    HydraConfig.instance().set_config(config)
    return config


@lru_cache(maxsize=16)
def _composed(command: str, overrides: tuple[str, ...]) -> DictConfig:
    """Compose; kept, because a command looks at few configurations, each several times, before it begins."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose(command, list(overrides), return_hydra_config=True)


def check_types(command: str, overrides: list[str]) -> None:
    """Refuse text where a key's default is a number or a truth value, unknown words, and classes that do not exist.

    Raises:
        UserError: naming the key, the value and what is expected.
    """
    given = [override for override in overrides if not override.startswith("-")]
    usual = _composed(command, ()).hydra.runtime.choices
    for override in given:
        group, _, choice = override.partition("=")
        # Of a group that a command is whole without, null is a choice.
        none = choice == "" or (choice == "null" and usual.get(group)) or re.fullmatch(r"-?[\d.]+", choice)
        if group in _group_names() and none:
            choices = sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))
            raise UserError(f"{override}: there is no such choice; the options are {', '.join(choices)}")
    groups = [o for o in given if "." not in o.partition("=")[0] and o.partition("=")[0] in _group_names()]
    config, defaults = compose_defaults(command, given), compose_defaults(command, groups)
    for override in given:
        key = override.partition("=")[0].lstrip("+")
        if key.startswith(("hydra", "~")):  # what is taken away has no value
            continue
        value, default = (OmegaConf.select(c, key, throw_on_missing=False) for c in (config, defaults))
        last = key.rpartition(".")[2]
        if isinstance(value, int | float) and not isinstance(value, bool):
            low = value < 0 or (value == 0 and last in ABOVE_0)
            if low and last in MAY_BE_MINUS_1:
                low = value != -1
            example = f", such as {default}" if isinstance(default, int | float) else ""
            if (low and key not in FORMS) or not math.isfinite(value):
                expected = "above 0" if last in ABOVE_0 else "0 or above"
                none = ", or null for none" if last in MAY_BE_NULL else ", or -1" if last in MAY_BE_MINUS_1 else ""
                raise UserError(f"{key}={value}: expected {expected}{none}{example}")
            if last.endswith(SHARES) and value >= 1:
                raise UserError(f"{key}={value}: expected a share from 0 to below 1{example}")
        if value is None and isinstance(default, int | float) and last not in MAY_BE_NULL:
            raise UserError(f"{key}=null: expected a value, such as {default}")
        if value is None and isinstance(default, DictConfig) and "." not in key:
            raise UserError(f"{key}=null: a run needs it; its keys are {', '.join(map(str, default))}")
        if value is None and last in NEVER_NULL:
            raise UserError(f"{key}=null: expected a value, such as {default}")
        words = WORDS.get(key.rpartition(".")[2])
        if words and value not in (*words, None) and not isinstance(value, DictConfig):
            raise UserError(f"{key}={value} is not known; {nearest(str(value), map(str, words))}")
        if last == "betas" and not (isinstance(value, ListConfig) and len(value) == 2 and all(map(_is_share, value))):
            raise UserError(f"{key}={value}: expected two numbers from 0 to below 1, such as {default}")
        if key.endswith("_target_") and isinstance(value, str) and not _exists(value):
            raise UserError(f"{key}={value}: there is no such class; {nearest(value, {str(default), *_targets()})}")
        form, meaning = FORMS.get(key, (".*", ""))
        plain = value is not None and not isinstance(value, DictConfig)
        if plain and not re.fullmatch(form, str(value), re.DOTALL):
            raise UserError(f"{key}={value}: expected {meaning}")
        for kind, name in () if key in OF_SEVERAL_KINDS else KINDS:
            if isinstance(default, kind) and not isinstance(value, kind) and value is not None:
                several = "; for one run each of several, --multirun" if "," in str(value) else ""
                raise UserError(f"{key}={value}: expected {name}, such as {default}{several}")
            if isinstance(default, kind):
                break


def nearest(word: str, options: Iterable[str]) -> str:
    """Return a hint at the nearest option, or the list of them where none is near."""
    options = list(options)
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    if not near:  # a key known by its last part alone: `beam_size` for `search.beam_size`
        near = [option for option in options if option.rsplit(".", 1)[-1] == word.rsplit(".", 1)[-1]][:1]
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(options)[:20])}"


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def _exists(target: str) -> bool:
    """Return whether a dotted name leads to something that can be called."""
    try:
        return ".." not in target and callable(pydoc.locate(target))
    except pydoc.ErrorDuringImport:
        return False


def _targets() -> set[str]:
    """Return every class that a configuration file names."""
    texts = (path.read_text(encoding="utf-8") for path in config_folder().rglob("*.yaml"))
    return {name for text in texts for name in re.findall(r"^\s*_target_: ([\w.]+)(?:\s|$)", text, re.MULTILINE)}


def _group_names() -> list[str]:
    """Return the groups of configuration files."""
    return [path.name for path in config_folder().iterdir() if path.is_dir()]


def command_config(
    command: str, arguments: list[str], *, text_keys: tuple[str, ...], sentences: tuple[str, ...] = ()
) -> DictConfig:
    """Return the configuration of a command that runs once; the keys are as `quote` takes them."""
    for argument in arguments:
        if "=" not in argument and not argument.startswith(("-", "~")):
            raise UserError(f"{argument}: expected key=value, such as {text_keys[0]}={argument}")
        if argument.startswith("-"):
            raise UserError(f"{argument}: there is no such option; expected key=value, or --help")
    defaults = compose_defaults(command, [])
    texts = (*text_keys, *sentences)
    optional = [f"{key}=null" for key in texts if OmegaConf.select(defaults, key, default="") is None]
    given = [argument for argument in arguments if argument not in optional]  # they are null already
    overrides = quote(given, text_keys=text_keys, sentences=sentences)
    check_types(command, overrides)
    config = compose_defaults(command, overrides)
    trusted = config.get("trusted", OmegaConf.create([]))
    if not (isinstance(trusted, ListConfig) and all(isinstance(package, str) for package in trusted)):
        raise UserError(f"trusted={trusted}: expected a list of packages, such as [my_models]")
    for key, value in config.get("loader", {}).items():
        if key != "cache_dir" and value is not None and not (isinstance(value, int) and value > 0):
            raise UserError(f"loader.{key}={value}: expected a whole number above 0")
    return config
