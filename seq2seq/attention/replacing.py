"""Put other weights in the place of a model's own, without the model knowing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from seq2seq.attention.attention import Attention
from seq2seq.attention.memory import Memory, one_a_head
from seq2seq.attention.recorder import seen_in_call

Change = Callable[[Tensor, Tensor], Tensor]
"""Returns other weights (batch, [heads,] query, key) for a call's own ones, told which keys each query sees, bool of
their shape."""


@contextmanager
def replace_attention(model: nn.Module, changes: Mapping[str, Change]) -> Iterator[None]:
    """Let attentions go by other weights while the block runs.

        context = finish(other weights · value)

    All that follows is told the other weights, too: the context, a score that remembers, and who records. Outside the
    block nothing changes. The block inside which this one stands sees what this one has made.

    Args:
        model: any, with `Attention` modules in it.
        changes: by the attention's module name.
    """
    handles, changed = [], []

    def ask_for_weights(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, {**kwargs, "need_weights": True}

    for name, change in changes.items():
        module: Any = model.get_submodule(name)
        changed.append(module)
        module.recorders += 1

        def put(
            module: Attention, args: Any, kwargs: Any, output: tuple[Tensor, Tensor], *, change: Change
        ) -> tuple[Tensor, Tensor]:
            context, own = output
            memory: Memory = args[1] if len(args) > 1 else kwargs["memory"]
            weights = change(own, seen_in_call(module.pattern, own.shape, *args, **kwargs))
            value = one_a_head(memory.value, weights)
            if module.adds_up:  # what else is in the context hangs on what a row sums to alone
                return context + (weights - own).to(value.dtype) @ value, weights
            context = weights.to(value.dtype) @ value
            return module.normalizer.finish(context, weights, memory.mask), weights

        handles.append(module.register_forward_pre_hook(ask_for_weights, with_kwargs=True))
        hook = partial(put, change=change)
        handles.append(module.register_forward_hook(hook, with_kwargs=True, prepend=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module in changed:
            module.recorders -= 1
