"""Sequence-to-sequence training made to see and to compare attention."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seq2seq.api import Model, load
    from seq2seq.api_training import Run, average, compare, train

__all__ = ["Model", "Run", "average", "compare", "load", "train"]
__version__ = "0.1.0"

_HOMES = dict.fromkeys(("Model", "load"), "api") | dict.fromkeys(("Run", "average", "compare", "train"), "api_training")


def __getattr__(name: str) -> Any:
    """Import what Python users need when they ask for it, so that `import seq2seq` takes milliseconds."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
