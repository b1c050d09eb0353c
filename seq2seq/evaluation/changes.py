"""Is attention what a model goes by? Other weights over a data set, and how far apart honest seeds are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seq2seq.alignment.sentence import Sentence, sentence_of
from seq2seq.attribution.changes import (
    Changed,
    Heads,
    Step,
    adversarial,
    forced_steps,
    jensen_shannon,
    permuted,
    total_variation,
    uniform,
    word_shares_of,
)
from seq2seq.attribution.faithfulness import attention_ranking
from seq2seq.attribution.forced import Forced
from seq2seq.checkpoint import AlignmentChoice
from seq2seq.data.tokenizer import Tokenizers
from seq2seq.errors import UserError
from seq2seq.evaluation.trust import Mean, Pair, bootstrap_mean
from seq2seq.models import EncoderDecoder

CHANGES = ("permuted", "uniform", "adversarial")


class Trained(NamedTuple):
    """A model whose attention is looked at."""

    model: EncoderDecoder  # in evaluation mode, on its device
    tokenizers: Tokenizers
    choice: AlignmentChoice


class Outcome(NamedTuple):
    """What other weights do: means over the tokens of a sentence, then over sentences."""

    changed: str  # which heads
    weights: str  # which weights they have instead
    moved: Mean | None  # total variation distance of the output, 0-1; None where vocabularies differ
    distance: Mean  # Jensen-Shannon divergence of the weights, nats, 0 to 0.69
    same: Mean | None  # share of the tokens whose likeliest stays the likeliest, 0-1

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {k: v._asdict() if isinstance(v, Mean) else v for k, v in self._asdict().items()}


def heads_to_change(model: EncoderDecoder, choice: AlignmentChoice, names: Sequence[str]) -> dict[str, Heads]:
    """Return which heads are changed together: those of the alignment, and where a model has more, all.

    Args:
        model: of the attentions.
        choice: the alignment.
        names: of all attentions that look at the source.
    """
    every: Heads = {name: list(range(_num_heads(model, name))) for name in names}
    if choice.layer not in every:
        raise UserError(f"the alignment was chosen as {choice.layer}, but the model has only {', '.join(every)}")
    alignment: Heads = {choice.layer: every[choice.layer] if choice.head is None else [choice.head]}
    return {"alignment": alignment} | ({"all heads": every} if alignment != every else {})


def _num_heads(model: EncoderDecoder, name: str) -> int:
    """Return how many rows of weights an attention has for a query."""
    owner = model.get_submodule(name.rpartition(".")[0])
    heads: int = getattr(owner, "num_heads", 1)
    return heads


def measure_changes(
    trained: Trained,
    pairs: Iterable[Pair],
    places: Mapping[str, Heads],
    *,
    asked: Sequence[str],
    epsilon: float,
    others: Mapping[str, Trained],
    progress: Callable[[int], None] = lambda _: None,
) -> list[Outcome]:
    """Return what other weights do to each token of pairs whose targets are forced, a token at a time.

    Args:
        trained: the model.
        pairs: sentences that have pieces on both sides.
        places: heads that are changed together, by what to call them.
        asked: some of `CHANGES`.
        epsilon: how far adversarial weights may move the output.
        others: honest rivals, such as other seeds of the same model: how far apart is their alignment?
        progress: is told how many pairs are done.
    """
    sums: dict[tuple[str, str], list[Tensor]] = {}
    for number, pair in enumerate(pairs):
        forced = _forced(trained, pair.source, pair.target)
        generator = torch.Generator().manual_seed(number)
        names = list(dict.fromkeys(name for heads in places.values() for name in heads))
        steps = list(forced_steps(forced, names)) if asked else []
        for place, heads in places.items():
            for name in asked:
                found = [_change(name, step, heads, forced.source_units, epsilon, generator) for step in steps]
                sums.setdefault((place, name), []).append(torch.stack(found).mean(0))
        for name, other in others.items():
            sums.setdefault(("alignment", name), []).append(_beside(trained, forced, pair, name, other))
        progress(number + 1)
    return [_outcome(*key, torch.stack(rows)) for key, rows in sums.items()]


def _change(name: str, step: Step, heads: Heads, units: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
    """Return what weights of a kind do at a step: the output's move, their distance, whether the token stays."""
    found: Changed
    if name == "permuted":
        found = permuted(step, heads, units, generator=generator)
    elif name == "uniform":
        found = uniform(step, heads, units)
    else:
        found = adversarial(step, heads, units, epsilon=epsilon, generator=generator)
    # Of several permutations the median counts, as in the paper.
    return torch.stack((found.moved.median(), found.distance.mean(), found.same.float().mean())).double().cpu()


@torch.no_grad()
def _beside(trained: Trained, forced: Forced, pair: Pair, name: str, other: Trained) -> Tensor:
    """Return the same three of another model beside this one; NaN where their outputs cannot be compared."""
    sides = [_again(tokenizer, side, name) for tokenizer, side in zip(other.tokenizers, pair[:2], strict=True)]
    theirs = _forced(other, *sides)
    rows = []
    for each, target, model in ((forced, pair.target, trained), (theirs, sides[1], other)):
        choice = model.choice._replace(row="output", quantity="weights")
        rows.append((attention_ranking(each, choice).cpu(), target.ending().word_of_piece))
    (mine, words), (yours, words_) = rows
    if words != words_:  # of another vocabulary: a word has the mean of its pieces
        mine, yours = _by_word(mine, words), _by_word(yours, words_)
    columns = torch.arange(mine.shape[1])
    distance = jensen_shannon(word_shares_of(mine, columns), word_shares_of(yours, columns)).mean()
    if trained.tokenizers.target.model_proto != other.tokenizers.target.model_proto:
        return torch.stack((torch.tensor(torch.nan), distance, torch.tensor(torch.nan))).double()
    outputs = [each.log_softmax(each.source, each.prefix)[0].exp().cpu() for each in (forced, theirs)]
    same = outputs[0].argmax(-1) == outputs[1].argmax(-1)
    return torch.stack((total_variation(*outputs).mean(), distance, same.float().mean())).double()


def _again(tokenizer: Any, sentence: Sentence, name: str) -> Sentence:
    """Return a sentence as another model reads it.

    Raises:
        UserError: it reads other words.
    """
    text = " ".join(sentence.words)
    made = sentence_of(tokenizer, text)
    if set(made.word_of_piece) != set(sentence.word_of_piece):
        raise UserError(f"others: {name} does not read the same words of {text!r}; give models of the same data")
    return made


def _by_word(rows: Tensor, words: Sequence[int]) -> Tensor:
    index = torch.tensor(words)
    total = rows.new_zeros(max(words) + 1, rows.shape[1]).index_add(0, index, rows)
    return total / torch.bincount(index).clamp(min=1)[:, None]


def _forced(trained: Trained, source: Sentence, target: Sentence) -> Forced:
    return Forced(
        trained.model,
        source.ids,
        target.ids,
        source_units=source.ending().word_of_piece,
        prefix_units=target.beginning().word_of_piece,
    )


def _outcome(changed: str, weights: str, rows: Tensor) -> Outcome:
    moved, distance, same = (
        None if bool(column.isnan().any()) else bootstrap_mean(column.tolist()) for column in rows.unbind(1)
    )
    assert distance is not None
    return Outcome(changed, weights, moved, distance, same)
