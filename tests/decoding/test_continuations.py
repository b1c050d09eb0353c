"""The best continuations beside a look at every sum."""

import pytest
import torch
from torch.testing import assert_close

from seq2seq.decoding.continuations import BLOCK, best_continuations


@pytest.mark.parametrize("vocab", [3, BLOCK - 1, 5 * BLOCK, 7 * BLOCK + 31])
@pytest.mark.parametrize("beam", [1, 5])
@pytest.mark.parametrize("k", [1, 10])
def test_finds_the_largest_of_all_sums_and_whose_they_are(vocab: int, beam: int, k: int) -> None:
    generator = torch.Generator().manual_seed(vocab)
    totals = torch.randn(7, beam, generator=generator)
    log_probabilities = torch.randn(7, beam, vocab, generator=generator).log_softmax(-1)
    sums = totals[..., None] + log_probabilities
    expected = sums.flatten(1).topk(min(k, beam * vocab)).values
    found, parents, tokens = best_continuations(totals, log_probabilities, k)
    assert_close(found, expected, atol=0, rtol=0)
    assert_close(sums[torch.arange(7)[:, None], parents, tokens], expected, atol=0, rtol=0)
    assert all(len(set(row)) == len(row) for row in (parents * vocab + tokens).tolist())


@pytest.mark.parametrize("place", [0, 3 * BLOCK + 5, 7 * BLOCK + 30], ids=["first", "within", "what no block holds"])
def test_finds_the_one_token_that_may_come_and_names_no_token_that_is_none(place: int) -> None:
    vocab = 7 * BLOCK + 31
    log_probabilities = torch.full((2, 5, vocab), -torch.inf)
    log_probabilities[0, 3, place] = -2.0
    log_probabilities[1, 0, place] = -3.0
    totals = torch.tensor([[-1.0, -1.0, -1.0, -5.0, -torch.inf], [-1.0] * 5])
    found, parents, tokens = best_continuations(totals, log_probabilities, 10)
    assert found[:, 0].tolist() == [-7.0, -4.0] and (found[:, 1:] == -torch.inf).all()
    assert parents[:, 0].tolist() == [3, 0] and tokens[:, 0].tolist() == [place, place]
    assert int(tokens.min()) >= 0 and int(tokens.max()) < vocab and int(parents.max()) < 5


def test_neighbours_may_all_be_among_the_largest() -> None:
    log_probabilities = torch.zeros(1, 2, 4 * BLOCK)
    log_probabilities[0, 1, 2 * BLOCK + 7 : 2 * BLOCK + 10] = torch.tensor([3.0, 4.0, 5.0])
    found, parents, tokens = best_continuations(torch.zeros(1, 2), log_probabilities, 3)
    assert found.tolist() == [[5.0, 4.0, 3.0]] and parents.tolist() == [[1, 1, 1]]
    assert tokens.tolist() == [[2 * BLOCK + 9, 2 * BLOCK + 8, 2 * BLOCK + 7]]
