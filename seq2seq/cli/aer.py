"""`seq2seq aer`: the alignment error rate of one file of links against another."""

import json
import logging
import sys

from seq2seq.alignment.links import AlignmentScore, LinkFile, alignment_error_rate, read_links
from seq2seq.cli.keys.command import command_config
from seq2seq.data.linked_text import NEVER_ZERO
from seq2seq.errors import UserError

log = logging.getLogger(__name__)


def main(arguments: list[str]) -> None:
    """Run the command."""
    config = command_config("aer", arguments, text_keys=("gold", "hypothesis"))
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    line = aer(
        config.gold,
        config.hypothesis,
        gold_first_index=config.gold_first_index,
        hypothesis_first_index=config.hypothesis_first_index,
        output_format=config.format,
    )
    print(line)


def aer(
    gold: str,
    hypothesis: str,
    *,
    gold_first_index: int | None = None,
    hypothesis_first_index: int | None = None,
    output_format: str = "text",
) -> str:
    """Return AER, precision and recall in percent as one line, or as JSON together with the numbers of links.

    Every link of the hypothesis counts, be it written `i-j` or `ipj`.

    Raises:
        UserError: for files that cannot be read or do not belong together, and an unknown format.
    """
    if output_format not in FORMATS:
        raise UserError(f"format={output_format}: expected one of {', '.join(FORMATS)}")
    gold_file = read_links(gold, first_index=gold_first_index)
    hypothesis_file = read_links(hypothesis, first_index=hypothesis_first_index)
    _warn_if_never_zero(gold_file, gold, "gold_first_index")
    _warn_if_never_zero(hypothesis_file, hypothesis, "hypothesis_first_index")
    return FORMATS[output_format](_score(gold_file, hypothesis_file))


def _score(gold: LinkFile, hypothesis: LinkFile) -> AlignmentScore:
    for file, other in ((gold, hypothesis), (hypothesis, gold)):
        if file.form.numbered and not other.form.numbered and file.sentences > other.sentences:
            raise UserError(
                f"{file.last}, but the other file, which has a line for every sentence, has {other.sentences}"
            )
    if gold.form.numbered and hypothesis.form.numbered:  # of sentences with a high number there may be few
        sentences = gold.of_sentence.keys() | hypothesis.of_sentence.keys()
        expected, found = gold.of(sentences), hypothesis.of(sentences)
    else:
        expected, found = gold.lengthened(hypothesis.sentences), hypothesis.lengthened(gold.sentences)
    return alignment_error_rate(expected, [links.possible for links in found])


def _warn_if_never_zero(file: LinkFile, path: str, key: str) -> None:
    """Warn of links that look counted from 1 but are read as counted from 0: all of them would count as wrong."""
    pairs = [pair for links in file.of_sentence.values() for pair in links.possible]
    if file.form.first_index == 0 and pairs and all(source > 0 and target > 0 for source, target in pairs):
        log.warning(NEVER_ZERO, path, key)


def _text(score: AlignmentScore) -> str:
    return f"AER {score.aer:.1%}  precision {score.precision:.1%}  recall {score.recall:.1%}"


def _json(score: AlignmentScore) -> str:
    percent = {name: round(100 * getattr(score, name), 1) for name in ("aer", "precision", "recall")}
    return json.dumps({**percent, "sure": score.sure, "links": score.links})


FORMATS = {"text": _text, "json": _json}
