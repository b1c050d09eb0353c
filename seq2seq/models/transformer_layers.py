"""The layers of a Transformer: what is added to what, and what attends to what (Vaswani et al. 2017, 3.1)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from seq2seq.attention import Memory, MultiHeadAttention
from seq2seq.dropout import Dropout
from seq2seq.errors import UserError

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "swish": nn.SiLU}
"""What bends the inside of a feed-forward sublayer: max(0, x); x Φ(x); x σ(x)."""


def as_autocast(x: Tensor) -> Tensor:
    """Return x, of any shape, as autocast gives it to products: once for all that read it, and not for each."""
    kind = x.device.type
    if x.dtype is not torch.float32 or kind == "meta" or not torch.is_autocast_enabled(kind):
        return x
    return x.to(torch.get_autocast_dtype(kind))


class Residual(nn.Module):
    """x + dropout(f(norm(x))), or norm(x + dropout(f(x))) (post-norm, the original)."""

    def __init__(self, d_model: int, *, dropout: float, norm_first: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d_model)
        self.dropout = Dropout(dropout)
        self.norm_first = norm_first

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """Return x (..., d_model) with the sublayer's output added."""
        if self.norm_first:
            return x + self.dropout(sublayer(as_autocast(self.norm(x))))
        return self.norm(x + self.dropout(sublayer(as_autocast(x))))


class FeedForward(nn.Sequential):
    """W_2 relu(W_1 x), position by position (Vaswani et al. 2017, eq. 2), or with another activation of `ACTIVATIONS`.

    Raises:
        UserError: there is no such activation.
    """

    def __init__(self, d_model: int, d_feedforward: int, *, activation: str, dropout: float) -> None:
        if activation not in ACTIVATIONS:
            raise UserError(f"activation={activation} is not known: use {', '.join(ACTIVATIONS)}")
        layers = nn.Linear(d_model, d_feedforward), nn.Linear(d_feedforward, d_model)
        for layer in layers:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        super().__init__(layers[0], ACTIVATIONS[activation](), Dropout(dropout), layers[1])


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward."""

    def __init__(
        self, *, self_attention: MultiHeadAttention, feedforward: FeedForward, residual: Callable[[], Residual]
    ) -> None:
        super().__init__()
        self.self_attention = self_attention
        self.feedforward = feedforward
        self.self_residual = residual()
        self.feedforward_residual = residual()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return (batch, source, d_model) of the same, mask (batch, 1, 1, source)."""

        def attend(x: Tensor) -> Tensor:
            return self.self_attention(x, self.self_attention.memory(x, x, mask))[0]

        return self.feedforward_residual(self.self_residual(x, attend), self.feedforward)


class DecoderLayer(nn.Module):
    """Causal self-attention, cross-attention, then feed-forward."""

    def __init__(
        self,
        *,
        self_attention: MultiHeadAttention,
        cross_attention: MultiHeadAttention,
        feedforward: FeedForward,
        residual: Callable[[], Residual],
    ) -> None:
        super().__init__()
        self.self_attention = self_attention
        self.cross_attention = cross_attention
        self.feedforward = feedforward
        self.self_residual = residual()
        self.cross_residual = residual()
        self.feedforward_residual = residual()

    def forward(
        self,
        x: Tensor,
        attend_to_self: Callable[[Tensor], Tensor],
        memory: Memory,
        places: Tensor | None = None,
    ) -> Tensor:
        """Return (batch, target, d_model) of the same.

        Args:
            x: (batch, target, d_model).
            attend_to_self: how a token sees earlier ones.
            memory: of the source.
            places: of the tokens, (target,); None: 0, 1, ...
        """
        x = self.self_residual(x, attend_to_self)
        x = self.cross_residual(x, lambda x: self.cross_attention(x, memory, places=places)[0])
        return self.feedforward_residual(x, self.feedforward)
