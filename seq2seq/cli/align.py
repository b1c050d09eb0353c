"""`seq2seq align`: word links of sentence pairs by forced decoding, Pharaoh lines `i-j`."""

import logging
import sys
from collections.abc import Iterator, Sequence

import torch
from omegaconf import DictConfig

from seq2seq.alignment.links import Link, format_links
from seq2seq.alignment.symmetrization import SYMMETRIZATIONS
from seq2seq.build import build_extraction, find_device, load_model
from seq2seq.build_readings import read_as
from seq2seq.build_tags import tagging
from seq2seq.checkpoint import Checkpoint, read_checkpoint
from seq2seq.cli.keys.command import command_config
from seq2seq.cli.keys.requests import check_count
from seq2seq.cli.process.bar import line_bar
from seq2seq.cli.process.crowding import sharing_cores
from seq2seq.cli.process.output import write_whole
from seq2seq.data.files import arriving_parallel
from seq2seq.decoding.translator import CHUNK, Translator
from seq2seq.errors import UserError, nearest


def main(arguments: list[str]) -> None:
    """Run the command."""
    keys = ("checkpoint", "reverse", "source", "target", "output", "tag", "tags", "reverse_tag", "reverse_tags")
    config = command_config("align", arguments, text_keys=keys)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    join = SYMMETRIZATIONS.get(config.symmetrize)
    if join is None:
        names = nearest(str(config.symmetrize), list(SYMMETRIZATIONS))
        raise UserError(f"symmetrize={config.symmetrize} is not known; {names}")
    if config.reverse is None and any(argument.startswith("symmetrize=") for argument in arguments):
        raise UserError(f"symmetrize={config.symmetrize} joins the links of two models; give the other: reverse=FILE")
    device = find_device(config.device)
    checkpoint = _checkpoint(config.checkpoint, config)
    aligner = _Aligner(checkpoint, config, device, tags=(config.tag, config.tags))
    back = None
    if config.reverse is not None:
        other = _checkpoint(config.reverse, config)
        if checkpoint.config["data"] is not None and other.config["data"] == checkpoint.config["data"]:
            raise UserError(
                f"reverse={config.reverse} was trained on the same data in the same direction as checkpoint="
                f"{config.checkpoint}; give a model trained from target to source"
            )
        back = _Aligner(other, config, device, tags=(config.reverse_tag, config.reverse_tags), of="reverse_")
    reading = config.source, config.target, config.tags, config.reverse_tags, config.checkpoint, config.reverse
    done = 0
    with (
        write_whole(config.output, reading=reading) as output,
        sharing_cores(device),
        line_bar(config.source, config.output) as progress,
    ):
        for lines in arriving_parallel(config.source, config.target, most=CHUNK):
            found = aligner.align([(source, target) for source, target in lines], done + 1)
            if back is not None:
                turned = back.align([(target, source) for source, target in lines], done + 1)
                both = ({(source, target) for target, source in links} for links in turned)
                found = (join(*links) for links in zip(found, both, strict=True))
            for links in found:
                output.write(f"{format_links(links)}\n")
                done += 1
            output.flush()  # somebody may wait for it
            progress(len(lines))
        for one in filter(None, (aligner, back)):
            if one.tagged.tags is not None:
                check_count(one.tagged.tags, one.tagged.file, done, config.source)


def _checkpoint(path: str, config: DictConfig) -> Checkpoint:
    checkpoint = read_checkpoint(path, trusted=config.trusted)
    if checkpoint.alignment is None:
        raise UserError(
            f"{path} has no attention to align with: a bottleneck has none, and of another model the first validation "
            "chooses it; give another checkpoint"
        )
    return checkpoint


class _Aligner:
    """A model of one direction.

    Args:
        checkpoint: of the model.
        config: of the command.
        device: of the model.
        tags: the tag of all its sources, and the file of a tag for each.
        of: how the keys of these two begin.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        config: DictConfig,
        device: torch.device,
        *,
        tags: tuple[str | None, str | None],
        of: str = "",
    ) -> None:
        model, tokenizers = load_model(checkpoint, device)
        self.tagged = tagging(tokenizers, *tags, [checkpoint], of=of)
        assert checkpoint.alignment is not None  # `_checkpoint` has seen to it
        self.choice = read_as(checkpoint.alignment, config.get("reading"), model)
        self.extraction = build_extraction(config.get("links"), checkpoint)
        self.name = config.source
        self.translator = Translator(
            model,
            self.tagged.tokenizers,
            tokens_per_batch=config.loader.tokens_per_batch,
            max_length=config.loader.max_length or checkpoint.max_length,
        )

    def align(self, pairs: Sequence[tuple[str, str]], first: int) -> Iterator[set[Link]]:
        """Yield the links of pairs, the first of which is on the line of this number."""
        tags = self.tagged.of(first - 1, len(pairs))
        return self.translator.align(pairs, self.choice, self.extraction, name=self.name, first=first, tags=tags)
