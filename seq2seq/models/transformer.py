"""Transformer encoder and decoder (Vaswani et al. 2017), pre- or post-norm."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from seq2seq.attention import Full, MultiHeadAttention, Normalizer, Pattern, Positions, Score
from seq2seq.errors import UserError
from seq2seq.models.embedding import PositionedEmbedding
from seq2seq.models.interface import DecoderState, EncoderOutput
from seq2seq.models.transformer_layers import DecoderLayer, EncoderLayer, FeedForward, Residual, as_autocast


class TransformerStack(nn.Module):
    """What encoder and decoder share: the embedding, the parts of a layer, and the last norm.

    Args:
        table: embeddings (vocab, d_embedding).
        two_sided: whether a token sees those after it.
        d_model: size of a state.
        num_layers: layers.
        num_heads: heads a layer.
        num_key_heads: heads of keys and values, in cross-attention too; None: num_heads.
        d_feedforward: inner size of the feed-forward sublayer.
        dropout: on embeddings and on each sublayer's output.
        attention_dropout: on attention weights.
        feedforward_dropout: inside the feed-forward sublayer.
        activation: inside the feed-forward sublayer, as `FeedForward`.
        scale_embedding: whether embeddings are multiplied by the root of their size.
        norm_first: pre-norm (with a last norm at the end), else post-norm.
        positions: called as positions(d_model, d_head=, num_heads=, two_sided=).
        pattern: of self-attention, called as pattern(d_head, num_heads=, seat=).
        self_score: called as score(d_head, d_head, num_heads=).
        self_normalizer: called as normalizer(num_heads=, d_value=, layer=).
        gate: whether each head's context is gated.
        kept_heads: of self-attention, a list of heads a layer; None: all.
    """

    def __init__(
        self,
        table: nn.Embedding,
        *,
        two_sided: bool,
        d_model: int,
        num_layers: int,
        num_heads: int,
        num_key_heads: int | None = None,
        d_feedforward: int,
        dropout: float,
        attention_dropout: float,
        feedforward_dropout: float,
        activation: str = "relu",
        scale_embedding: bool = True,
        norm_first: bool,
        positions: Callable[..., Positions],
        pattern: Callable[..., Pattern] = Full,
        self_score: Callable[..., Score],
        self_normalizer: Callable[..., Normalizer],
        gate: bool = False,
        kept_heads: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        heads = max(num_heads, 1)  # an attention refuses fewer
        made = positions(d_model, d_head=d_model // heads, num_heads=heads, two_sided=two_sided)
        self.embedding = PositionedEmbedding(
            table, d_model, positions=made, dropout=dropout, scale_embedding=scale_embedding
        )
        self.num_layers = num_layers
        self._kept_heads = a_layer("kept_heads", kept_heads, num_layers)
        attention = partial(
            MultiHeadAttention, d_model, num_heads, num_key_heads=num_key_heads, gate=gate, dropout=attention_dropout
        )
        self._cross_attention = attention
        self._self_attention = partial(
            attention,
            score=self_score,
            normalizer=self_normalizer,
            pattern=partial(pattern, seat="encoder" if two_sided else "decoder"),
            positions=made,
        )
        self._feedforward = partial(
            FeedForward, d_model, d_feedforward, activation=activation, dropout=feedforward_dropout
        )
        self._residual = partial(Residual, d_model, dropout=dropout, norm_first=norm_first)
        self.norm = nn.LayerNorm(d_model) if norm_first else nn.Identity()


class TransformerEncoder(TransformerStack):
    """Returns states that have seen the whole sentence; their masked mean is the summary. Arguments as the stack's."""

    def __init__(self, table: nn.Embedding, *, d_model: int, **options: Any) -> None:
        super().__init__(table, two_sided=True, d_model=d_model, **options)
        self.d_model = d_model
        self.d_summary = d_model
        layers = (
            EncoderLayer(
                self_attention=self._self_attention(layer=layer, kept_heads=kept),
                feedforward=self._feedforward(),
                residual=self._residual,
            )
            for layer, kept in enumerate(self._kept_heads)
        )
        # nn.ModuleList does not tell the type of what it holds.
        self.layers = cast(Sequence[EncoderLayer], nn.ModuleList(layers))

    def forward(self, source: Tensor, source_mask: Tensor, lengths: Tensor) -> EncoderOutput:
        """Return states (batch, source, d_model) of source ids and mask (batch, source), lengths (batch,)."""
        x = self.embedding(source, lengths=lengths)
        mask = source_mask[:, None, None, :]
        for layer in self.layers:
            x = layer(x, mask)
        states = self.norm(x)
        summary = states.masked_fill(~source_mask[..., None], 0.0).sum(1) / lengths.clamp(min=1)[:, None]
        return EncoderOutput(states, source_mask, summary.to(states.dtype))


