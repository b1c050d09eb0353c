"""What the keys of a configuration may say: of which type, how large, which words."""

import difflib
import math
import pydoc
import re
import sys
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from seq2seq.cli.keys.added import check_added
from seq2seq.cli.keys.own_files import check_own_files, check_own_name
from seq2seq.cli.keys.shorthand import group_of
from seq2seq.config_files import choices_of, config_folder, group_names
from seq2seq.errors import UserError, nearest
from seq2seq.options import composed, other_kind

MAY_BE_MINUS_1 = ("max_steps", "max_epochs", "save_top_k")
"""Last parts of keys whose numbers may be -1: without end, or all."""

MAY_BE_NULL = ("gradient_clip_val", "check_val_every_n_epoch", "every_n_minutes", "val_check_interval")
"""Last parts of keys whose default is a number, and which null switches off."""

NEVER_NULL = ("accelerator", "candidates", "coverage", "guided_alignment", "length_penalty", "strategy")
"""Last parts of keys whose default is a word or has keys of its own, and which null does not switch off."""

ABOVE_0 = (
    *("accumulate_grad_batches", "check_val_every_n_epoch", "base", "d_attention", "d_embedding"),
    *("d_feedforward", "d_hidden", "d_model", "d_readout", "dilation", "eval_tokens_per_batch", "every"),
    *("gradient_clip_val", "k", "limit_train_batches", "log_every_n_steps", "max_distance", "max_epochs"),
    *("max_length", "max_positions", "max_steps", "num_features", "num_heads", "num_key_heads", "num_layers"),
    *("sentences", "temperature", "tokens_per_batch", "val_check_interval"),
)
"""Last parts of keys whose numbers must be above 0."""

WEIGHT = re.compile(r"data\.corpora\.[^.]+\.weight")
"""Keys of the weights of corpora, which must be above 0, too."""

WHOLE_OR_NULL = (
    *("d_attention", "d_hidden", "d_readout", "every_n_steps", "first_token", "gold_first_index"),
    *("hypothesis_first_index", "layer"),
    *("links_first_index", "num_key_heads", "sentences", "total_steps"),
)
"""Last parts of keys whose default is null, and whose other values are whole numbers."""

TRUTH_OR_NULL = ("lowercase",)
"""Last parts of keys whose default may be null, and whose other values are true and false."""

SHARES = ("dropout", "momentum")
"""Ends of keys whose numbers are from 0 to below 1."""

METRICS = (
    *("bleu", "chrf", "loss", "perplexity", "token_accuracy"),
    *("aer", "aer_argmax", "entropy", "sink_mass", "nowhere"),
)
WORDS: dict[str, tuple[Any, ...]] = {
    "accelerator": ("auto", "cpu", "gpu", "cuda", "mps", "tpu"),
    "by": ("importance", "raw_importance", "ablation", "random"),
    "deterministic": (True, False, "warn"),
    "form": ("raw", "tokenized"),
    "interval": ("step", "epoch"),
    "logging_interval": ("step", "epoch"),
    "mode": ("min", "max"),
    "model_type": ("bpe", "unigram", "char"),
    "monitor": tuple(f"val/{metric}" for metric in METRICS),
    "precision": ("auto", "32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true"),
    "profiler": ("simple", "advanced", "pytorch"),
    "quantity": ("weights", "norms"),
    "rnn": ("GRU", "LSTM"),
    "row": ("output", "input"),
    "strategy": ("auto", "ddp", "ddp_find_unused_parameters_true", "fsdp"),
    "unit": ("words", "pieces"),
}
"""What keys of one of these last parts may say. Where a default is another word, the command checks its key itself."""

ELSEWHERE = {
    **dict.fromkeys(("32", "fp32", "float32", "full"), "32-true"),
    **dict.fromkeys(("16", "fp16", "float16", "half"), "16-mixed"),
    **dict.fromkeys(("bf16", "bfloat16"), "bf16-mixed"),
    **dict.fromkeys(("64", "fp64", "float64", "double"), "64-true"),
}
"""What other programs, or PyTorch, call such a word."""

