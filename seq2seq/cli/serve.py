"""`seq2seq serve`: a live page of one or several models, and an HTTP API under it."""

import importlib
import logging
import os
import sys
from types import ModuleType

from seq2seq.api import Model
from seq2seq.build import tokenizers_of
from seq2seq.cli.keys.checkpoints import paths_of, read_checkpoints
from seq2seq.cli.keys.command import command_config
from seq2seq.decoding.ensemble import MEANS
from seq2seq.errors import UserError


def main(arguments: list[str]) -> None:
    """Run the command, until a signal ends it."""
    config = command_config("serve", arguments, text_keys=("checkpoint", "export", "host", "tag"))
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("seq2seq.serving").setLevel(logging.INFO)
    if config.export is not None and len(paths_of("checkpoint", config.checkpoint)) > 1:
        raise UserError(f"export={config.export} is of one model; give its checkpoint alone")
    if config.ensemble is not None and config.ensemble not in MEANS:
        raise UserError(f"ensemble={config.ensemble} is not known; use {' or '.join(MEANS)}")
    if config.ensemble is not None and len(paths_of("checkpoint", config.checkpoint)) == 1:
        raise UserError(f"ensemble={config.ensemble} joins several models; give checkpoint=[FILE,FILE]")
    serving = _needed("seq2seq.serving.server", "serve", "serve")
    limits = serving.Limits(
        bytes=_above_0("limits.bytes", config.limits.bytes),
        lines=_above_0("limits.lines", config.limits.lines),
        waiting=_above_0("limits.waiting", config.limits.waiting),
        seconds=_above_0("limits.seconds", config.limits.seconds),
    )
    tokens = _above_0("batching.tokens", config.batching.tokens)
    wait = config.batching.milliseconds / 1000
    if wait >= limits.seconds:
        raise UserError(
            f"batching.milliseconds={config.batching.milliseconds} is not below limits.seconds={limits.seconds}, so "
            "no request would be answered in time; give less, such as 5"
        )
    with serving.open_port(config.host, config.port) as listening:
        # The port is taken, or refused, before the models are read, which takes long.
        checkpoints = read_checkpoints("checkpoint", config.checkpoint, trusted=config.trusted)
        # Models without tags stand beside others that have some; where none has any, tag= is a mistake.
        having = [bool(tokenizers_of(checkpoint).source.tag_ids) for checkpoint in checkpoints]
        models = [
            Model(checkpoint, device=config.device, tag=config.tag if has or not any(having) else None)
            for checkpoint, has in zip(checkpoints, having, strict=True)
        ]
        if config.ensemble is not None:
            models = [models[0].joined(*models[1:], ensemble=config.ensemble), *models]
        engine = None
        if config.export is not None:
            exported = _needed("seq2seq.serving.ctranslate2", f"export={config.export}", "export")
            engine = exported.CTranslate2Engine(config.export, models[0])
        server = serving.Server(serving.Service(models, engine=engine, limits=limits, tokens=tokens, wait=wait))
        print(f"{', '.join(server.service.names)}: {serving.address_of(listening)} (Ctrl-C ends it)", flush=True)
        server.run(sockets=[listening])
        if server.cut_off is not None:
            # A thread is within a call of a model, which cannot be stopped: an orderly end would abort in the midst.
            print("a second signal: ended at once", file=sys.stderr, flush=True)
            os._exit(128 + server.cut_off)


def _above_0(key: str, value: float) -> float:
    if value <= 0:
        raise UserError(f"{key}={value}: expected a number above 0")
    return value


def _needed(module: str, what: str, extra: str) -> ModuleType:
    """Return a module that needs an extra."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("seq2seq"):
            raise
        raise UserError(f"{what} needs the package {error.name}: pip install 'seq2seq[{extra}]'") from None
