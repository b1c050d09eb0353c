"""Plain data on its way into OmegaConf, which would take a `${` in a path for an interpolation."""

import re
from typing import Any


def as_text(value: Any) -> Any:
    """Return the same data, for OmegaConf to read every text in it as it stands."""
    if isinstance(value, dict):
        return {key: as_text(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_text(inner) for inner in value]
    if isinstance(value, str):  # backslashes before it are escapes too
        return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + "\\${", value)
    return value
