"""Dropout that is cheap on a CPU."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 256
"""Values of a random byte."""


class Dropout(nn.Dropout):
    """Zeroes a share p of the elements in training and scales the others up (Srivastava et al. 2014)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x with dropout."""
        return dropout(x, self.p, self.training)


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Return x with each element zero with probability p and else divided by 1 - p; x itself where not training.

    On a CPU drawing random numbers takes a fifth of a Transformer's training, so there an element gets one random byte,
    not eight: p is rounded to a multiple of 1/256, and the scale is that of the rounded p. Elsewhere it is PyTorch's,
    and under torch.compile, which cannot trace how the bytes are drawn.
    """
    dropped = round(LEVELS * p)
    if not training or x.device.type != "cpu" or not 0 < dropped < LEVELS or torch.compiler.is_compiling():
        return F.dropout(x, p, training)
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
    bytes_ = words.view(torch.uint8)[: x.numel()].view(x.shape)
    # Compared into floats at once: vectorised, which a comparison into truth values is not.
    keep = torch.ge(bytes_, dropped, out=torch.empty(x.shape, dtype=x.dtype, device=x.device))
    return x * keep.mul_(LEVELS / (LEVELS - dropped))
