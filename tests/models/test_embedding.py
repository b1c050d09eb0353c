"""Embeddings and positions against their formulas."""

import math

import pytest
import torch
from torch.testing import assert_close

from seq2seq.attention import LearnedPositions, SinusoidalPositions
from seq2seq.errors import UserError
from seq2seq.models.embedding import PositionedEmbedding, embedding_table


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
    actual = SinusoidalPositions(d).embed(torch.zeros(3, 101, d), torch.arange(101))[1]
    expected = [
        [(math.sin if i % 2 == 0 else math.cos)(pos / 10000 ** ((i - i % 2) / d)) for i in range(d)]
        for pos in range(101)
    ]
    assert_close(actual, torch.tensor(expected), atol=1e-5, rtol=0)


def test_odd_size_is_a_user_error() -> None:
    with pytest.raises(UserError, match="even d_model, not 7"):
        SinusoidalPositions(7)


def test_sentence_beyond_learned_positions_is_a_user_error() -> None:
    positions = LearnedPositions(6, max_positions=11)
    embedding = PositionedEmbedding(embedding_table(23, 6, padding_index=1), 6, positions=positions, dropout=0.0)
    embedding(torch.zeros(2, 11, dtype=torch.int64))
    for length, place in ((12, 0), (1, 11)):
        with pytest.raises(UserError, match=r"end at 11.* has 12 tokens.*max_positions"):
            embedding(torch.zeros(2, length, dtype=torch.int64), place)


@pytest.mark.parametrize("d_model", [6, 10])
def test_input_is_scaled_embedding_plus_position(d_model: int) -> None:
    table, positions = embedding_table(23, 6, padding_index=1), SinusoidalPositions(d_model)
    embedding = PositionedEmbedding(table, d_model, positions=positions, dropout=0.5).eval()
    tokens = torch.randint(2, 23, (3, 5))
    scaled = table.weight[tokens] * math.sqrt(6)
    if d_model != 6:
        scaled = embedding.project(scaled)
    assert_close(embedding(tokens, 2), positions.embed(scaled, torch.arange(2, 7)))
