"""Look at the attention weights of any model, without the model knowing."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.attention.attention import Attention


class AttentionRecord(Mapping[str, Tensor]):
    """Weights (batch, heads, query, key) of every `Attention` that ran, by its module's name.

    A decoder that asks step by step reports one row a step: the rows are put together here.
    """

    def __init__(self) -> None:
        self._calls: dict[str, list[Tensor]] = {}

    def append(self, name: str, weights: Tensor) -> None:
        """Add one call's weights, (batch, query, key) or (batch, heads, query, key)."""
        self._calls.setdefault(name, []).append(weights if weights.dim() == 4 else weights.unsqueeze(1))

    def __getitem__(self, name: str) -> Tensor:
        calls = self._calls[name]
        # Stepwise self-attention sees one key more at each step: what it could not see yet has weight 0.
        widest = max(weights.shape[-1] for weights in calls)
        return torch.cat([F.pad(weights, (0, widest - weights.shape[-1])) for weights in calls], dim=-2)

    def __iter__(self) -> Iterator[str]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)


@contextmanager
def record_attention(
    model: nn.Module, *, names: Collection[str] | None = None, detach: bool = True
) -> Iterator[AttentionRecord]:
    """Yield a record that fills while the model runs: weights before dropout, by module name.

    Inside, every recorded `Attention` of the model takes the explicit path; outside nothing changes.

        with record_attention(model) as record:
            model(batch)
        record["decoder.attention"]  # (batch, heads, target, source)

    Args:
        model: any, with `Attention` modules in it.
        names: of the modules to record; None for all.
        detach: without the graph of gradients; False for a loss on the weights.
    """
    record = AttentionRecord()

    def ask_for_weights(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, "need_weights": True}

    handles, recorded = [], []
    for name, module in model.named_modules():
        if isinstance(module, Attention) and (names is None or name in names):
            recorded.append(module)
            module.recorders += 1

            def report(_: nn.Module, __: Any, output: tuple[Tensor, Tensor], name: str = name) -> None:
                record.append(name, output[1].detach() if detach else output[1])

            handles.append(module.register_forward_pre_hook(ask_for_weights, with_kwargs=True))
            handles.append(module.register_forward_hook(report))
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()
        for module in recorded:
            module.recorders -= 1
