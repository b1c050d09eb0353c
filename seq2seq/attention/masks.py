"""Visibility masks: bool, True = may attend, broadcastable to (..., query, key): the meaning of PyTorch's SDPA."""

import torch
from torch import Tensor

from seq2seq.errors import UserError


def padding_mask(lengths: Tensor, max_length: int) -> Tensor:
    """Return which positions hold a real token, (batch, max_length), from lengths (batch,)."""
    return torch.arange(max_length, device=lengths.device) < lengths[:, None]


def causal_mask(query_length: int, key_length: int, *, device: torch.device) -> Tensor:
    """Return key <= query, (query, key), aligned at the top left: query 2 sees keys 0, 1, 2."""
    return torch.ones(query_length, key_length, dtype=torch.bool, device=device).tril()


def combine_masks(*masks: Tensor | None) -> Tensor | None:
    """Return what is visible under every one of the masks; None where all are None (everything is visible)."""
    combined = None
    for mask in masks:
        if mask is not None:
            combined = mask if combined is None else combined & mask
    return combined


def check_mask(mask: Tensor, query: Tensor, keys: Tensor) -> None:
    """Refuse what is no bool mask broadcastable to (..., query, key).

    Kernels take a float mask for an offset of the scores, or a wrong shape for other queries, without a word.

    Args:
        mask: what a user gave.
        query: (..., query, d_query).
        keys: (..., key, d_score).

    Raises:
        UserError: naming what was given and what is meant.
    """
    if getattr(mask, "dtype", None) is not torch.bool:
        raise UserError(
            f"the attention mask is {getattr(mask, 'dtype', type(mask).__name__)}; give torch.bool, True = may attend: "
            "mask.bool() where 1 is visible, mask == 0 where it was to be added to the scores"
        )
    shape, queries, num_keys = mask.shape, query.shape, keys.shape[-2]
    if 0 < len(shape) <= len(queries) and shape[-1] == num_keys:
        for axis in range(-len(shape), -1):
            if shape[axis] != 1 and shape[axis] != queries[axis]:
                break
        else:
            return  # as it nearly always is: what follows takes longer
    of_keys = keys.shape[:-2]
    if len(queries) == keys.dim():  # heads may share keys: then those of the queries count
        of_keys = torch.Size(
            1 if of_query > of_key else of_key for of_query, of_key in zip(queries, of_keys, strict=False)
        )
    wanted = (*torch.broadcast_shapes(queries[:-2], of_keys), queries[-2], num_keys)
    missing = len(wanted) - len(shape)
    if missing < 0 or any(size not in (n, 1) for size, n in zip(shape, wanted[missing:], strict=True)):
        raise UserError(
            f"the attention mask is {tuple(shape)}, which does not broadcast to {tuple(wanted)}, (..., query, key)"
        )
