"""Gradients through scores, against autograd by hand, and what a scale does to them."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from seq2seq.attention import Dot, ScaledDot, Score, SinusoidalPositions, Softmax
from seq2seq.data.batching import Batch, collate
from seq2seq.models import (
    LSTM,
    BahdanauDecoder,
    BottleneckDecoder,
    EncoderDecoder,
    RecurrentEncoder,
    TransformerDecoder,
    TransformerEncoder,
)
from seq2seq.models.embedding import embedding_table
from seq2seq.training.freezing import freeze
from seq2seq.training.gradients import score_gradients

BATCH = collate([([4, 5, 6, 7], [8, 9, 10], 0), ([4, 5], [9], 1)])


def transformer(d_model: int = 8, score: type[Score] = ScaledDot) -> EncoderDecoder:
    table = embedding_table(13, d_model, padding_index=1)
    options: dict[str, Any] = {
        "d_model": d_model, "num_layers": 1, "num_heads": 1, "d_feedforward": 8, "norm_first": True,
        "dropout": 0.5, "attention_dropout": 0.5, "feedforward_dropout": 0.5, "positions": SinusoidalPositions,
        "self_score": ScaledDot, "self_normalizer": Softmax,
    }  # fmt: skip
    decoder = partial(TransformerDecoder, table, d_encoder=d_model, d_summary=d_model, normalizer=Softmax)
    return EncoderDecoder(TransformerEncoder(table, **options), decoder(score=score, **options), vocab_size=13)


def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
    logits = model(batch.source, batch.source_mask, batch.source_lengths, batch.target_input, batch.target_indices)
    return nn.functional.cross_entropy(logits, batch.target_output, reduction="sum")


def test_norm_is_that_of_autograd_over_rows_that_matter() -> None:
    model: Any = transformer().eval()
    attention = model.decoder.layers[0].cross_attention.attention
    kept: list[Any] = []

    def keep(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        given[0].retain_grad()
        kept.append(given[0])

    attention.normalizer.register_forward_pre_hook(keep)
    attention.score.register_forward_hook(lambda _, __, scores: scores * 1)
    attention.score.fused_query = lambda query: None  # the explicit path, with its scores
    loss(model, BATCH).backward()
    rows = kept[0].grad.norm(dim=-1).flatten()  # two of eight are padding
    assert (rows > 0).sum() == 6 and len(rows) == 8
    found = score_gradients(transformer_like(model), BATCH)
    assert found["decoder.layers.0.cross_attention.attention"] == pytest.approx(rows[rows > 0].mean().item(), rel=1e-4)


def transformer_like(model: EncoderDecoder) -> EncoderDecoder:
    other = transformer()
    other.load_state_dict(model.state_dict())
    return other


def test_every_attention_is_measured_and_the_model_stays_as_it_was() -> None:
    model = transformer().train()
    with torch.inference_mode():
        found = score_gradients(model, BATCH)
    assert sorted(found) == sorted(
        name for name, module in model.named_modules() if name.endswith("attention.attention")
    )
    assert all(norm > 0 for norm in found.values())
    assert model.training and all(parameter.grad is None for parameter in model.parameters())


def test_parts_that_are_frozen_with_all_below_them_have_none() -> None:
    model = transformer()
    freeze(model, ["encoder"])  # the table, too, which is that of the decoder
    assert sorted(score_gradients(model, BATCH)) == [
        f"decoder.layers.0.{kind}_attention.attention" for kind in ("cross", "self")
    ]


def test_model_without_attention_has_none() -> None:
    table = embedding_table(13, 8, padding_index=1)
    encoder = RecurrentEncoder(table, d_model=8, num_layers=1, dropout=0.0, rnn=LSTM)
    nothing: Any = None
    decoder = BottleneckDecoder(
        table, d_encoder=8, d_summary=4, score=nothing, normalizer=nothing, d_model=8, num_layers=1, dropout=0.0,
        rnn=LSTM,
    )  # fmt: skip
    assert score_gradients(EncoderDecoder(encoder, decoder, vocab_size=13), BATCH) == {}


def test_steps_of_a_recurrent_decoder_count_together() -> None:
    table = embedding_table(13, 5, padding_index=1)
    options: dict[str, Any] = {"num_layers": 1, "dropout": 0.0, "rnn": LSTM}
    reader = RecurrentEncoder(table, d_model=6, **options)
    decoder = BahdanauDecoder(
        table, d_encoder=reader.d_model, d_summary=reader.d_summary, score=ScaledDot, normalizer=Softmax, d_model=6,
        d_readout=None, attention_dropout=0.0, **options,
    )  # fmt: skip
    assert score_gradients(EncoderDecoder(reader, decoder, vocab_size=13), BATCH)["decoder.attention"] > 0


def test_without_the_scale_the_gradient_of_wide_heads_is_smaller() -> None:
    name = "decoder.layers.0.cross_attention.attention"

    def gradient(score: type[Score]) -> float:
        model: Any = transformer(512, score)
        cross = model.decoder.layers[0].cross_attention
        for projection in (cross.query, cross.key):
            nn.init.normal_(projection.weight, std=512**-0.5)  # queries and keys of unit variance
        return score_gradients(model, BATCH)[name]

    assert gradient(Dot) < 0.2 * gradient(ScaledDot)
