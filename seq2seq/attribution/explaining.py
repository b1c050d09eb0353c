"""From two sentences and a method to an explanation."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.alignment.sentence import Axis, Sentence
from seq2seq.attribution.explanation import Explanation
from seq2seq.attribution.forced import Forced, Progress, unwatched
from seq2seq.attribution.method import Contributions, Method
from seq2seq.attribution.sentences import read_sentence, read_target, words_read
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.errors import UserError, counted
from seq2seq.models import EncoderDecoder

UNITS = ("words", "pieces")


@torch.inference_mode(False)  # in which a caller may be, and where there is no gradient
def explain(
    model: EncoderDecoder,
    tokenizers: Tokenizers,
    source: str | Sentence,
    target: str | Sentence,
    *,
    method: Method,
    contrast: str | None = None,
    at: int | None = None,
    unit: str = "words",
    max_length: int | None = None,
    tokens_per_batch: int = 8192,
    progress: Progress = unwatched,
) -> Explanation:
    """Return what each word read, of the source and of the target before, contributed to each word of the target.

    Args:
        model: in evaluation mode, on its device.
        tokenizers: of the model.
        source: what it reads.
        target: what it is forced to say: any text, or a hypothesis of a search.
        method: one of `seq2seq.attribution`.
        contrast: what might have been said instead of one word of the target. The explanation is then of that word
            alone, and of the difference of the two log-probabilities.
        at: the number of that word, from 1; one after the last is `</s>`. None: where the contrast is likeliest.
        unit: of columns and rows, `words` or `pieces`; of a contrast of columns alone.
        max_length: pieces of a sentence; longer ones are cut, with a warning.
        tokens_per_batch: tokens of both sides that are computed at once.
        progress: is told how much is done, and of how much.

    Raises:
        UserError: the model cannot have the method, a sentence is empty or cannot be said, there is no such word to
            contrast, or a contribution is no number.
    """
    method.check(model)
    _check_asked(method, unit, contrast, at)
    if isinstance(source, str):
        source = read_sentence("source", tokenizers.source, source, max_length=max_length)
    if isinstance(target, str):
        target = read_target("target", tokenizers.target, target, max_length=max_length)
    source, target = words_read(source), words_read(target)

    def forced(said: Sentence) -> Forced:
        return Forced(
            model,
            source.ids,
            said.ids,
            source_units=_units(source.ending(), unit),
            prefix_units=_units(said.beginning(), unit),
            tokens_per_batch=tokens_per_batch,
            progress=progress,
        )

    if contrast is None:
        rows = _every_word(method, forced, target, unit)
    else:
        other = read_target("contrast", tokenizers.target, contrast, max_length=max_length).without_tags()
        rows = _one_word(method, forced, target, unit, other, at)
    found = rows.found
    made = Explanation(
        method=method.name,
        meaning=method.meaning,
        contrast=contrast is not None,
        signed=method.of_token,
        source=source.ending().labels(unit),
        prefix=rows.prefix,
        target=rows.labels,
        from_source=found.source.cpu(),
        from_prefix=found.prefix.cpu(),
        log_probability=rows.log_probability.cpu(),
        gap=None if found.gap is None else found.gap.cpu(),
        remark=found.remark,
        source_text=source.text,
        target_text=target.text,
    )
    check_numbers(made)
    return made


class _Rows(NamedTuple):
    """What an explanation says of the target."""

    found: Contributions  # (rows, source units) and (rows, prefix units)
    log_probability: Tensor  # (rows,)
    labels: list[str]  # of the rows
    prefix: list[str]  # of the columns of the prefix


def _check_asked(method: Method, unit: str, contrast: str | None, at: int | None) -> None:
    """Refuse what does not go together."""
    if unit not in UNITS:
        raise UserError(f"unit={unit} is not known; use {' or '.join(UNITS)}")
    if contrast is not None and not method.of_token:
        raise UserError(
            f"method={method.name} says what a step's state is made of, whatever is said, so it knows no contrast; "
            "use method=erasure, gradient_x_input or integrated_gradients"
        )
    if at is not None and contrast is None:
        raise UserError(f'at={at} is the word that a contrast stands for; give one, such as contrast="sie"')


def _every_word(method: Method, forced: Callable[[Sentence], Forced], target: Sentence, unit: str) -> _Rows:
    """Return a row for each word, or piece, of the target."""
    found, log_probability = attribute(method, forced(target))
    units = _units(target.ending(), unit)
    found, log_probability = _join_rows(found, log_probability, units, add=method.of_token)
    return _Rows(found, log_probability, target.ending().labels(unit), target.beginning().labels(unit))


def _one_word(
    method: Method, forced: Callable[[Sentence], Forced], target: Sentence, unit: str, other: Sentence, at: int | None
) -> _Rows:
    """Return one row: a word of the target against another in its place."""
    pair = forced(target)
    place = _place(pair, target, other, at)
    rival = _in_its_place(target, other, place)
    found, log_probability = _difference(method, [(pair, target.ending()), (forced(rival), rival.ending())], place)
    label = f"{target.ending().words[place]} - {' '.join(other.words)}"
    prefix = [*target.beginning().labels(unit)[: found.prefix.shape[-1] - 1], label]
    if not found.prefix[:, -1].any():  # both are of one piece: they have no earlier ones
        found, prefix = found._replace(prefix=found.prefix[:, :-1]), prefix[:-1]
    return _Rows(found, log_probability, [label], prefix)


def _units(axis: Axis, unit: str) -> list[int]:
    return axis.word_of_piece if unit == "words" else list(range(len(axis.pieces)))


def attribute(method: Method, forced: Forced) -> tuple[Contributions, Tensor]:
    """Return what a method says of a pair, nothing from what is read only later, and each token's log-probability."""
    found = method(forced)
    with torch.no_grad():
        log_probability = forced(forced.source, forced.prefix)[0]
    steps = torch.arange(forced.steps, device=log_probability.device)
    first = torch.full((found.prefix.shape[1],), forced.steps, device=steps.device)
    first = first.scatter_reduce(0, forced.prefix_units, steps, "amin")
    # One word's pieces may lie on both sides of a step, and what is computed in another batch differs in the last bit.
    seen = first <= steps[:, None]
    return found._replace(prefix=found.prefix.where(seen, 0)), log_probability


