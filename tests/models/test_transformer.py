"""The Transformer against torch's layers, weights copied over."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from seq2seq.attention import LearnedPositions, ScaledDot, SinusoidalPositions, Softmax, padding_mask
from seq2seq.models import EncoderOutput, TransformerDecoder, TransformerEncoder
from seq2seq.models.embedding import embedding_table

D, HEADS, D_FEEDFORWARD = 14, 2, 17
pre_and_post = pytest.mark.parametrize("norm_first", [True, False], ids=["pre-norm", "post-norm"])


def options(*, norm_first: bool, positions: Callable[[int], nn.Module]) -> dict[str, Any]:
    return {
        "d_model": D, "num_layers": 2, "num_heads": HEADS, "d_feedforward": D_FEEDFORWARD, "dropout": 0.0,
        "attention_dropout": 0.0, "feedforward_dropout": 0.0, "norm_first": norm_first, "positions": positions,
        "self_score": ScaledDot, "self_normalizer": Softmax,
    }  # fmt: skip


def randomize(model: nn.Module) -> None:
    """Give norms and biases values of their own: at ones and zeros a mix-up would not show."""
    for name, parameter in model.named_parameters():
        nn.init.normal_(parameter, mean=float("norm.weight" in name), std=0.3)


def copy_attention(theirs: nn.MultiheadAttention, ours: Any) -> None:
    theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
    theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key.bias, ours.value.bias]))
    theirs.out_proj.load_state_dict(ours.output.state_dict())


@torch.no_grad()
def copy_rest(theirs: Any, feedforward: Any, *residuals: Any) -> None:
    theirs.linear1.load_state_dict(feedforward[0].state_dict())
    theirs.linear2.load_state_dict(feedforward[3].state_dict())
    for norm, residual in zip((theirs.norm1, theirs.norm2, getattr(theirs, "norm3", None)), residuals, strict=False):
        norm.load_state_dict(residual.norm.state_dict())


def same_gradients(model: Any, actual: Tensor, expected: Tensor) -> None:
    """Check that both outputs move the embeddings alike: the gradient has passed through every layer."""
    table = model.embedding.table.weight
    ours, theirs = (torch.autograd.grad(x.square().sum(), table, retain_graph=True)[0] for x in (actual, expected))
    assert ours.count_nonzero()
    assert_close(ours, theirs)


@pytest.mark.parametrize("positions", [SinusoidalPositions, LearnedPositions])
@pre_and_post
def test_encoder_equals_torch(norm_first: bool, positions: Callable[[int], nn.Module]) -> None:
    encoder = TransformerEncoder(
        embedding_table(23, 13, padding_index=1), **options(norm_first=norm_first, positions=positions)
    ).double()
    randomize(encoder)
    lengths = torch.tensor([5, 11, 1])
    mask = padding_mask(lengths, 11)
    source = torch.randint(2, 23, (3, 11))
    states, same_mask, summary = encoder(source, mask, lengths)

    x = encoder.embedding(source)
    layer: Any
    for layer in encoder.layers:
        theirs = nn.TransformerEncoderLayer(
            D, HEADS, D_FEEDFORWARD, dropout=0.0, batch_first=True, norm_first=norm_first
        ).double()
        with torch.no_grad():
            copy_attention(theirs.self_attn, layer.self_attention)
        copy_rest(theirs, layer.feedforward, layer.self_residual, layer.feedforward_residual)
        x = theirs(x, src_key_padding_mask=~mask)
    expected = encoder.norm(x)
    assert isinstance(encoder.norm, nn.LayerNorm) == norm_first
    assert_close(states[mask], expected[mask])
    same_gradients(encoder, states[mask], expected[mask])
    assert same_mask is mask
    assert_close(summary, torch.stack([expected[i, :n].mean(0) for i, n in enumerate(lengths)]))


@pre_and_post
def test_decoder_equals_torch(norm_first: bool) -> None:
    decoder = TransformerDecoder(
        embedding_table(29, 13, padding_index=1), d_encoder=D, d_summary=D, score=ScaledDot, normalizer=Softmax,
        **options(norm_first=norm_first, positions=SinusoidalPositions),
    ).double()  # fmt: skip
    randomize(decoder)
    mask = padding_mask(torch.tensor([11, 3, 1]), 11)
    states = torch.randn(3, 11, D).double()
    tokens = torch.randint(2, 29, (3, 7))
    features = decoder(tokens, decoder.begin(EncoderOutput(states, mask, states[:, 0])))

    x = decoder.embedding(tokens)
    layer: Any
    for layer in decoder.layers:
        theirs = nn.TransformerDecoderLayer(
            D, HEADS, D_FEEDFORWARD, dropout=0.0, batch_first=True, norm_first=norm_first
        ).double()
        with torch.no_grad():
            copy_attention(theirs.self_attn, layer.self_attention)
            copy_attention(theirs.multihead_attn, layer.cross_attention)
        copy_rest(theirs, layer.feedforward, layer.self_residual, layer.cross_residual, layer.feedforward_residual)
        hidden = ~torch.ones(7, 7, dtype=torch.bool).tril()
        x = theirs(x, states, tgt_mask=hidden, memory_key_padding_mask=~mask)
    expected = decoder.norm(x)
    assert_close(features, expected)
    same_gradients(decoder, features, expected)


def test_heads_that_do_not_divide_the_size_are_a_user_error() -> None:
    wrong = {**options(norm_first=True, positions=SinusoidalPositions), "num_heads": 3}
    with pytest.raises(ValueError, match=r"d_model=14 is not a multiple of num_heads=3"):
        TransformerEncoder(embedding_table(23, 13, padding_index=1), **wrong)


def test_fewer_key_heads_make_smaller_memories_and_caches() -> None:
    decoder = TransformerDecoder(
        embedding_table(29, 13, padding_index=1), d_encoder=D, d_summary=D, score=ScaledDot, normalizer=Softmax,
        num_key_heads=1, **options(norm_first=True, positions=SinusoidalPositions),
    )  # fmt: skip
    states = torch.randn(3, 5, D)
    state = decoder.begin(EncoderOutput(states, torch.ones(3, 5, dtype=torch.bool), states[:, 0]))
    assert [x.shape for memory in state.memory for x in memory[:2]] == [(3, 1, 5, D // HEADS)] * 4
    assert [x.shape for x in state.beams] == [(3, 1, 1, 0, D // HEADS)] * 4
    state = state.reorder(torch.zeros(3, 2, dtype=torch.int64))
    _, state = decoder.step(torch.full((3, 2), 5), state)
    assert [x.shape for x in state.beams] == [(3, 2, 1, 1, D // HEADS)] * 4


@pre_and_post
def test_under_autocast_what_a_sublayer_reads_is_cast_once(norm_first: bool) -> None:
    table, parts = (
        embedding_table(23, 13, padding_index=1),
        options(norm_first=norm_first, positions=SinusoidalPositions),
    )
    encoder = TransformerEncoder(table, **parts)
    decoder = TransformerDecoder(table, d_encoder=D, d_summary=D, score=ScaledDot, normalizer=Softmax, **parts)
    seen: dict[str, Tensor] = {}

    def note(name: str) -> Callable[..., None]:
        return lambda _, inputs: seen.__setitem__(name, inputs[0])

    for name, attention in {
        "encoder": encoder.layers[0].self_attention,
        "decoder": decoder.layers[0].self_attention,
        "cross 0": decoder.layers[0].cross_attention,
        "cross 1": decoder.layers[1].cross_attention,
    }.items():
        for part in ("query", "key", "value"):
            getattr(attention, part).register_forward_pre_hook(note(f"{name} {part}"))
    tokens, mask = torch.tensor([[4, 5, 6]]), torch.ones(1, 3, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16):
        output = encoder(tokens, mask, torch.tensor([3]))
        decoder(tokens, decoder.begin(output))
    assert {x.dtype for x in seen.values()} == {torch.bfloat16}
    for side in ("encoder", "decoder"):
        assert seen[f"{side} query"] is seen[f"{side} key"] is seen[f"{side} value"]
    assert seen["cross 0 key"] is seen["cross 0 value"] is seen["cross 1 key"] is seen["cross 1 value"]
