"""Token embeddings and positions."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from seq2seq.dropout import Dropout
from seq2seq.errors import UserError


def embedding_table(vocab_size: int, d_embedding: int, *, padding_index: int) -> nn.Embedding:
    """Return a table (vocab_size, d_embedding) with standard deviation 1 / sqrt(d_embedding) and a zero padding row."""
    table = nn.Embedding(vocab_size, d_embedding, padding_idx=padding_index)
    with torch.no_grad():
        table.weight.normal_(std=d_embedding**-0.5)
        table.weight[padding_index].zero_()
    return table


class SinusoidalPositions(nn.Module):
    """PE(pos, 2i) = sin(pos / 10000^(2i/d)), PE(pos, 2i+1) = cos(...) (Vaswani et al. 2017, 3.5). Of any length."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        if d_model % 2:
            raise UserError(f"sinusoidal positions need an even d_model, not {d_model}")
        self.d_model = d_model

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """Return the positions offset, offset + 1, ... of x (batch, length, d_model) as (length, d_model)."""
        positions = torch.arange(offset, offset + x.shape[1], device=x.device, dtype=torch.float32)
        rates = torch.exp(
            torch.arange(0, self.d_model, 2, device=x.device, dtype=torch.float32) * (-math.log(10000.0) / self.d_model)
        )
        angles = positions[:, None] * rates
        return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1).to(x.dtype)


class LearnedPositions(nn.Module):
    """A learned vector a position, up to max_positions (Gehring et al. 2017, 3.1)."""

    def __init__(self, d_model: int, *, max_positions: int = 512) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(max_positions, d_model) * d_model**-0.5)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """Return the positions offset, offset + 1, ... of x (batch, length, d_model) as (length, d_model)."""
        end = offset + x.shape[1]
        if end > len(self.weight):
            raise UserError(
                f"learned positions end at {len(self.weight)}, but a sentence has {end} tokens; "
                f"lower loader.max_length, or train with +encoder.positions.max_positions={end} and the decoder's"
            )
        return self.weight[offset:end]


class PositionedEmbedding(nn.Module):
    """A Transformer's input: embedding · sqrt(d_model) + position, then dropout (Vaswani et al. 2017, 3.4-3.5).

    A table of another width than d_model is projected, so that it may be shared with a recurrent side.
    """

    def __init__(
        self, table: nn.Embedding, d_model: int, *, positions: Callable[[int], nn.Module], dropout: float
    ) -> None:
        super().__init__()
        self.table = table
        d_embedding = table.embedding_dim
        self.project = nn.Identity() if d_embedding == d_model else nn.Linear(d_embedding, d_model, bias=False)
        self.scale = d_embedding**0.5
        self.positions = positions(d_model)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor, offset: int = 0) -> Tensor:
        """Return (batch, length, d_model) of token ids (batch, length), the first of which stands at offset."""
        x = self.project(self.table(tokens) * self.scale)
        return self.dropout(x + self.positions(x, offset))
