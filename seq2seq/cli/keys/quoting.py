"""Overrides as a person types them, as Hydra reads them."""

import os
import re

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

HOME = re.compile(r"~([^/]*/|$)")
"""How a path begins that leads to a home folder."""

NAMED = re.compile(
    r"begin_with|label|(tokenizer\.)?checkpoint|loader\.cache_dir|"
    r"data\.(.+\.)?(source|target|links|train|val|test|root|tag)"
)
"""Keys whose values are names: of files, mostly, and a file may be called `1e3`."""


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
            number = isinstance(parsed.value(), int | float) and NAMED.fullmatch(key.lstrip("+"))
            unchanged = value[0] in "'\"" or not isinstance(parsed.value(), str) or parsed.value() == value
            if not number and (sweep or (unchanged and not parsed.is_sweep_override())):
                return override
        except HydraException:
            pass
    # Hydra takes backslashes for escapes only where they stand before a quote, the closing one included.
    value = re.sub(r"(\\*)'", lambda found: found[1] * 2 + "\\'", value)
    value = re.sub(r"(\\+)$", lambda found: found[1] * 2, value)
    return f"{key}='{value}'"
