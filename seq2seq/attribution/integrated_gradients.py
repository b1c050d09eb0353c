"""Integrated gradients: slopes along the way from nothing to what was read."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from seq2seq.attribution.forced import Forced
from seq2seq.attribution.gradients import gradients
from seq2seq.attribution.method import Contributions, Method
from seq2seq.errors import UserError

FIRST = 8
"""Stretches of the way at the beginning."""
POINTS = 3
"""At which a stretch is looked at, by Gauss and Legendre."""
WORST = 0.5
"""Of what the worst stretch misses: those that miss as much are halved with it."""
SHORTEST = 2.0**-32
"""Of the whole way: no stretch is shorter."""


class IntegratedGradients(Method):
    """Σ_d x_jd ∫₀¹ ∂ log p(token) / ∂x_jd (α x) dα: along the straight line from zeros to x (Sundararajan 2017, eq. 1).

    All contributions to a token, of both sides, sum to log p(token | x) - log p(token | zeros). What the sum misses of
    that is the gap. It is known for each stretch of the way, too, whose ends are looked at: those that miss most are
    halved, until all misses together are small. A pre-norm Transformer does all its turning very near zero, where one
    layer norm after the other begins to work: each makes what is small up to 300 times as large (1 / √ε). Where the
    output jumps, as with `normalizer=topk`, no slope sees it: the gap stays, whatever it costs.

    Args:
        tolerance: the misses that are small, as a share of the sum; of a sum below 1, in nats.
        passes: backward passes for a pair, after which nothing more is halved.

    Raises:
        UserError: the tolerance or the passes are not above 0.
    """

    name = "integrated_gradients"
    meaning = "nats of log-probability, by gradients on the way from zeros to the words"
    of_token = True

    def __init__(self, *, tolerance: float = 0.05, passes: int = 10_000) -> None:
        if not tolerance > 0:
            raise UserError(f"method.tolerance={tolerance}: expected a number above 0, such as 0.05")
        if passes < 1:
            raise UserError(f"method.passes={passes}: expected a whole number above 0, such as 10000")
        self.tolerance = tolerance
        self.passes = passes

    def __call__(self, forced: Forced) -> Contributions:
        """Return the contributions for a pair, and the gap of each step."""
        logs = _Logs(forced)
        allowed = (self.tolerance * (logs(1.0) - logs(0.0)).abs().clamp(min=1)).tolist()
        tokens = forced.source.shape[1] + forced.steps
        total, gap, passes = logs(1.0).new_zeros(forced.steps, tokens), logs(1.0).new_zeros(forced.steps), 0
        looked: list[list[_Looked]] = [[] for _ in allowed]
        open_ = [_Stretch(i, k / FIRST, (k + 1) / FIRST) for k in range(FIRST) for i in range(forced.steps)]
        while open_:
            found = self._along(forced, open_)
            passes += POINTS * len(open_)
            rises = [logs(stretch.end)[stretch.step] - logs(stretch.begin)[stretch.step] for stretch in open_]
            misses = found.sum(-1) - torch.stack(rises)
            for stretch, brought, miss in zip(open_, found, misses.tolist(), strict=True):
                looked[stretch.step].append(_Looked(stretch, brought, miss))
            worst = {each for ours, most in zip(looked, allowed, strict=True) for each in _worst(ours, most)}
            if missing := bool(worst) and passes >= self.passes:
                break
            looked = [[each for each in ours if each.stretch not in worst] for ours in looked]
            open_ = [half for stretch in sorted(worst) for half in stretch.halves()]
        for step, stretches in enumerate(looked):
            total[step] = torch.stack([each.brought for each in stretches]).sum(0)
            gap[step] = sum(each.miss for each in stretches)
        end = ", all that method.passes allows" if missing else ""
        remark = f"{passes:,} backward passes{end}; a sum misses at most {gap.abs().max().item():.2g} nats"
        source, prefix = total.split((tokens - forced.steps, forced.steps), dim=1)
        return Contributions(*forced.sum_units(source, prefix), gap, remark)

    def _along(self, forced: Forced, stretches: "list[_Stretch]") -> Tensor:
        """Return what each token brings along each stretch, (stretches, S + T)."""
        nodes, weights = np.polynomial.legendre.leggauss(POINTS)
        like = forced.source
        steps = torch.tensor([stretch.step for stretch in stretches for _ in nodes], device=like.device)
        places = like.new_tensor([s.begin + s.length * (node + 1) / 2 for s in stretches for node in nodes])
        shares = like.new_tensor([s.length * weight / 2 for s in stretches for weight in weights])
        rows = []
        for part in forced.batches(len(steps)):
            scale = places[part, None, None]
            slopes = gradients(forced, steps[part], forced.source * scale, forced.prefix * scale)
            both = [(x * slope).sum(-1) for x, slope in zip((forced.source, forced.prefix), slopes, strict=True)]
            rows.append(torch.cat(both, dim=1) * shares[part, None])
        return torch.cat(rows).unflatten(0, (len(stretches), len(nodes))).sum(1)


class _Stretch(NamedTuple):
    """A part of the way, for the token at a step."""

    step: int
    begin: float
    end: float

    @property
    def length(self) -> float:
        return self.end - self.begin

    def halves(self) -> "tuple[_Stretch, _Stretch]":
        middle = (self.begin + self.end) / 2
        return self._replace(end=middle), self._replace(begin=middle)


class _Looked(NamedTuple):
    """A stretch that was looked at."""

    stretch: _Stretch
    brought: Tensor  # (S + T,): by each token
    miss: float


def _worst(looked: list[_Looked], allowed: float) -> list[_Stretch]:
    """Return the stretches of a step that miss most, to be halved; none where all is well."""
    long = [each for each in looked if each.stretch.length > SHORTEST]
    in_all, in_long = (sum(abs(each.miss) for each in stretches) for stretches in (looked, long))
    # A miss that is no number is a finding, too, and does not go away by looking closer.
    if not (allowed < in_all < math.inf and in_long > allowed / 2):
        return []
    worst = max(abs(each.miss) for each in long)
    return [each.stretch for each in long if abs(each.miss) >= WORST * worst]


class _Logs:
    """The log-probabilities (T,) of the tokens at a place of the way, each computed once."""

    def __init__(self, forced: Forced) -> None:
        self.forced = forced
        self.known: dict[float, Tensor] = {}

    @torch.no_grad()
    def __call__(self, place: float) -> Tensor:
        if place not in self.known:
            self.known[place] = self.forced(self.forced.source * place, self.forced.prefix * place)[0]
        return self.known[place]
