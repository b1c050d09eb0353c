"""Look at the attention weights of any model, without the model knowing."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seq2seq.attention.attention import Attention
from seq2seq.attention.memory import Memory
from seq2seq.attention.patterns import Pattern


class AttentionRecord(Mapping[str, Tensor]):
    """Weights (batch, heads, query, key) of every `Attention` that ran, by its module's name.

    A decoder that asks step by step reports one row a step: the rows are put together here.
    """

    def __init__(self) -> None:
        self.attended: dict[str, Tensor] = {}
        """What the weights were on, (batch, [key heads,] key, d_value) by name; where it was asked for."""
        self._calls: dict[str, list[Tensor]] = {}
        self._patterns: dict[str, list[Callable[[], Tensor]]] = {}

    def append(self, name: str, weights: Tensor, pattern: Callable[[], Tensor] | None = None) -> None:
        """Add one call's weights (batch, ..., query, key): with an axis for heads, or without.

        Args:
            name: of the module.
            weights: of the call.
            pattern: says what its pattern let the queries see, bool of the weights' shape; None: it has none.
        """
        self._calls.setdefault(name, []).append(_with_heads(weights))
        if pattern is not None:
            self._patterns.setdefault(name, []).append(pattern)

    def seen(self) -> dict[str, Tensor]:
        """Return masks (batch, heads, query, key) of what patterns let queries see, by name; only where there is one.

        Patterns are asked here, so that a recording costs no more with one.
        """
        return {name: _joined([_with_heads(ask()) for ask in calls]) for name, calls in self._patterns.items()}

    def __getitem__(self, name: str) -> Tensor:
        return _joined(self._calls[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)


def _with_heads(x: Tensor) -> Tensor:
    return x if x.dim() == 4 else x.unsqueeze(1)


def _joined(calls: list[Tensor]) -> Tensor:
    """Return as one (batch, heads, query, key) the rows of several calls."""
    # Stepwise self-attention sees one key more at each step: what it could not see yet has weight 0.
    widest = max(x.shape[-1] for x in calls)
    return torch.cat([F.pad(x, (0, widest - x.shape[-1])) for x in calls], dim=-2)


def seen_in_call(
    pattern: Pattern | None, shape: torch.Size, query: Tensor, memory: Memory, *, places: Tensor | None = None, **_: Any
) -> Tensor:
    """Return what mask and pattern let the queries of a call see, expanded to the shape of the weights."""
    mask = memory.mask
    if pattern is not None:
        places = torch.arange(shape[-2], device=query.device) if places is None else places
        mask = pattern(query, places, shape[-1], memory.mask).mask
    return torch.ones(shape, dtype=torch.bool, device=query.device) if mask is None else mask.expand(shape)


@contextmanager
def record_attention(
    model: nn.Module, *, names: Collection[str] | None = None, detach: bool = True, values: bool = False
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
        values: whether the record also holds what the weights were on.
    """
    record = AttentionRecord()

    def ask_for_weights(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, "need_weights": True}

    handles, recorded = [], []
    for name, module in model.named_modules():
        if isinstance(module, Attention) and (names is None or name in names):
            recorded.append(module)
            module.recorders += 1

            def report(
                module: Any, args: Any, kwargs: dict[str, Any], output: tuple[Tensor, Tensor], name: str = name
            ) -> None:
                weights, pattern = output[1].detach() if detach else output[1], module.pattern
                seen = None if pattern is None else partial(seen_in_call, pattern, weights.shape, *args, **kwargs)
                record.append(name, weights, seen)
                if values:  # those of the last call, which has seen the most
                    record.attended[name] = (args[1] if len(args) > 1 else kwargs["memory"]).value

            handles.append(module.register_forward_pre_hook(ask_for_weights, with_kwargs=True))
            handles.append(module.register_forward_hook(report, with_kwargs=True))
    try:
        yield record
    finally:
        for handle in handles:
            handle.remove()
        for module in recorded:
            module.recorders -= 1