class TransformerDecoder(TransformerStack):
    """Predicts with causal self-attention and cross-attention; keys and values of earlier tokens are kept for search.

    Args: as the stack's, and
        d_encoder: size of the encoder's states.
        d_summary: size of its summary, which a Transformer does not use.
        score: of cross-attention, called as score(d_head, d_head, num_heads=).
        normalizer: of cross-attention, called as normalizer(num_heads=, d_value=, layer=).
        cross_pattern: of cross-attention, called as pattern(d_head, num_heads=, seat=).
        kept_cross_heads: of cross-attention, a list of heads a layer; None: all.
    """

    def __init__(
        self,
        table: nn.Embedding,
        *,
        d_encoder: int,
        d_summary: int,
        d_model: int,
        score: Callable[..., Score],
        normalizer: Callable[..., Normalizer],
        cross_pattern: Callable[..., Pattern] = Full,
        kept_cross_heads: Sequence[Sequence[int]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(table, two_sided=False, d_model=d_model, **options)
        self.d_features = d_model
        cross = partial(
            self._cross_attention,
            score=score,
            normalizer=normalizer,
            pattern=partial(cross_pattern, seat="cross"),
            d_memory=d_encoder,
        )
        kept_a_layer = a_layer("kept_cross_heads", kept_cross_heads, self.num_layers)
        layers = (
            DecoderLayer(
                self_attention=self._self_attention(layer=layer, kept_heads=kept),
                cross_attention=cross(layer=layer, kept_heads=kept_of_cross),
                feedforward=self._feedforward(),
                residual=self._residual,
            )
            for layer, (kept, kept_of_cross) in enumerate(zip(self._kept_heads, kept_a_layer, strict=True))
        )
        # nn.ModuleList does not tell the type of what it holds.
        self.layers = cast(Sequence[DecoderLayer], nn.ModuleList(layers))
        self.placed = any(layer.self_attention.placed or layer.cross_attention.placed for layer in self.layers)

    def begin(self, encoder_output: EncoderOutput) -> DecoderState:
        """Return the state before the first token: each layer's memory of the source, and empty caches.

        The beams of the state are, layer by layer, keys (batch, beam, key heads, past, d_score) and
        values (batch, beam, key heads, past, d_head); or sums of both, as `Attention.nothing` says.
        """
        states, mask, _ = encoder_output
        one = states.new_zeros(states.shape[0], 1, self.d_features)
        seen, memories, caches = as_autocast(states), [], []
        for layer in self.layers:
            memories.append(layer.cross_attention.memory(seen, seen, mask[:, None, None, :]))
            caches += [x.unsqueeze(1) for x in layer.self_attention.nothing(one)]
        return DecoderState(tuple(memories), tuple(caches))

    def forward(self, tokens: Tensor, state: DecoderState) -> Tensor:
        """Return features (batch, target, d_model) of tokens (batch, target).

        Padding stands at the right, where the causal mask alone hides it from real tokens.
        """
        x = self.embedding(tokens)
        for layer, memory in zip(self.layers, state.memory, strict=True):

            def attend(x: Tensor, attention: MultiHeadAttention = layer.self_attention) -> Tensor:
                return attention(x, attention.memory(x, x), causal=True)[0]

            x = layer(x, attend, memory)
        return self.norm(x)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return features (batch, beam, d_model) after tokens (batch, beam), and the state with them in its caches."""
        x = self.embedding(tokens.flatten()[:, None], state.place).view(*tokens.shape, -1)
        # All beams of a sentence are queries at one place.
        places = torch.full((tokens.shape[1],), state.place, device=tokens.device) if self.placed else None
        place = None if places is None else places[:1]
        caches: list[Tensor] = []
        for i, (layer, memory) in enumerate(zip(self.layers, state.memory, strict=True)):
            cached = state.beams[2 * i : 2 * i + 2]

            def attend(
                x: Tensor,
                attention: MultiHeadAttention = layer.self_attention,
                cached: tuple[Tensor, ...] = cached,
            ) -> Tensor:
                """Each beam is one query, on its own past: beams join the batch."""
                x = x.flatten(0, 1).unsqueeze(1)
                seen = attention.extend(tuple(old.flatten(0, 1) for old in cached), x, place)
                caches.extend(new.unflatten(0, tokens.shape) for new in seen[:2])
                return attention(x, seen, places=place)[0].view(*tokens.shape, -1)

            x = layer(x, attend, memory, places)
        return self.norm(x), state._replace(beams=tuple(caches), place=state.place + 1)


def a_layer(key: str, kept: Any, num_layers: int) -> list[Sequence[int] | None]:
    """Return what each layer keeps of its heads, None where all.

    Raises:
        UserError: that is no list of a list for each layer.
    """
    if kept is None:
        return [None] * num_layers
    if not isinstance(kept, Sequence) or isinstance(kept, str) or len(kept) != num_layers:
        raise UserError(f"{key}={kept}: expected a list of heads for each of the {num_layers} layers, or null for all")
    return list(kept)