def _join_rows(
    found: Contributions, log_probability: Tensor, words: Sequence[int], *, add: bool
) -> tuple[Contributions, Tensor]:
    """Return a row a word: the sum of its pieces' rows, or their mean."""
    index = torch.tensor(words, device=log_probability.device)
    pieces = torch.bincount(index)

    def joined(x: Tensor, *, add: bool = True) -> Tensor:
        total = x.new_zeros(len(pieces), *x.shape[1:]).index_add(0, index, x)
        return total if add else total / pieces[:, None]

    gap = None if found.gap is None else joined(found.gap)
    rows = Contributions(joined(found.source, add=add), joined(found.prefix, add=add), gap, found.remark)
    return rows, joined(log_probability)


def _place(pair: Forced, target: Sentence, other: Sentence, at: int | None) -> int:
    """Return which word of the target, from 0, the contrast stands for."""
    ending = target.ending()
    words = len(ending.words)
    said = " ".join(other.words)
    if at is not None:
        if not 1 <= at <= words:
            raise UserError(
                f"at={at}: the target has {counted(words - 1, 'words')}; give a number from 1 to {words}, the end"
            )
        if said == ending.words[at - 1]:
            raise UserError(f"contrast={said} is what the target says as word {at}; give another word, or another at=")
        return at - 1
    with torch.no_grad():
        likely = pair.log_softmax(pair.source, pair.prefix)[0, :, other.ids[0]].tolist()
    free = [word for word, label in enumerate(ending.words) if label != said and label not in target.tags]
    return max(free, key=lambda word: likely[ending.word_of_piece.index(word)])


def _in_its_place(target: Sentence, other: Sentence, place: int) -> Sentence:
    """Return the target up to a word, and the contrast in its place."""
    begin = target.ending().word_of_piece.index(place)
    words = [*target.words[:place], " ".join(other.words)]
    return Sentence(
        " ".join(words),
        [*target.ids[:begin], *other.ids],
        [*target.pieces[:begin], *other.pieces],
        words,
        [*target.word_of_piece[:begin], *[place] * len(other.ids)],
    )


def _difference(method: Method, pairs: Sequence[tuple[Forced, Axis]], place: int) -> tuple[Contributions, Tensor]:
    """Return the contributions (1, units) to one word less those to its rival, and the difference of their logs.

    Columns of the prefix end before the word; in a last one is what either says of its own earlier pieces.
    """
    sums = []
    for forced, axis in pairs:
        found, log_probability = attribute(method, forced)
        steps = [step for step, word in enumerate(axis.word_of_piece) if word == place]
        before = int(forced.prefix_units[steps[0]]) + 1
        prefix = found.prefix[steps].sum(0)
        prefix = torch.cat((prefix[:before], prefix[before:].sum(0, keepdim=True)))
        gap = None if found.gap is None else found.gap[steps].sum(0)
        sums.append((found.source[steps].sum(0), prefix, gap, log_probability[steps].sum(0), found.remark))
    (source, prefix, gap, said, remark), (source_, prefix_, gap_, said_, remark_) = sums
    gap = None if gap is None or gap_ is None else (gap - gap_)[None]
    remark = f"{remark}; of the contrast {remark_}" if remark else ""
    return Contributions((source - source_)[None], (prefix - prefix_)[None], gap, remark), (said - said_)[None]


def check_numbers(made: Explanation) -> None:
    """Refuse what is no number: it must not become a white cell.

    Raises:
        UserError: naming the first.
    """
    for numbers, labels in ((made.from_source, made.source), (made.from_prefix, made.prefix)):
        if not numbers.isfinite().all():
            row, column = (~numbers.isfinite()).nonzero()[0].tolist()
            raise UserError(
                f"method={made.method}: what {labels[column]!r} contributes to {made.target[row]!r} is "
                f"{numbers[row, column].item()}, no number; the weights of the model hold such, or are too large"
            )
    if not made.log_probability.isfinite().all():
        word = made.target[int((~made.log_probability.isfinite()).nonzero()[0])]
        raise UserError(
            f"the log-probability of {word!r} is no number; the weights of the model hold such, or are too large"
        )
