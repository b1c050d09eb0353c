"""Why each word, and not the one that was next likeliest there: a contrast for every word of a target at once."""

import copy
import dataclasses

import torch

from seq2seq.alignment.sentence import EOS_LABEL, Sentence
from seq2seq.attribution.explaining import attribute, check_numbers
from seq2seq.attribution.explanation import Explanation
from seq2seq.attribution.forced import Forced
from seq2seq.attribution.method import Method
from seq2seq.attribution.sentences import words_read
from seq2seq.data.tokenizer import EOS, Tokenizers
from seq2seq.models import EncoderDecoder


@torch.inference_mode(False)  # in which a caller may be, and where there is no gradient
def explain_beside_runner_up(
    model: EncoderDecoder,
    tokenizers: Tokenizers,
    source: Sentence,
    target: Sentence,
    *,
    method: Method,
    tokens_per_batch: int = 8192,
) -> Explanation:
    """Return what made a model say each word of a target rather than the runner-up: the next likeliest piece there.

    A row is the difference of two log-probabilities at the first piece of a word, where all that was read is the same
    for both. So both come from the same passes, and all words cost twice what one explanation does.

    Args:
        model: in evaluation mode, on its device.
        tokenizers: of the model.
        source: what it reads.
        target: what it is forced to say.
        method: one whose numbers are of the token, `of_token`.
        tokens_per_batch: tokens of both sides that are computed at once.

    Raises:
        UserError: a contribution is no number.
    """
    method.check(model)
    source, target = words_read(source), words_read(target)
    forced = Forced(
        model,
        source.ids,
        target.ids,
        source_units=source.ending().word_of_piece,
        prefix_units=target.beginning().word_of_piece,
        tokens_per_batch=tokens_per_batch,
    )
    said = forced.batch.target_output
    with torch.no_grad():
        logs = forced.log_softmax(forced.source, forced.prefix)[0]
    runners_up = logs.scatter(-1, said[:, None], -torch.inf).argmax(-1)
    rival = copy.copy(forced)
    rival.batch = dataclasses.replace(forced.batch, target_output=runners_up)
    ours, log_probability = attribute(method, forced)
    theirs, rival_log_probability = attribute(method, rival)
    rows, words = target.ending().word_of_piece, target.ending().words
    first = [rows.index(word) for word in sorted(set(rows))]
    ids = runners_up[first].tolist()
    pieces = [EOS_LABEL if i == EOS else piece for i, piece in zip(ids, tokenizers.target.pieces(ids), strict=True)]
    made = Explanation(
        method=method.name,
        meaning=method.meaning,
        contrast=True,
        signed=True,
        source=source.ending().words,
        prefix=target.beginning().words,
        target=[f"{words[rows[step]]} - {piece.removeprefix('▁')}" for step, piece in zip(first, pieces, strict=True)],
        from_source=(ours.source - theirs.source)[first].cpu(),
        from_prefix=(ours.prefix - theirs.prefix)[first].cpu(),
        log_probability=(log_probability - rival_log_probability)[first].cpu(),
        gap=None if ours.gap is None or theirs.gap is None else (ours.gap - theirs.gap)[first].cpu(),
        remark=ours.remark,
        source_text=source.text,
        target_text=target.text,
    )
    check_numbers(made)
    return made
