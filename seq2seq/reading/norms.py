"""The size of what each key contributes to the output of an attention (Kobayashi et al. 2020)."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.attention import Attention, record_attention
from seq2seq.attention.recorder import AttentionRecord
from seq2seq.errors import UserError


class ForcedPass:
    """What a model's attention did while it was forced to say a target.

    Args:
        model: the model.
        record: of its attention.
        gates: by name of an attention whose heads are gated, the gates (batch, heads, query), 0-1.
    """

    def __init__(self, model: nn.Module, record: AttentionRecord, gates: dict[str, Tensor]) -> None:
        self.model = model
        self.record = record
        self.gates = gates


@contextmanager
def record_pass(model: nn.Module, *, names: Collection[str] | None = None, norms: bool = False) -> Iterator[ForcedPass]:
    """Yield what fills while the model runs once, forced to say a target.

    Args:
        model: any, with `Attention` modules in it.
        names: of the modules to record; None for all.
        norms: whether `norms` is going to be asked.
    """
    gates: dict[str, Tensor] = {}
    handles = []
    with record_attention(model, names=names, values=norms) as record:
        for name, module in model.named_modules() if norms else ():
            gate = getattr(_owner(model, name), "gate", None) if isinstance(module, Attention) else None
            if gate is not None:

                def keep(_: nn.Module, args: Any, output: Tensor, name: str = name) -> None:
                    gates[name] = torch.sigmoid(output.detach()).mT

                handles.append(gate.register_forward_hook(keep))
        try:
            yield ForcedPass(model, record, gates)
        finally:
            for handle in handles:
                handle.remove()


def norms(seen: ForcedPass, name: str) -> Tensor:
    """Return how much each key contributes, (batch, heads, query, key), float32; of several heads all together first.

        a head:   ‖α_ij f_j^h‖,      f_j^h = (x_j W_V^h + b_V^h) W_O^h
        together: ‖Σ_h α_ij^h f_j^h‖ = sqrt(Σ_hh' α_ij^h α_ij^h' f_j^h · f_j^h')

    (Kobayashi et al. 2020, eq. 3.) Of the products f_j^h · f_j^h' there are heads · heads a key, so nothing of the size
    heads · queries · keys · d is ever made. A gate g multiplies α. A decoder without W_O says by `contributions` which
    of its matrices reads the context.

    Raises:
        UserError: `check_norms`.
    """
    with torch.no_grad():
        parts = contributions_of(seen.model, name)(seen.record.attended[name]).float()
        weights = seen.record[name].float()
        if name in seen.gates:
            weights = weights * seen.gates[name][..., None]
        heads = weights.abs() * parts.norm(dim=-1).unsqueeze(-2)
        if heads.shape[1] == 1:
            return heads
        by_key, states = weights.movedim(-1, 1), parts.movedim(-2, 1)  # (batch, key, heads, query), (..., heads, d)
        squares = ((states @ states.mT) @ by_key * by_key).sum(-2)  # (batch, key, query)
        together = squares.clamp(min=0).sqrt().mT.unsqueeze(1)
        return torch.cat((together, heads), dim=1)


def contributions_of(model: nn.Module, name: str) -> Callable[[Tensor], Tensor]:
    """Return what makes contributions, (batch, heads, key, d), of the values that an attention's weights are on.

    Raises:
        UserError: there are none, or what the attention does with its context is no sum over keys.
    """
    owner, attention = _owner(model, name), model.get_submodule(name)
    if not getattr(attention, "adds_up", False):
        normalizer = type(getattr(attention, "normalizer", attention)).__name__
        raise UserError(
            f"norms cannot be read with {normalizer}: it changes the context as a whole, in which no source word then "
            "has a part of its own; use reading=output_weights"
        )
    found: Callable[[Tensor], Tensor] | None = getattr(owner, "contributions", None)
    if found is None:
        raise UserError(
            f"{type(owner).__name__} does not say by which matrix it reads what {name} gives it; write its method "
            "`contributions`, or use reading=output_weights"
        )
    return found


def _owner(model: nn.Module, name: str) -> nn.Module:
    """Return the module that an attention is part of."""
    return model.get_submodule(name.rpartition(".")[0])
