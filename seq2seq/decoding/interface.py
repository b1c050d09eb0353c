"""What all searches share: what they need of a model, what they are asked, and what they find."""

import copy
from collections.abc import Callable, Hashable, Sequence
from itertools import chain
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn

from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.decoding.constraints import Constraints
from seq2seq.decoding.prefix import Prefix
from seq2seq.errors import UserError

Module = TypeVar("Module", bound=nn.Module)

NEVER = (PAD, BOS)
"""Tokens that no translation contains."""

SOURCE_ALLOWANCE = 10
"""Target tokens allowed beyond max_ratio · source length, so that very short sources have room."""


class Hypothesis(NamedTuple):
    """A translation found by search."""

    tokens: list[int]  # without BOS and EOS
    score: float  # what the search ranks by
    log_probability: float  # of the tokens and EOS, in nats


class Searchable(Protocol):
    """What search needs of a model."""

    def begin(self, source: Tensor, source_mask: Tensor, source_lengths: Tensor) -> Any:
        """Return the state before the first token, with `reorder` and `select`: a `DecoderState`, or several."""

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return logits (batch, beam, vocab) after tokens (batch, beam), and the state."""


class Request(NamedTuple):
    """What is asked of a search for one sentence."""

    number: int = 0  # of the sentence in its text, from 1: it names a stream of random numbers; 0: none yet
    prefix: Prefix | None = None  # what the translation must begin with
    constraints: Constraints | None = None  # what it must say, and must not say
    where: str = ""  # what an error calls the constraints, such as `FILE:7`

    @property
    def required(self) -> int:
        """How many tokens, at most, what is required needs beside the prefix."""
        return 0 if self.constraints is None else self.constraints.needed(self.constraints.start)

    @property
    def least(self) -> int:
        """How many tokens, without EOS, the translation must have room for."""
        return self.required + (0 if self.prefix is None else self.prefix.least)


Key = Callable[[list[int]], Hashable]
"""What is the same of two hypotheses that count as one, such as their text: several token sequences may spell it."""

LengthPenalty = Callable[[Tensor], Tensor]
"""Divides the log-probability of a hypothesis of so many tokens, EOS counted."""


class Search(Protocol):
    """A search: called with a model and sources, it returns hypotheses."""

    max_length: int

    def __call__(
        self,
        model: Searchable,
        source: Tensor,
        source_mask: Tensor,
        source_lengths: Tensor,
        *,
        key: Key | None = None,
        requests: Sequence[Request] | None = None,
    ) -> list[list[Hypothesis]]:
        """Return hypotheses for each source, best first.

        Args:
            model: what is searched.
            source: ids (batch, source), right-padded; with mask (batch, source) and lengths (batch,).
            source_mask: True = real token.
            source_lengths: number of real tokens.
            key: no two hypotheses of a source have the same: of those that would, the best one stays.
            requests: one for each source; None: nothing is asked.
        """

    def allowing_repeats(self) -> "Search | None":
        """Return the search without `no_repeat_ngram`, for where that leaves nothing to say; None: it has none."""


def check_limits(max_length: int, max_ratio: float) -> None:
    """Refuse limits that leave no room for a token."""
    if max_length < 1 or not max_ratio > 0:
        raise UserError(f"search.max_length={max_length} and search.max_ratio={max_ratio} must be above 0")


def length_limits(
    source_lengths: Tensor, max_length: int, max_ratio: float, requests: Sequence[Request] | None = None
) -> Tensor:
    """Return how many tokens, EOS counted, each translation may have, (batch,).

    What must be said comes on top of the allowance where the ratio leaves less room.
    """
    # No more than that at once: what is beyond all whole numbers would come out below 0.
    limits = (source_lengths * max_ratio).clamp(max=max_length).ceil().long().add(SOURCE_ALLOWANCE)
    if requests is not None and any(request.least for request in requests):
        least = torch.tensor([request.least for request in requests], device=limits.device)
        limits = limits.maximum(least + SOURCE_ALLOWANCE)
    return limits.clamp(max=max_length)


def next_log_probabilities(logits: Tensor, *, must_end: Tensor | None = None) -> Tensor:
    """Return float32 log-probabilities (batch, beam, vocab) of the next token; only EOS where a sentence must end.

    None of `must_end` is known to be none without a look at the device, which waits for it.
    """
    log_probabilities = logits.float().log_softmax(-1)
    for token in NEVER:  # a list of them would be copied to the device
        log_probabilities[..., token] = -torch.inf
    if must_end is not None and must_end.any():  # seldom, and a pass over the whole vocabulary
        end = log_probabilities[..., EOS].clone()
        log_probabilities.masked_fill_(must_end[:, None, None], -torch.inf)[..., EOS] = end
    return log_probabilities


def set_apart(model: Module) -> Module:
    """Return a copy of the modules of a model, which shares its weights.

    It can be watched while searches in other threads use the model: hooks on one are none on the other.
    """
    shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
    return copy.deepcopy(model, shared)


def take(x: Tensor, beams: Tensor) -> Tensor:
    """Return (batch, new, length) of x (batch, beam, length), at beams (batch, new)."""
    return x.gather(1, beams[..., None].expand(*beams.shape, x.shape[-1]))
