"""Token embeddings, and what a Transformer takes in."""

import torch
from torch import Tensor, nn

from seq2seq.attention.positions import Positions
from seq2seq.dropout import Dropout
from seq2seq.errors import UserError


def embedding_table(vocab_size: int, d_embedding: int, *, padding_index: int) -> nn.Embedding:
    """Return a table (vocab_size, d_embedding) with standard deviation 1 / sqrt(d_embedding) and a zero padding row."""
    table = nn.Embedding(vocab_size, d_embedding, padding_idx=padding_index)
    with torch.no_grad():
        table.weight.normal_(std=d_embedding**-0.5)
        table.weight[padding_index].zero_()
    return table


class PositionedEmbedding(nn.Module):
    """A Transformer's input: embedding · sqrt(d_model) + position, then dropout (Vaswani et al. 2017, 3.4-3.5).

    A table of another width than d_model is projected, so that it may be shared with a recurrent side. Some models go
    without the factor: scale_embedding is whether it is there.
    """

    def __init__(
        self,
        table: nn.Embedding,
        d_model: int,
        *,
        positions: Positions,
        dropout: float,
        scale_embedding: bool = True,
    ) -> None:
        super().__init__()
        self.table = table
        d_embedding = table.embedding_dim
        self.project = nn.Identity() if d_embedding == d_model else nn.Linear(d_embedding, d_model, bias=False)
        self.scale = d_embedding**0.5 if scale_embedding else 1.0
        self.positions = positions
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor, place: int = 0, lengths: Tensor | None = None) -> Tensor:
        """Return (batch, length, d_model) of token ids (batch, length).

        Args:
            tokens: ids.
            place: of the first token.
            lengths: (batch,) of the sentences, where they are known.

        Raises:
            UserError: a sentence is longer than there are positions.
        """
        end, limit = place + tokens.shape[1], self.positions.limit
        if limit is not None and end > limit:
            raise UserError(
                f"{type(self.positions).__name__} end at {limit}, but a sentence has {end} tokens; "
                f"lower loader.max_length, or train with encoder.positions.max_positions={end} and the decoder's"
            )
        x = self.project(self.table(tokens) * self.scale)
        places = torch.arange(place, end, device=tokens.device)
        return self.dropout(self.positions.embed(x, places, lengths))