DEVICES = r"auto|-1|[1-9]\d*|\d+(,\d+)+|\[\d+(, \d+)*\]"
FORMS = {
    "trainer.devices": (DEVICES, "a number of them, -1 for all, a list such as [0,1], or auto"),
    "trainer.max_time": (r"\d+:\d+:\d+:\d+", "days:hours:minutes:seconds, such as 00:12:00:00"),
    "trainer.val_check_interval": (
        r"[2-9]|[1-9]\d+|0\.\d*[1-9]\d*|1\.0",  # 1 batch is a whole epoch for some of Lightning's parts
        "a number of batches above 1, or a share of an epoch, such as 0.5",
    ),
}
"""What the text of these keys looks like, as a pattern and in words."""

OF_SEVERAL_KINDS = ("resume", "trainer.devices", "trainer.deterministic")
"""Keys that take text as well, whatever their default is."""


def check_types(command: str, overrides: list[str]) -> None:
    """Refuse text where a key's default is a number or a truth value, unknown words, and classes that do not exist.

    Raises:
        UserError: naming the key, the value and what is expected.
    """
    given = [override for override in overrides if not override.startswith("-")]
    check_choices(given)
    groups = [override for override in given if group_of(override.partition("=")[0])[0] in group_names()]
    config, defaults = composed(command, tuple(given)), composed(command, tuple(groups))
    check_added(command, given, config, defaults)
    check_values(given, config, defaults)
    check_own_files(command, config, check_values)


def without_empty_groups(command: str, overrides: list[str]) -> list[str]:
    """Return overrides without `experiment=null` and the like, of groups that a command is whole without.

    There it is what holds anyway, and Hydra does not take it.
    """
    if not any(override.endswith("=null") for override in overrides):
        return overrides
    usual = composed(command, ()).hydra.runtime.choices
    empty = {f"{group}=null" for group, choice in usual.items() if choice is None}
    return [override for override in overrides if override not in empty]


def check_choices(overrides: list[str]) -> None:
    """Refuse what cannot be the name of a group's choice.

    Raises:
        UserError: naming the choices.
    """
    for override in overrides:
        key, _, choice = override.partition("=")
        group, name = group_of(key)
        if group not in group_names():
            continue
        none = choice in ("", "null")
        several = choice.startswith("[") and _is_one_object(group)
        if none or several or re.fullmatch(r"-?[\d.]+", choice):
            options = ", ".join(choices_of(group))
            raise UserError(f"{name}={choice}: there is no such choice; the options are {options}")
        check_own_name(group, choice)


def _is_one_object(group: str) -> bool:
    """Return whether each file of a group makes one object: then several files together mean nothing."""
    files = (config_folder() / group).glob("*.yaml")
    return all(re.search(r"^_target_:", file.read_text(encoding="utf-8"), re.MULTILINE) for file in files)


def check_values(overrides: list[str], config: DictConfig, defaults: DictConfig) -> None:
    """Refuse values that a configuration has by overrides, and that never work.

    Args:
        overrides: those whose keys are looked at.
        config: the configuration with them.
        defaults: the same choices of groups without them.

    Raises:
        UserError: naming the key, the value and what is expected.
    """
    for override in overrides:
        _, key = group_of(override.partition("=")[0].lstrip("+"))
        if key.startswith(("hydra", "~")):  # what is taken away has no value
            continue
        value, default = (OmegaConf.select(c, key, throw_on_missing=False) for c in (config, defaults))
        for fault_of in (_number_fault, _null_fault, _word_fault, _form_fault, _kind_fault):
            if fault := fault_of(key, value, default):
                raise UserError(f"{key}={'null' if value is None else value}{fault}")


