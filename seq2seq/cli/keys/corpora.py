"""Short names for the parts of `data=mixture`: `data.corpora.news=text`, then `data.corpora.news.train.source=FILE`."""

import json
import re
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seq2seq.config_files import choices_of, file_of
from seq2seq.data.mixture import check_name
from seq2seq.errors import UserError, nearest

PART = re.compile(r"\+{0,2}data\.corpora\.([^.=]+)=(.*)", re.DOTALL)
"""An override that says which kind of corpus a part is."""


def with_parts(overrides: list[str]) -> list[str]:
    """Return overrides in which the kind of a part of a mixture is all keys of that kind, as Hydra takes them.

    Kinds come first: what follows under a part's name is merged into its keys, wherever it was typed.

    Raises:
        UserError: there is no such kind.
    """
    return [_whole(override) for override in sorted(overrides, key=lambda override: not PART.fullmatch(override))]


def _whole(override: str) -> str:
    found = PART.fullmatch(override)
    if found is None or found[2].startswith(("{", "'{")) or found[2] in ("", "null"):
        return override
    name, kind = found[1], found[2]
    check_name(name)
    kinds = [choice for choice in choices_of("data") if choice != "mixture"]
    if kind not in kinds:
        raise UserError(f"data.corpora.{name}={kind}: there is no such kind of corpus; {nearest(kind, kinds)}")
    return f"++data.corpora.{name}={_flow(_keys_of(kind))}"


def _keys_of(kind: str) -> dict[str, Any]:
    """Return what the file of a kind says of the corpus, with a weight and a tag that say nothing."""
    config = OmegaConf.load(file_of("data", kind))
    assert isinstance(config, DictConfig)
    keys: Any = OmegaConf.to_container(config.get("data", config), resolve=False)
    return {**keys, "weight": None, "tag": None}


def _flow(value: Any) -> str:
    """Return a value in the syntax of Hydra's overrides."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, str):
        return "'" + value.replace("'", "\\'") + "'"
    return json.dumps(value)
