"""`seq2seq score`: the log-probability of given translations, by forced decoding, and the perplexity of them all."""

import json
import logging
import sys

from seq2seq.build import find_device
from seq2seq.build_ensemble import load_models, shortest_limit
from seq2seq.build_tags import tagging
from seq2seq.cli.keys.checkpoints import read_checkpoints
from seq2seq.cli.keys.command import command_config
from seq2seq.cli.keys.requests import check_count
from seq2seq.cli.process.bar import line_bar
from seq2seq.cli.process.crowding import sharing_cores
from seq2seq.cli.process.output import write_whole
from seq2seq.data.files import arriving_parallel
from seq2seq.decoding.scoring import PairScore, Perplexity
from seq2seq.decoding.translator import CHUNK, Translator
from seq2seq.errors import UserError

BY = ("sentence", "token")


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config("score", arguments, text_keys=("checkpoint", "source", "target", "output", "tag", "tags"))
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    if config.by not in BY:
        raise UserError(f"by={config.by} is not known; use by=sentence or by=token")
    checkpoints = read_checkpoints("checkpoint", config.checkpoint, trusted=config.trusted)
    device = find_device(config.device)
    model, tokenizers = load_models(checkpoints, device, mean=config.ensemble)
    tagged = tagging(tokenizers, config.tag, config.tags, checkpoints)
    translator = Translator(
        model,
        tagged.tokenizers,
        tokens_per_batch=config.loader.tokens_per_batch,
        max_length=config.loader.max_length or shortest_limit(checkpoints),
    )
    reading = (config.source, config.target, config.tags, *(checkpoint.path for checkpoint in checkpoints))
    all_ = Perplexity()
    with (
        write_whole(config.output, reading=reading) as output,
        sharing_cores(device),
        line_bar(config.source, config.output) as progress,
    ):
        for lines in arriving_parallel(config.source, config.target, most=CHUNK):
            pairs = ((source, target) for source, target in lines)
            tags = tagged.of(all_.pairs, len(lines))
            for score in translator.score(pairs, name=config.source, first=all_.pairs + 1, tags=tags):
                output.write(f"{as_line(score, config.by)}\n")
                all_.add(score)
            output.flush()  # somebody may wait for it
            progress(len(lines))
        if tagged.tags is not None:
            check_count(tagged.tags, tagged.file, all_.pairs, config.source)
    print(
        f"perplexity {all_.value:.4f} a piece: log-probability {all_.log_probability:.2f} "
        f"of {all_.pieces:,} pieces in {all_.pairs:,} pairs",
        file=sys.stderr,
    )


def as_line(score: PairScore, by: str) -> str:
    """Return a line of output: the log-probability of the target, or as JSON that of each piece beside it."""
    if by == "sentence":
        return f"{score.log_probability:.4f}"
    tokens = [[piece, round(value, 4)] for piece, value in zip(*score, strict=True)]
    return json.dumps({"log_probability": round(score.log_probability, 4), "tokens": tokens}, ensure_ascii=False)
