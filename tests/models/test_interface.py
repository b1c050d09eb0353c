"""The decoder's state: what beams own, and what a sentence owns once."""

import torch
from torch.testing import assert_close

from seq2seq.attention import Memory
from seq2seq.models import DecoderState


def make() -> DecoderState:
    memory = Memory(torch.randn(2, 7, 5), torch.randn(2, 7, 3), torch.ones(2, 1, 7, dtype=torch.bool))
    return DecoderState((memory, memory._replace(mask=None)), (torch.randn(2, 3, 5), torch.randn(2, 3, 2, 11, 5)))


def test_reorder_gives_each_new_beam_its_parent_and_leaves_memory_alone() -> None:
    state = make()
    parents = torch.tensor([[2, 0, 1, 1, 2], [0, 0, 2, 1, 0]])
    new = state.reorder(parents)
    for before, after in zip(state.beams, new.beams, strict=True):
        assert_close(after, torch.stack([before[i][parents[i]] for i in range(2)]))
    assert new.memory is state.memory


def test_reorder_may_start_from_one_beam_and_an_empty_cache() -> None:
    state = DecoderState((), (torch.randn(2, 1, 5), torch.randn(2, 1, 2, 0, 5)))
    new = state.reorder(torch.zeros(2, 4, dtype=torch.int64))
    assert [tuple(x.shape) for x in new.beams] == [(2, 4, 5), (2, 4, 2, 0, 5)]


def test_select_keeps_whole_sentences_in_the_order_asked_for() -> None:
    state = make()
    new = state.select(torch.tensor([1]))
    for before, after in zip(state.beams, new.beams, strict=True):
        assert_close(after, before[1:])
    for old, kept in zip(state.memory, new.memory, strict=True):
        assert_close(kept.keys, old.keys[1:])
        assert_close(kept.value, old.value[1:])
    assert new.memory[0].mask is not None and new.memory[0].mask.shape == (1, 1, 7)
    assert new.memory[1].mask is None
