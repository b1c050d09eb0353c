"""The coverage penalty: how much of the source a translation has not looked at (Wu et al. 2016, eq. 14).

    cp(X; Y) = β Σ_i log(min(Σ_j p_ij, 1))     p_ij the attention of target token j to source token i

It joins the score of a hypothesis when that has ended. p is the mean over all heads and layers that look at the source.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.decoding.interface import Searchable, set_apart, take
from seq2seq.errors import UserError
from seq2seq.models.encoder_decoder import cross_attentions

LEAST = 1e-3
"""Attention that a source token has at least, so that one that was never looked at costs much and not everything."""


class WatchedState(NamedTuple):
    """Where a model stands, and what its hypotheses have looked at."""

    state: Any  # of the model
    looked: Tensor  # attention so far (batch, beam, source), float32
    source_mask: Tensor  # (batch, source)

    def reorder(self, parents: Tensor) -> "WatchedState":
        """Return the state in which new beam j of a sentence continues its beam parents[sentence, j]."""
        return self._replace(state=self.state.reorder(parents), looked=take(self.looked, parents))

    def select(self, sentences: Tensor) -> "WatchedState":
        """Return the state of some sentences only; sentences (n,) are indices into the batch."""
        return WatchedState(self.state.select(sentences), self.looked[sentences], self.source_mask[sentences])

    def coverage(self) -> Tensor:
        """Return Σ_i log(min(Σ_j p_ij, 1)), (batch, beam)."""
        logs = self.looked.clamp(LEAST, 1.0).log()
        return logs.masked_fill(~self.source_mask[:, None], 0.0).sum(-1)


class Watched:
    """A model whose state tells what was looked at.

    It works on a copy of the modules, which shares their weights: other searches may use the model at the same time.

    Raises:
        UserError: nothing in the model looks at the source.
    """

    def __init__(self, model: Searchable) -> None:
        assert isinstance(model, nn.Module)
        self.model: Any = set_apart(model)
        self._looked: list[Tensor] = []
        parts: tuple[nn.Module, ...] = getattr(self.model, "models", (self.model,))  # of an ensemble
        names = [(part, name) for part in parts for name in cross_attentions(part)]
        if not names:
            raise UserError("search.coverage_penalty is about attention, which this model has none of; set it to 0")
        for part, name in names:
            attention = part.get_submodule(name)
            attention.register_forward_pre_hook(_ask_for_weights, with_kwargs=True)
            attention.register_forward_hook(self._note)

    def begin(self, source: Tensor, source_mask: Tensor, source_lengths: Tensor) -> WatchedState:
        """Return the state before the first token."""
        state = self.model.begin(source, source_mask, source_lengths)
        looked = torch.zeros(len(source), 1, source.shape[1], dtype=torch.float32, device=source.device)
        return WatchedState(state, looked, source_mask)

    def step(self, tokens: Tensor, state: WatchedState) -> tuple[Tensor, WatchedState]:
        """Return logits (batch, beam, vocab) after tokens (batch, beam), and the state."""
        self._looked.clear()
        logits, after = self.model.step(tokens, state.state)
        return logits, state._replace(state=after, looked=state.looked + torch.stack(self._looked).mean(0))

    def _note(self, _: nn.Module, __: Any, output: tuple[Tensor, Tensor | None]) -> None:
        weights = output[1]
        if weights is None:
            raise UserError("search.coverage_penalty needs weights, which an attention of this model does not give")
        self._looked.append((weights.mean(1) if weights.dim() == 4 else weights).float())


def _ask_for_weights(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return args, {**kwargs, "need_weights": True}
