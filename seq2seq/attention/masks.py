"""Visibility masks: bool, True = may attend, broadcastable to (..., query, key): the meaning of PyTorch's SDPA."""

import torch
from torch import Tensor


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
