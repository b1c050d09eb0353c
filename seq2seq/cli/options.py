"""Overrides as a person types them, composed into a command's configuration."""

import re
import sys

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from seq2seq.build import config_folder


def quote(overrides: list[str], *, sweep: bool = False, text_keys: tuple[str, ...] = ()) -> list[str]:
    """Return overrides that Hydra reads as they were meant: a value that is no Hydra syntax is quoted text.

    Args:
        overrides: `key=value`, as the shell handed them over; options (`--...`) pass through.
        sweep: whether `a,b` means one run each; else it is text.
        text_keys: keys whose values are always text, whatever they look like.
    """
    return [_quote(override, sweep=sweep, text_keys=text_keys) for override in overrides]


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
            if sweep or not parsed.is_sweep_override():
                return override
        except HydraException:
            pass
    # Hydra takes backslashes for escapes only where they stand before a quote, the closing one included.
    value = re.sub(r"(\\*)'", lambda found: found[1] * 2 + "\\'", value)
    value = re.sub(r"(\\+)$", lambda found: found[1] * 2, value)
    return f"{key}='{value}'"


def compose_defaults(command: str, overrides: list[str]) -> DictConfig:
    """Return the composed configuration of a command."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_folder(), version_base="1.3"):
        config = compose(command, overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    with open_dict(config):
        del config["hydra"]
    return config


def command_config(command: str, arguments: list[str], *, text_keys: tuple[str, ...]) -> DictConfig | None:
    """Return the configuration of a command that runs once; None where only its help was asked for, and printed."""
    if any(argument in ("-h", "--help") for argument in arguments):
        print(f"seq2seq {command} [key=value ...], with these keys and defaults:\n")
        sys.stdout.write(OmegaConf.to_yaml(compose_defaults(command, [])))
        return None
    return compose_defaults(command, quote(arguments, text_keys=text_keys))
