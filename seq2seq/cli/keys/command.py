"""The configuration of a command that runs once."""

import logging

from omegaconf import DictConfig, ListConfig, OmegaConf

from seq2seq.cli.keys.corpora import with_parts
from seq2seq.cli.keys.quoting import quote
from seq2seq.cli.keys.values import check_types, without_empty_groups
from seq2seq.errors import UserError
from seq2seq.options import compose_defaults, composed

log = logging.getLogger(__name__)


def command_config(
    command: str, arguments: list[str], *, text_keys: tuple[str, ...], sentences: tuple[str, ...] = ()
) -> DictConfig:
    """Return the configuration of a command that runs once; the keys are as `quote` takes them."""
    for argument in arguments:
        if "=" not in argument and not argument.startswith(("-", "~")):
            raise UserError(f"{argument}: expected key=value, such as {text_keys[0]}={argument}")
        if argument.startswith("-"):
            raise UserError(f"{argument}: there is no such option; expected key=value, or --help")
    defaults = composed(command, ())
    texts = (*text_keys, *sentences)
    optional = [f"{key}=null" for key in texts if OmegaConf.select(defaults, key, default="") is None]
    given = [argument for argument in arguments if argument not in optional]  # they are null already
    quoted = quote(given, text_keys=text_keys, sentences=sentences)
    overrides = with_parts(without_empty_groups(command, quoted))
    check_types(command, overrides)
    config = compose_defaults(command, overrides)
    trusted = config.get("trusted", OmegaConf.create([]))
    if not (isinstance(trusted, ListConfig) and all(isinstance(package, str) for package in trusted)):
        raise UserError(f"trusted={trusted}: expected a list of packages, such as [my_models]")
    for key, value in config.get("loader", {}).items():
        if key != "cache_dir" and value is not None and not (isinstance(value, int) and value > 0):
            raise UserError(f"loader.{key}={value}: expected a whole number above 0")
    return config


def warn_of_limit(arguments: list[str], search: DictConfig, needed: int, what: str) -> None:
    """Say that a search, left to its default, ends before what is needed: characters and bytes make many pieces.

    Minimum Bayes risk has the limit of the search that finds its candidates.
    """
    key = "search.candidates.max_length" if "candidates" in search else "search.max_length"
    max_length = OmegaConf.select(search, key.removeprefix("search."))
    asked = any(argument.startswith(f"{key}=") for argument in arguments)
    if not asked and max_length is not None and max_length < needed:
        log.warning("%s=%d: %s, up to %d; say %s=%d", key, max_length, what, needed, key, needed)
