"""Embeddings and positions against their formulas."""

import math

import pytest
import torch
from torch.testing import assert_close

from seq2seq.errors import UserError
from seq2seq.models.embedding import LearnedPositions, PositionedEmbedding, SinusoidalPositions, embedding_table


def test_table_has_unit_scale_vectors_and_a_zero_padding_row() -> None:
    table = embedding_table(997, 61, padding_index=1)
    assert table.weight[1].count_nonzero() == 0
    assert table.weight[2:].norm(dim=1).mean().item() == pytest.approx(1, rel=0.05)
    table(torch.tensor([0, 1])).sum().backward()
    assert table.weight.grad is not None
    assert table.weight.grad[1].count_nonzero() == 0
    assert table.weight.grad[0].count_nonzero() == 61


@pytest.mark.parametrize("d", [2, 14])
def test_sinusoidal_positions_follow_the_formula(d: int) -> None:
    actual = SinusoidalPositions(d)(torch.empty(3, 101, d))
    expected = [
        [(math.sin if i % 2 == 0 else math.cos)(pos / 10000 ** ((i - i % 2) / d)) for i in range(d)]
        for pos in range(101)
    ]
    assert_close(actual, torch.tensor(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("positions", [SinusoidalPositions(6), LearnedPositions(6, max_positions=11)], ids=repr)
def test_positions_from_an_offset_are_a_slice_of_those_from_zero(positions: torch.nn.Module) -> None:
    assert_close(positions(torch.empty(2, 4, 6), 7), positions(torch.empty(2, 11, 6))[7:])


def test_odd_size_is_a_user_error() -> None:
    with pytest.raises(UserError, match="even d_model, not 7"):
        SinusoidalPositions(7)


def test_sentence_beyond_learned_positions_is_a_user_error() -> None:
    positions = LearnedPositions(6, max_positions=11)
    positions(torch.empty(2, 11, 6))
    for length, offset in ((12, 0), (1, 11)):
        with pytest.raises(UserError, match=r"end at 11.* has 12 tokens.*max_positions"):
            positions(torch.empty(2, length, 6), offset)


@pytest.mark.parametrize("d_model", [6, 10])
def test_input_is_scaled_embedding_plus_position(d_model: int) -> None:
    table = embedding_table(23, 6, padding_index=1)
    embedding = PositionedEmbedding(table, d_model, positions=SinusoidalPositions, dropout=0.5).eval()
    tokens = torch.randint(2, 23, (3, 5))
    scaled = table.weight[tokens] * math.sqrt(6)
    if d_model != 6:
        scaled = embedding.project(scaled)
    assert_close(embedding(tokens, 2), scaled + SinusoidalPositions(d_model)(scaled, 2))
    assert (embedding.train()(tokens) == 0).any()
