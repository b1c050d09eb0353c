"""`seq2seq translate`: lines in, lines out, in order."""

import logging
import sys
from contextlib import nullcontext

import torch

from seq2seq.build import build_search, find_device
from seq2seq.build_ensemble import load_models, shortest_limit, unknown_copy
from seq2seq.build_tags import tagging
from seq2seq.cli.keys.checkpoints import read_checkpoints
from seq2seq.cli.keys.command import command_config, warn_of_limit
from seq2seq.cli.keys.requests import check_count, read_requests
from seq2seq.cli.process.bar import line_bar
from seq2seq.cli.process.output import write_whole
from seq2seq.cli.process.streams import check_stdin
from seq2seq.data.files import arriving_lines, open_text, unpacked
from seq2seq.decoding.translator import CHUNK, Translator
from seq2seq.errors import UserError
from seq2seq.training.precision import choose_inference

log = logging.getLogger(__name__)

UNKNOWN = ("keep", "copy")


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config(
        "translate", arguments, text_keys=("checkpoint", "input", "output", "prefix", "constraints", "tag", "tags")
    )
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    if config.input is None:
        check_stdin()
    if config.unknown not in UNKNOWN:
        raise UserError(f"unknown={config.unknown} is not known; use unknown=keep or unknown=copy")
    device = find_device(config.device)
    precision = choose_inference(str(config.precision), device.type)
    checkpoints = read_checkpoints("checkpoint", config.checkpoint, trusted=config.trusted)
    search = build_search(config.search)
    dtype = getattr(torch, precision.value)
    model, tokenizers = load_models(checkpoints, device, mean=config.ensemble, dtype=dtype)
    tagged = tagging(tokenizers, config.tag, config.tags, checkpoints)
    tokenizers = tagged.tokenizers
    limit = shortest_limit(checkpoints)
    warn_of_limit(arguments, config.search, limit, "the model was trained on translations of more pieces")
    translator = Translator(
        model,
        tokenizers,
        tokens_per_batch=config.loader.tokens_per_batch,
        max_length=config.loader.max_length or limit,
        unknown=unknown_copy(checkpoints, model, tokenizers) if config.unknown == "copy" else None,
    )
    if said := precision.warning or precision.reason:
        log.warning("%s", said)
    name = config.input or "stdin"
    asked_in = {"prefix": config.prefix, "constraints": config.constraints}
    requests = read_requests(**asked_in, input=config.input, tokenizer=tokenizers.target, search=search)
    several = getattr(search, "n_best", 1) > 1
    done = 0
    opened = nullcontext(sys.stdin.buffer) if config.input is None else open_text(config.input)
    reading = (config.input, *asked_in.values(), config.tags, *(checkpoint.path for checkpoint in checkpoints))
    with (
        opened as stream,
        write_whole(config.output, reading=reading) as output,
        line_bar(config.input, config.output) as progress,
    ):
        for lines in arriving_lines(unpacked(stream, name), name, most=CHUNK):
            of_lines = tagged.of(done, len(lines))
            asked = None if requests is None else requests[done : done + len(lines)]
            found = translator.translate(
                lines, search, name=name, first=done + 1, requests=asked, tags=of_lines, progress=progress
            )
            for translations in found:
                for text, score in translations:
                    output.write(f"{done} ||| {text} ||| {score:.4f}\n" if several else f"{text}\n")
                done += 1
            output.flush()  # somebody may wait for it
        if requests is not None:
            check_count(requests, config.prefix or config.constraints, done, name)
        if tagged.tags is not None:
            check_count(tagged.tags, tagged.file, done, name)
