"""`seq2seq align`: word links of sentence pairs by forced decoding, Pharaoh lines `i-j`."""

import logging
import sys

from seq2seq.alignment.links import format_links
from seq2seq.build import build_extraction, find_device, load_model, read_as
from seq2seq.checkpoint import read_checkpoint
from seq2seq.cli.command import command_config
from seq2seq.cli.crowding import sharing_cores
from seq2seq.cli.output import write_whole
from seq2seq.data.files import arriving_parallel
from seq2seq.decoding.translator import CHUNK, Translator
from seq2seq.errors import UserError


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config("align", arguments, text_keys=("checkpoint", "source", "target", "output"))
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    checkpoint = read_checkpoint(config.checkpoint, trusted=config.trusted)
    if checkpoint.alignment is None:
        raise UserError(f"{config.checkpoint} has no attention to align with; use a model other than the bottleneck")
    device = find_device(config.device)
    model, tokenizers = load_model(checkpoint, device)
    aligner = Translator(
        model,
        tokenizers,
        tokens_per_batch=config.loader.tokens_per_batch,
        max_length=config.loader.max_length or checkpoint.max_length,
    )
    extraction = build_extraction(config.get("links"), checkpoint)
    choice = read_as(checkpoint.alignment, config.get("reading"), model)
    reading = config.source, config.target, config.checkpoint
    done = 0
    with write_whole(config.output, reading=reading) as output, sharing_cores(device):
        for lines in arriving_parallel(config.source, config.target, most=CHUNK):
            pairs = [(source, target) for source, target in lines]
            for links in aligner.align(pairs, choice, extraction, name=config.source, first=done + 1):
                output.write(f"{format_links(links)}\n")
                done += 1
            output.flush()  # somebody may wait for it
