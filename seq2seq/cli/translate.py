"""`seq2seq translate`: lines in, lines out, in order."""

import logging
import sys
from contextlib import nullcontext

from seq2seq.build import build_search, find_device, load_model
from seq2seq.checkpoint import read_checkpoint
from seq2seq.cli.command import command_config
from seq2seq.cli.output import write_whole
from seq2seq.cli.requests import check_count, read_requests
from seq2seq.cli.streams import check_stdin
from seq2seq.data.files import arriving_lines, open_text, unpacked
from seq2seq.decoding.translator import CHUNK, Translator


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config(
        "translate", arguments, text_keys=("checkpoint", "input", "output", "prefix", "constraints")
    )
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    if config.input is None:
        check_stdin()
    checkpoint = read_checkpoint(config.checkpoint, trusted=config.trusted)
    model, tokenizers = load_model(checkpoint, find_device(config.device))
    search = build_search(config.search)
    translator = Translator(
        model,
        tokenizers,
        tokens_per_batch=config.loader.tokens_per_batch,
        max_length=config.loader.max_length or checkpoint.max_length,
    )
    name = config.input or "stdin"
    asked_in = {"prefix": config.prefix, "constraints": config.constraints}
    requests = read_requests(**asked_in, input=config.input, tokenizer=tokenizers.target, search=search)
    several = getattr(search, "n_best", 1) > 1
    done = 0
    opened = nullcontext(sys.stdin.buffer) if config.input is None else open_text(config.input)
    reading = (config.input, *asked_in.values(), config.checkpoint)
    with opened as stream, write_whole(config.output, reading=reading) as output:
        for lines in arriving_lines(unpacked(stream, name), name, most=CHUNK):
            asked = None if requests is None else requests[done : done + len(lines)]
            for translations in translator.translate(lines, search, name=name, first=done + 1, requests=asked):
                for text, score in translations:
                    output.write(f"{done} ||| {text} ||| {score:.4f}\n" if several else f"{text}\n")
                done += 1
            output.flush()  # somebody may wait for it
        if requests is not None:
            check_count(requests, config.prefix or config.constraints, done, name)
