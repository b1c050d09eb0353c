"""The model: an encoder, a decoder, and the projection of its features to the vocabulary."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seq2seq.attention import Attention
from seq2seq.errors import UserError
from seq2seq.models.interface import Decoder, DecoderState, Encoder, EncoderOutput


class EncoderDecoder(nn.Module):
    """p(target | source). Only features of real target tokens are projected to the vocabulary.

    Args:
        encoder: reads the source.
        decoder: predicts the target.
        vocab_size: of the target.
        output_table: the embeddings whose weights the projection shares; None for weights of its own.
        output_bias: whether each token of the vocabulary has a bias in the projection.
        first_token: what every translation is forced to begin with, such as a language; None: nothing.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        *,
        vocab_size: int,
        output_table: nn.Embedding | None = None,
        output_bias: bool = False,
        first_token: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.first_token = first_token
        self.output = nn.Linear(decoder.d_features, vocab_size, bias=output_bias)
        if output_bias:
            nn.init.zeros_(self.output.bias)
        if output_table is None:
            nn.init.xavier_uniform_(self.output.weight)
        elif output_table.embedding_dim != decoder.d_features:
            raise UserError(
                f"model.tie_output needs features as wide as target embeddings, not {decoder.d_features} and "
                f"{output_table.embedding_dim}; set model.d_embedding={decoder.d_features} or model.tie_output=false"
            )
        else:
            self.output.weight = output_table.weight

    def encode(self, source: Tensor, source_mask: Tensor, source_lengths: Tensor) -> EncoderOutput:
        """Return the encoded source; ids (batch, source), mask (batch, source), lengths (batch,)."""
        return self.encoder(source, source_mask, source_lengths)

    def begin(self, source: Tensor, source_mask: Tensor, source_lengths: Tensor) -> DecoderState:
        """Return the decoder's state before the first token of each sentence's translation."""
        return self.decoder.begin(self.encode(source, source_mask, source_lengths))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return logits (batch, beam, vocab) of what follows tokens (batch, beam), and the state."""
        features, after = self.decoder.step(tokens, state)
        logits: Tensor = self.output(features)
        if self.first_token is not None and state.place == 0:  # sure, so that it says nothing of a translation
            first = logits[..., self.first_token].clone()
            logits = torch.full_like(logits, -torch.inf)
            logits[..., self.first_token] = first
        return logits, after

    def forward(
        self,
        source: Tensor,
        source_mask: Tensor,
        source_lengths: Tensor,
        target_input: Tensor,
        target_indices: Tensor,
    ) -> Tensor:
        """Return logits (tokens, vocab) of the real target tokens of a batch, row by row; arguments as `features`."""
        return self.output(self.features(source, source_mask, source_lengths, target_input, target_indices))

    def features(
        self,
        source: Tensor,
        source_mask: Tensor,
        source_lengths: Tensor,
        target_input: Tensor,
        target_indices: Tensor,
    ) -> Tensor:
        """Return features (tokens, d_features), which `output` makes logits, of the real target tokens, row by row.

        Args:
            source: ids (batch, source), right-padded; with mask (batch, source) and lengths (batch,).
            source_mask: True = real token.
            source_lengths: number of real tokens.
            target_input: BOS and tokens (batch, target), right-padded.
            target_indices: flat positions (tokens,) in (batch · target) of the real ones.
        """
        features = self.decoder(target_input, self.begin(source, source_mask, source_lengths))
        return features.flatten(0, 1).index_select(0, target_indices)


class Site(NamedTuple):
    """Where an attention sits in an encoder-decoder; as text `cross/layer0`."""

    kind: str  # cross (decoder to source), encoder (self), decoder (causal self)
    layer: int  # from 0

    def __str__(self) -> str:
        return f"{self.kind}/layer{self.layer}"


def site_of(name: str) -> Site:
    """Return where the attention of a module name sits, as `record_attention` reports it for an `EncoderDecoder`."""
    side, *rest = name.split(".")
    layer = next((int(part) for part in rest if part.isdigit()), 0)
    return Site(side if side == "encoder" or "self_attention" in rest else "cross", layer)


def cross_attentions(model: nn.Module) -> list[str]:
    """Return the names of a model's attention modules that look at the source, the lowest layer first."""
    return [n for n, m in model.named_modules() if isinstance(m, Attention) and site_of(n).kind == "cross"]
