"""What a model would say, were its attention elsewhere: weights permuted, made uniform, or as far off as may be."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seq2seq.attention import replace_attention
from seq2seq.attribution.forced import Forced
from seq2seq.errors import UserError
from seq2seq.models import DecoderState, EncoderDecoder

PERMUTATIONS = 10
ROUNDS = 80
RATE = 0.3
PENALTY = 20.0
"""Nats that a total variation distance of 1 beyond the allowed one costs."""
TINY = 1e-9

Heads = Mapping[str, Sequence[int]]
"""Heads of cross-attention, by the name of their attention."""


class Changed(NamedTuple):
    """What other weights do at one step, all earlier ones of which went by the model's own."""

    distance: Tensor  # (variants,): from the own weights, the mean over the changed heads of `jensen_shannon`, nats
    moved: Tensor  # (variants,): the output, by `total_variation`, 0-1
    same: Tensor  # (variants,): whether the likeliest token stays, bool


class Step(NamedTuple):
    """A decoder before a step, and what it does there by itself."""

    model: EncoderDecoder
    state: DecoderState  # of one sentence with one beam
    token: Tensor  # (1, 1): that is read
    own: dict[str, Tensor]  # weights (heads, source), by the name of the attention
    seen: dict[str, Tensor]  # likewise, bool: what mask and pattern let it see
    output: Tensor  # (vocab,): probabilities

    def under(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Return the probabilities (variants, vocab) of what follows under other weights (variants, heads, source)."""
        count = len(next(iter(weights.values())))
        parents = self.token.new_zeros(1, count)
        with replace_attention(self.model, {name: _Put(x) for name, x in weights.items()}):
            logits, _ = self.model.step(self.token.expand(1, count), self.state.reorder(parents))
        return logits[0].softmax(-1)


class _Put:
    """A change: each beam goes by its own weights (variants, heads, source)."""

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights.transpose(0, 1)

    def __call__(self, own: Tensor, seen: Tensor) -> Tensor:
        return self.weights.view_as(own)


class _Keep:
    """A change that is none, and keeps what it was told."""

    def __call__(self, own: Tensor, seen: Tensor) -> Tensor:
        self.own, self.seen = (x.reshape(-1, x.shape[-1]) for x in (own, seen))
        return own


@torch.no_grad()
def forced_steps(forced: Forced, names: Sequence[str]) -> Iterator[Step]:
    """Yield every step of a forced pass, the last one that of the end.

    Args:
        forced: the pair.
        names: of the attentions that are going to be changed.

    Raises:
        UserError: the model has no such attention.
    """
    model, batch = forced.model, forced.batch
    known = dict(model.named_modules())
    if missing := [name for name in names if name not in known]:
        raise UserError(f"the model has no attention {missing[0]}; train it again")
    state = model.begin(batch.source, batch.source_mask, batch.source_lengths)
    for token in batch.target_input.split(1, dim=1):
        kept = {name: _Keep() for name in names}
        with replace_attention(model, kept):
            logits, after = model.step(token, state)
        own, seen = ({name: getattr(each, part) for name, each in kept.items()} for part in ("own", "seen"))
        yield Step(model, state, token, own, seen, logits[0, 0].softmax(-1))
        state = after


def total_variation(p: Tensor, q: Tensor) -> Tensor:
    """Return ½ Σ |p - q| of distributions (..., n): 0-1 (Jain & Wallace 2019, section 4)."""
    return (p - q).abs().sum(-1) / 2


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """Return ½ KL(p ‖ m) + ½ KL(q ‖ m), m = ½ (p + q), of distributions (..., n): nats, 0 to ln 2 (there as well)."""
    middle = (p + q) / 2

    def divergence(x: Tensor) -> Tensor:
        return (x * (x.clamp(min=TINY) / middle.clamp(min=TINY)).log()).sum(-1)

    return (divergence(p) + divergence(q)) / 2


@torch.no_grad()
def permuted(step: Step, heads: Heads, units: Tensor, *, generator: torch.Generator) -> Changed:
    """Return what random orders of each head's weights do, `PERMUTATIONS` of them, among the words that it sees."""
    return _changed(step, heads, units, {name: _shuffled(step, name, PERMUTATIONS, generator) for name in heads})


@torch.no_grad()
def uniform(step: Step, heads: Heads, units: Tensor) -> Changed:
    """Return what equal weights do, of the sum that the head's own have, on all words that it sees."""
    return _changed(step, heads, units, {name: _uniform(step, name)[None] for name in heads})


def adversarial(step: Step, heads: Heads, units: Tensor, *, epsilon: float, generator: torch.Generator) -> Changed:
    """Return the weights found furthest from the model's own whose output is nearly its output.

        max  JSD(α, own)   while  TVD(output(α), output(own)) <= ε

    (Jain & Wallace 2019, section 4.2.2.) By Adam on the scores of a softmax over the words that a head sees, from its
    own weights, from a permutation of them and from uniform ones, with a price on what is beyond ε. The best of all
    that kept to ε counts; where nothing did, the model's own weights, at a distance of 0. So it is a lower bound of how
    far weights can go.

    Args:
        step: of the pair.
        heads: those that are changed, all at once.
        units: the word of each source token, (source,): distances are between words.
        epsilon: the distance that is allowed, 0-1.
        generator: of the places to begin.
    """
    scores = {}
    for name in heads:
        places = [step.own[name], _shuffled(step, name, 1, generator)[0], _uniform(step, name)]
        begin = (torch.stack(places).clamp(min=0) + 1e-3).log()
        begin = begin + torch.randn(begin.shape, generator=generator).to(begin) / 2
        # A head that sees nothing has nothing to spend, whatever its scores; but they must be numbers.
        hidden = ~step.seen[name] & step.seen[name].any(-1, keepdim=True)
        scores[name] = begin.masked_fill(hidden, -math.inf).requires_grad_()
    optimizer = torch.optim.Adam(list(scores.values()), lr=RATE)
    start = torch.zeros(len(begin), device=begin.device)
    best = Changed(start, start, torch.ones_like(start, dtype=torch.bool))
    for _ in range(ROUNDS):
        others = {name: _spent(x.softmax(-1), step.own[name]) for name, x in scores.items()}
        with torch.backends.cudnn.flags(enabled=False):  # its recurrent layers have no backward pass in evaluation mode
            found = _changed(step, heads, units, others)
            loss = PENALTY * (found.moved - epsilon).clamp(min=0) - found.distance
            slopes = torch.autograd.grad(loss.sum(), list(scores.values()))
        wins = (found.moved <= epsilon) & (found.distance > best.distance)
        best = Changed(*(new.detach().where(wins, old) for new, old in zip(found, best, strict=True)))
        for x, slope in zip(scores.values(), slopes, strict=True):
            x.grad = slope
        optimizer.step()
    return Changed(*(x[best.distance.argmax()][None] for x in best))


def _changed(step: Step, heads: Heads, units: Tensor, others: Mapping[str, Tensor]) -> Changed:
    """Return what other weights (variants, heads, source) do; heads that are not to be changed keep their own."""
    weights, distances = {}, []
    for name, x in others.items():
        own = step.own[name]
        chosen = torch.zeros(len(own), 1, dtype=torch.bool, device=own.device)
        chosen[list(heads[name])] = True
        weights[name] = torch.where(chosen, x, own)
        far = jensen_shannon(word_shares_of(x, units), word_shares_of(own, units))
        distances += [far[:, head] for head in heads[name]]
    output = step.under(weights)
    same = output.argmax(-1) == step.output.argmax(-1)
    return Changed(torch.stack(distances).mean(0), total_variation(output, step.output), same)


def _shuffled(step: Step, name: str, count: int, generator: torch.Generator) -> Tensor:
    """Return weights (count, heads, source) in a random order among the tokens that each head sees."""
    weights, seen = step.own[name], step.seen[name].expand(count, -1, -1)
    chance = torch.rand(seen.shape, generator=generator).to(weights).where(seen, 2)
    drawn = weights.expand_as(chance).gather(-1, chance.argsort(-1))  # those that are seen first, in any order
    places = (~seen).to(torch.int8).argsort(dim=-1, stable=True)  # where those that are seen stand
    return torch.zeros_like(drawn).scatter(-1, places, drawn)


def _uniform(step: Step, name: str) -> Tensor:
    """Return weights (heads, source): the sum of the head's own, shared out equally among the tokens that it sees."""
    seen = step.seen[name].to(step.own[name])
    return _spent(seen / seen.sum(-1, keepdim=True).clamp(min=1), step.own[name])


def _spent(given: Tensor, weights: Tensor) -> Tensor:
    """Return shares as weights: with the sums that the model's own weights have."""
    return given * weights.sum(-1, keepdim=True)


def word_shares_of(weights: Tensor, units: Tensor) -> Tensor:
    """Return rows (..., source words) that sum to 1; a weight below 0 counts as 0, and a row of zeros stays one.

    Args:
        weights: (..., source).
        units: the word of each source token, (source,).
    """
    given = weights.clamp(min=0)
    words = given.new_zeros(*given.shape[:-1], int(units.max()) + 1).index_add(-1, units, given)
    return words / words.sum(-1, keepdim=True).clamp(min=TINY)
