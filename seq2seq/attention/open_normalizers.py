"""Open normalisers: a row need not sum to 1, so a query may look at nothing, or at several keys in full."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.attention.memory import Past
from seq2seq.attention.normalizers import Normalizer, exact, log_visible
from seq2seq.errors import UserError


class Sigmoid(Normalizer):
    """σ(score + b − log n), n the keys that a row sees: each key by itself (Ramapuram et al. 2024, eq. 3).

    With equal scores a row begins near a sum of 1. b is learned a head, from 0; the paper has none, and for n the
    length of the sequence.
    """

    row_sum = "any"

    def __init__(self, **place: Any) -> None:
        super().__init__(**place)
        self.bias = self.a_head(0.0)

    def forward(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return weights (..., query, key) from scores (..., query, key) under a mask broadcastable to them."""
        scores = exact(scores)
        scores = scores + (self.bias - log_visible(scores.shape[-1], mask, like=scores))
        return torch.sigmoid(hide(scores, mask))


class OffByOne(Normalizer):
    """exp s / (1 + Σ exp s): a row may look at nothing (Miller 2023)."""

    row_sum = "at most one"

    def forward(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return weights (..., query, key) from scores (..., query, key) under a mask broadcastable to them."""
        scores = exact(scores)
        return beside(scores, scores.new_zeros(1), mask)


class Sink(Normalizer):
    """exp s / (exp b + Σ exp s): what a row does not spend goes to a sink that is no key (gpt-oss, OpenAI 2025).

    b is learned a head, from 0, where it is "off by one".
    """

    row_sum = "at most one"

    def __init__(self, **place: Any) -> None:
        super().__init__(**place)
        self.bias = self.a_head(0.0)

    def forward(self, scores: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return weights (..., query, key) from scores (..., query, key) under a mask broadcastable to them."""
        return beside(exact(scores), self.bias, mask)


class Leaky(Normalizer):
    """One more key and value a head, learned: exp(q · k₀ / √d) joins the sum (Mask-Align, Chen et al. 2021, 3.3).

    The share of k₀ is no weight: it is what the row lacks to 1, and brings v₀ into the context. A row that sees no
    key gets none of it. Both begin at 0: as "off by one".

    Raises:
        UserError: outside multi-head attention, where nobody says how wide queries and values are.
    """

    row_sum = "at most one"
    wants_query = True
    only_adds = True

    def __init__(self, *, num_heads: int | None = None, d_value: int = 0, layer: int = 0) -> None:
        super().__init__(num_heads=num_heads, d_value=d_value, layer=layer)
        if num_heads is None:
            raise without_heads("leaky", "has a key and a value a head")
        self.key = nn.Parameter(torch.zeros(num_heads, d_value, 1))
        self.value = nn.Parameter(torch.zeros(num_heads, 1, d_value))

    def forward(self, scores: Tensor, mask: Tensor | None, query: Tensor) -> Tensor:  # type: ignore[override]  # wants_query
        """Return weights (..., query, key).

        Args:
            scores: (..., query, key).
            mask: broadcastable to the scores.
            query: (..., query, d), as the score gets it.
        """
        scores = exact(scores)
        return beside(scores, (query @ self.key.to(query.dtype)).to(scores.dtype) * query.shape[-1] ** -0.5, mask)

    def finish(self, context: Tensor, weights: Tensor, mask: Tensor | None) -> Tensor:
        """Return the context (..., query, d_value) and the share of k₀ of v₀."""
        share = 1 - weights.sum(-1, keepdim=True)
        if mask is not None:
            share = share * mask.any(-1, keepdim=True)
        return context + (share * self.value).to(context.dtype)


class Differential(Normalizer):
    """softmax(q₁k₁) − λ softmax(q₂k₂): noise that two streams share cancels out (Ye et al. 2024, eq. 1-3).

        λ = exp(λq₁ · λk₁) − exp(λq₂ · λk₂) + λ₀,  λ₀ = 0.8 − 0.6 exp(−0.3 layer)
        context = (1 − λ₀) · gain · RMSNorm(weights · value), each head for itself

    All heads of a layer share λ and gain. Scores come stream after stream: (..., 2 · heads, query, key).

    Raises:
        UserError: outside multi-head attention, whose heads are halved for the two streams.
    """

    row_sum = "any"
    streams = 2

    def __init__(self, *, num_heads: int | None = None, d_value: int = 0, layer: int = 0) -> None:
        super().__init__(num_heads=num_heads, d_value=d_value, layer=layer)
        if num_heads is None:
            raise without_heads("differential", "halves the heads of an attention")
        self.initial = 0.8 - 0.6 * math.exp(-0.3 * layer)
        # Vectors, not rows of a matrix: they are for Adam.
        self.query_1, self.key_1, self.query_2, self.key_2 = (
            nn.Parameter(0.1 * torch.randn(d_value // 2)) for _ in range(4)
        )
        self.gain = nn.Parameter(torch.ones(d_value))

    def normalize(self, scores: Tensor) -> Tensor:
        """Return the softmax of the first stream less λ times that of the second, (..., heads, query, key)."""
        first, second = torch.softmax(scores, dim=-1).chunk(2, dim=-3)
        share = (self.query_1 * self.key_1).sum().exp() - (self.query_2 * self.key_2).sum().exp() + self.initial
        return first - share * second

    def finish(self, context: Tensor, weights: Tensor, mask: Tensor | None) -> Tensor:
        """Return the contexts (..., query, d_value) at one length, times 1 − λ₀."""
        gain = (1 - self.initial) * self.gain
        return F.rms_norm(exact(context), gain.shape, exact(gain), eps=1e-5).to(context.dtype)


class Monotonic(Normalizer):
    """From where the last step stopped on to the right, past each key with probability 1 − p (Raffel et al. 2017).

        p_j = σ(score_j + b),  weight_j = p_j Σ_{k ≤ j} last_k Π_{k ≤ l < j} (1 − p_l)

    What passes the last key looks at nothing. Soft in search too, where the paper decides: so a step is what it is in
    training. b is learned, and no noise is added to the scores.

    Args:
        initial_bias: of b.
        place: as `Normalizer`.
    """

    row_sum = "at most one"
    moves = True
    remembers = True

    def __init__(self, *, initial_bias: float = -1.0, **place: Any) -> None:
        super().__init__(**place)
        self.bias = self.a_head(initial_bias)

    def forward(self, scores: Tensor, mask: Tensor | None, past: Past | None) -> Tensor:  # type: ignore[override]  # remembers
        """Return weights (batch, query, key).

        Args:
            scores: (batch, query, key).
            mask: broadcastable to the scores.
            past: of the queries' hypotheses; the sum over k starts from its last weights.

        Raises:
            UserError: there is no past.
        """
        if past is None:
            raise UserError(
                "Monotonic goes on from the step before; hand over past=Past.nothing(keys), then past.after(weights)"
            )
        scores = hide(exact(scores) + self.bias, mask)
        # log Π_{l < j}: the differences of sums stay exact where products would underflow.
        passed = F.pad(F.logsigmoid(-scores[..., :-1]), (1, 0)).cumsum(-1)
        places = torch.arange(scores.shape[-1], device=scores.device)
        reach = (passed[..., :, None] - passed[..., None, :]).masked_fill(places > places[:, None], float("-inf"))
        return torch.sigmoid(scores) * (reach.exp() * past.last[..., None, :]).sum(-1)


def hide(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Return scores (..., query, key) that are −inf where the mask, broadcastable to them, hides."""
    return scores if mask is None else scores.masked_fill(~mask, float("-inf"))


def beside(scores: Tensor, other: Tensor, mask: Tensor | None) -> Tensor:
    """Return the softmax of scores (..., query, key) and of no key, its score other broadcastable to (..., query, 1).

    The other is always visible: a row without a visible key is all its own, and its weights are exactly 0.
    """
    other = other.to(scores.dtype).expand(*scores.shape[:-1], 1)
    return torch.softmax(torch.cat((hide(scores, mask), other), dim=-1), dim=-1)[..., :-1]


def without_heads(name: str, why: str) -> UserError:
    """Return what to raise where there are no heads."""
    return UserError(f"{name} {why}, and this one has none; use it with model=transformer, or take normalizer=sink")
