"""The whole model: which tokens are projected, shared weights, and the golden sizes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from seq2seq.attention import Additive, Softmax
from seq2seq.errors import UserError
from seq2seq.models import GRU, BahdanauDecoder, EncoderDecoder, LuongDecoder, RecurrentEncoder
from seq2seq.models.embedding import embedding_table

# Numbers of parameters by part, computed by hand. A GRU of n inputs and d states has 3d(n + d + 2).
GOLDEN = {
    ("gru2", "bahdanau-gru2"): {
        "encoder.table": 23 * 13,
        "encoder.forwards": 3 * 5 * (13 + 5 + 2) + 3 * 5 * (10 + 5 + 2),
        "encoder.backwards": 3 * 5 * (13 + 5 + 2) + 3 * 5 * (10 + 5 + 2),
        "decoder.table": 29 * 13,
        "decoder.bridge": (5 + 1) * 2 * 7,
        "decoder.rnn": 3 * 7 * (13 + 10 + 7 + 2) + 3 * 7 * (7 + 7 + 2),
        "decoder.attention": 7 * 7 + 10 * 7 + 7,
        "decoder.readout": (7 + 13 + 10 + 1) * 2 * 13,
        "output.weight": 29 * 13,
    },
    ("lstm1", "luong-feeding-lstm1"): {
        "encoder.table": 23 * 13,
        "encoder.forwards": 4 * 5 * (13 + 5 + 2),
        "encoder.backwards": 4 * 5 * (13 + 5 + 2),
        "decoder.table": 29 * 13,
        "decoder.bridge": (5 + 1) * 7,
        "decoder.rnn": 4 * 7 * (13 + 7 + 7 + 2),
        "decoder.attention": 7 * 7 + 10 * 7 + 7,
        "decoder.combine": (10 + 7) * 7,
        "output.weight": 29 * 7,
    },
    ("gru1", "bottleneck-gru1"): {
        "encoder.table": 23 * 13,
        "encoder.forwards": 3 * 5 * (13 + 5 + 2),
        "encoder.backwards": 3 * 5 * (13 + 5 + 2),
        "decoder.table": 29 * 13,
        "decoder.bridge": (5 + 1) * 7,
        "decoder.rnn": 3 * 7 * (13 + 7 + 2),
        "output.weight": 29 * 7,
    },
    ("transformer-pre2", "transformer-post1"): {
        "encoder.embedding": 23 * 13 + 13 * 14,
        "encoder.layers": 2 * (4 * (14 + 1) * 14 + (14 + 1) * 17 + (17 + 1) * 14 + 2 * 2 * 14),
        "encoder.norm": 2 * 14,
        "decoder.embedding": 29 * 13 + 13 * 14,
        # Cross-attention scores additively: two matrices and a vector a head of 7.
        "decoder.layers": 8 * (14 + 1) * 14 + 2 * (7 * 7 * 2 + 7) + (14 + 1) * 17 + (17 + 1) * 14 + 3 * 2 * 14,
        "output.weight": 29 * 14,
    },
}


@pytest.mark.parametrize(("encoder", "decoder"), GOLDEN)
def test_parameters_are_those_of_the_golden_table(
    build: Callable[..., EncoderDecoder], encoder: str, decoder: str
) -> None:
    counts: dict[str, int] = {}
    for name, parameter in build(encoder, decoder).named_parameters():
        part = ".".join(name.split(".")[:2])
        counts[part] = counts.get(part, 0) + parameter.numel()
    assert counts == GOLDEN[encoder, decoder]


def test_only_real_target_tokens_are_projected(build: Callable[..., EncoderDecoder], batch: dict[str, Tensor]) -> None:
    model = build("gru1", "luong-gru1")
    projected = []
    model.output.register_forward_pre_hook(lambda _, args: projected.append(args[0].shape))
    assert model(**batch).shape == (10, 29)
    assert projected == [(10, 7)]


def tied_model(d_model: int, *, shared: bool = True) -> Any:
    target = embedding_table(29, 7, padding_index=1)
    source = target if shared else embedding_table(29, 7, padding_index=1)
    encoder = RecurrentEncoder(source, d_model=6, num_layers=1, dropout=0.0, rnn=GRU)
    decoder = LuongDecoder(
        target, d_encoder=6, d_summary=3, score=Additive, normalizer=Softmax, d_model=d_model, input_feeding=True,
        num_layers=1, dropout=0.0, attention_dropout=0.0, rnn=GRU,
    )  # fmt: skip
    return EncoderDecoder(encoder, decoder, vocab_size=29, output_table=target)


def test_one_table_serves_source_target_and_output(batch: dict[str, Tensor]) -> None:
    model = tied_model(7)
    assert model.output.weight is model.decoder.table.weight is model.encoder.table.weight
    assert sum(p.shape == (29, 7) for p in model.parameters()) == 1
    untied = tied_model(7, shared=False)
    assert sum(p.shape == (29, 7) for p in untied.parameters()) == 2
    before = model(**batch)
    with torch.no_grad():
        model.output.weight[28] += 1
    changed = ~torch.isclose(model(**batch), before)
    assert changed[:, 28].all()
    restored = tied_model(7)
    restored.load_state_dict(model.state_dict())
    assert_close(restored(**batch), model(**batch))


def test_bahdanau_output_may_be_tied_whatever_the_size_of_its_state(batch: dict[str, Tensor]) -> None:
    target = embedding_table(29, 5, padding_index=1)
    encoder = RecurrentEncoder(embedding_table(23, 3, padding_index=1), d_model=6, num_layers=1, dropout=0.0, rnn=GRU)
    decoder = BahdanauDecoder(
        target, d_encoder=6, d_summary=3, score=Additive, normalizer=Softmax, d_model=11, d_readout=None,
        num_layers=1, dropout=0.0, attention_dropout=0.0, rnn=GRU,
    )  # fmt: skip
    model = EncoderDecoder(encoder, decoder, vocab_size=29, output_table=target)
    assert model(**batch).shape == (10, 29)


def test_tying_an_output_of_another_size_is_a_user_error() -> None:
    with pytest.raises(UserError, match=r"tie_output .*not 11 and 7; set model.d_embedding=11"):
        tied_model(11)
