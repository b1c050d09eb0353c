"""The coverage penalty: how much of the source a translation has not looked at (Wu et al. 2016, eq. 14).

    cp(X; Y) = β Σ_i log(min(Σ_j p_ij, 1))     p_ij the attention of target token j to source token i

It joins the score of a hypothesis when that has ended. p is the mean over all heads and layers that look at the source.
"""

import copy
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.decoding.interface import Searchable
from seq2seq.errors import UserError
from seq2seq.models.encoder_decoder import cross_attentions

LEAST = 1e-3
"""Attention that a source token has at least, so that one that was never looked at costs much and not everything."""


class Watched:
    """A model that tells what each of its steps looked at.

    It works on a copy of the modules, which shares their weights: other searches may use the model at the same time.

    Raises:
        UserError: nothing in the model looks at the source.
    """

    def __init__(self, model: Searchable) -> None:
        assert isinstance(model, nn.Module)
        shared = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
        self.model: Any = copy.deepcopy(model, shared)
        self._looked: list[Tensor] = []
        parts: tuple[nn.Module, ...] = getattr(self.model, "models", (self.model,))  # of an ensemble
        names = [(part, name) for part in parts for name in cross_attentions(part)]
        if not names:
            raise UserError("search.coverage_penalty is about attention, which this model has none of; set it to 0")
        for part, name in names:
            attention = part.get_submodule(name)
            attention.register_forward_pre_hook(_ask_for_weights, with_kwargs=True)
            attention.register_forward_hook(self._note)

    def begin(self, source: Tensor, source_mask: Tensor, source_lengths: Tensor) -> Any:
        """Return the state before the first token."""
        return self.model.begin(source, source_mask, source_lengths)

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Return logits (batch, beam, vocab) after tokens (batch, beam), and the state."""
        self._looked.clear()
        return self.model.step(tokens, state)

    def looked_at(self) -> Tensor:
        """Return the attention of the last step, (batch, beam, source), float32."""
        return torch.stack(self._looked).mean(0)

    def _note(self, _: nn.Module, __: Any, output: tuple[Tensor, Tensor | None]) -> None:
        weights = output[1]
        if weights is None:
            raise UserError("search.coverage_penalty needs weights, which an attention of this model does not give")
        self._looked.append((weights.mean(1) if weights.dim() == 4 else weights).float())


def _ask_for_weights(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return args, {**kwargs, "need_weights": True}


def coverage(attention: Tensor, source_mask: Tensor) -> Tensor:
    """Return Σ_i log(min(Σ_j p_ij, 1)), (batch, beam).

    Args:
        attention: Σ_j p_ij, (batch, beam, source).
        source_mask: (batch, source), True = real.
    """
    return attention.clamp(LEAST, 1.0).log().masked_fill(~source_mask[:, None], 0.0).sum(-1)