def _number_fault(key: str, value: Any, default: Any) -> str | None:
    """Return what is wrong with the size of a number, to be read after it."""
    last = _last_part(key)
    if last == "betas" and not (isinstance(value, ListConfig) and len(value) == 2 and all(map(_is_share, value))):
        return f": expected two numbers from 0 to below 1, such as {default}"
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    example = f", such as {default}" if isinstance(default, int | float) else ""
    above = last in ABOVE_0 or WEIGHT.fullmatch(key)
    expected = "above 0" if above else "0 or above"
    signed = isinstance(default, int | float) and default < 0 and last not in MAY_BE_MINUS_1
    if not math.isfinite(value):
        return f": expected a finite number{'' if signed else f', {expected}'}{example}"
    low = value < 0 or (value == 0 and above)
    if low and last in MAY_BE_MINUS_1:
        low = value != -1
    if low and not signed and key not in FORMS:
        none = ", or null for none" if last in MAY_BE_NULL else ", or -1" if last in MAY_BE_MINUS_1 else ""
        return f": expected {expected}{none}{example}"
    if last.endswith(SHARES) and value >= 1:
        return f": expected a share from 0 to below 1{example}"
    return None


def _null_fault(key: str, value: Any, default: Any) -> str | None:
    """Return that a key cannot do without a value."""
    if value is not None:
        return None
    last = _last_part(key)
    if isinstance(default, DictConfig):
        needed = "." not in key or last in NEVER_NULL
        return f": a run needs it; its keys are {', '.join(map(str, default))}" if needed else None
    if (isinstance(default, int | float) and last not in MAY_BE_NULL) or last in NEVER_NULL:
        return f": expected a value, such as {default}"
    return None


def _word_fault(key: str, value: Any, default: Any) -> str | None:
    """Return that a word or a class is not known, and the nearest that is."""
    words = WORDS.get(_last_part(key))
    ours = words and (default in words or default is None)
    if words and ours and value not in (*words, None) and not isinstance(value, DictConfig):
        meant = ELSEWHERE.get(str(value), str(value))
        return f" is not known; {nearest(meant, map(str, words))}"
    if key.endswith("_target_") and isinstance(value, str):
        return _class_fault(value, str(default))
    return None


def _form_fault(key: str, value: Any, default: Any) -> str | None:
    """Return what the text of a key is to look like."""
    form, meaning = FORMS.get(key, (".*", ""))
    plain = value is not None and not isinstance(value, DictConfig)
    return f": expected {meaning}" if plain and not re.fullmatch(form, str(value), re.DOTALL) else None


def _kind_fault(key: str, value: Any, default: Any) -> str | None:
    """Return the type that a value must keep."""
    if isinstance(default, DictConfig) and value is not None and not isinstance(value, DictConfig):
        inner = ", ".join(f"{key}.{name!s}" for name in default) or f"{key}.NAME=..."
        return f": it has keys of its own, each to be set by itself: {inner}"
    if default is None and _last_part(key) in WHOLE_OR_NULL:
        whole = value is None or (isinstance(value, int) and not isinstance(value, bool))
        return None if whole else ": expected a whole number, or null"
    if default is None and _last_part(key) in TRUTH_OR_NULL:
        return None if value is None or isinstance(value, bool) else ": expected true or false, or null"
    name = other_kind(value, default)
    if name is None or value is None or key in OF_SEVERAL_KINDS:
        return None
    several = "; for one run each of several, --multirun" if "," in str(value) else ""
    return f": expected {name}, such as {default}{several}"


def _last_part(key: str) -> str:
    return key.rpartition(".")[2]


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def _class_fault(target: str, default: str) -> str | None:
    """Return why a dotted name leads to nothing that can be called, and the remedy."""
    try:
        if ".." not in target and callable(pydoc.locate(target)):
            return None
    except pydoc.ErrorDuringImport as error:
        return f": {error.filename} cannot be imported: {type(error.value).__name__}: {error.value}"
    module, _, name = target.rpartition(".")
    home = sys.modules.get(module)
    if home is not None and not module.startswith("seq2seq"):
        return f": {module} has no {name}; {nearest(name, vars(home))}"
    near = difflib.get_close_matches(target, {default, *_targets()}, n=1, cutoff=0.5)
    if near or module.startswith("seq2seq"):
        return f": there is no such class; {nearest(target, {default, *_targets()})}"
    return f": there is no module {module or target} here or among the installed packages"


def _targets() -> set[str]:
    """Return every class that a configuration file names."""
    texts = (path.read_text(encoding="utf-8") for path in config_folder().rglob("*.yaml"))
    return {name for text in texts for name in re.findall(r"^\s*_target_: ([\w.]+)(?:\s|$)", text, re.MULTILINE)}
