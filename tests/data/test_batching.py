import pickle
import resource
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies
from lightning.pytorch.plugins.precision import DoublePrecision, FSDPPrecision, HalfPrecision, Precision

from seq2seq.data.batching import Batch, TokenBudgetSampler, collate
from seq2seq.data.progress import Taken
from seq2seq.data.tokenizer import BOS, EOS, PAD

EXAMPLES = [([5, 6, 7], [8], 3), ([], [9, 10, 11, 12], 0), ([13, 14, 15, 16, 17, 18], [19, 20], 11)]


def lengths(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Source and target lengths that go together, as those of translations do."""
    rng = np.random.default_rng(7)
    source = rng.integers(2, 41, count)
    return source, np.maximum(1, source + rng.integers(-5, 6, count))


def sampler(count: int = 1009, **options: Any) -> TokenBudgetSampler:
    return TokenBudgetSampler(*lengths(count), **{"tokens_per_batch": 401, "shuffle": True, **options})


@pytest.mark.parametrize(
    ("plugin", "dtype"),
    [
        (DoublePrecision(), torch.float64),
        (HalfPrecision("bf16-true"), torch.bfloat16),
        (FSDPPrecision("32-true"), torch.float32),
        (FSDPPrecision("bf16-mixed"), torch.float32),
    ],
)
def test_lightning_can_convert_a_batch(plugin: Precision, dtype: torch.dtype) -> None:
    batch = collate([(*example, [(0, 0)]) for example in EXAMPLES])
    converted = plugin.convert_input(batch)
    assert converted.link_weights.dtype is dtype and converted.source.dtype is torch.int64
    assert batch.link_weights is not None and batch.link_weights.dtype is torch.float32
    assert converted.source_tokens == batch.source_tokens and torch.equal(converted.source, batch.source)


def test_twice_is_two_equal_passes_over_the_same_places() -> None:
    batch = collate([(*example, [(0, 0)]) for example in EXAMPLES])
    two = batch.twice()
    features = torch.arange(2 * batch.target_input.numel())
    picked = features.index_select(0, two.target_indices).unflatten(0, (2, -1))
    assert torch.equal(picked[0], batch.target_indices)
    assert torch.equal(picked[1], batch.target_indices + batch.target_input.numel())
    for name in ("source", "source_mask", "source_lengths", "target_input", "target_output", "link_weights"):
        assert torch.equal(getattr(two, name), getattr(batch, name).repeat(2, *[1] * (getattr(batch, name).dim() - 1)))
    assert len(two) == 2 * len(batch) and two.num_tokens == 2 * batch.num_tokens
    assert two.padding_share == batch.padding_share


def test_collate_pads_to_the_right_and_marks_the_ends() -> None:
    batch = collate(EXAMPLES)
    assert batch.source.tolist() == [
        [5, 6, 7, EOS, PAD, PAD, PAD],
        [EOS, PAD, PAD, PAD, PAD, PAD, PAD],
        [13, 14, 15, 16, 17, 18, EOS],
    ]
    assert batch.source_mask.tolist() == [[True] * n + [False] * (7 - n) for n in (4, 1, 7)]
    assert batch.target_input.tolist() == [
        [BOS, 8, PAD, PAD, PAD],
        [BOS, 9, 10, 11, 12],
        [BOS, 19, 20, PAD, PAD],
    ]
    assert batch.target_output.tolist() == [8, EOS, 9, 10, 11, 12, EOS, 19, 20, EOS]
    assert batch.target_indices.tolist() == [0, 1, 5, 6, 7, 8, 9, 10, 11, 12]
    assert batch.source_lengths.tolist() == [4, 1, 7]
    assert batch.target_lengths.tolist() == [2, 5, 3]
    assert batch.indices.tolist() == [3, 0, 11]


def test_target_indices_pick_the_input_token_before_each_output_token() -> None:
    batch = collate(EXAMPLES)
    inputs = batch.target_input.flatten().index_select(0, batch.target_indices)
    assert inputs.tolist() == [BOS, 8, BOS, 9, 10, 11, 12, BOS, 19, 20]


def test_batch_knows_its_sizes_without_reading_a_tensor() -> None:
    batch = collate(EXAMPLES).to("meta")
    assert (len(batch), batch.num_tokens) == (3, 10)
    assert batch.padding_share == pytest.approx(1 - (12 + 10) / (3 * 7 + 3 * 5))
    assert {value.device.type for value in tensors(batch)} == {"meta"}


@pytest.mark.parametrize(("device", "waits"), [("cpu", True), ("cuda", False), (torch.device("cuda:1"), False)])
def test_batch_moves_to_a_gpu_without_waiting(device: torch.device | str, waits: bool) -> None:
    class Spy:
        def to(self, device: torch.device | str, *, non_blocking: bool) -> bool:
            return non_blocking

    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batch, "map", lambda batch, function: asked.append(function(Spy())))
        collate(EXAMPLES).to(device)
    assert asked == [not waits]


def test_batch_survives_the_way_from_a_worker_process() -> None:
    batch = collate(EXAMPLES)
    copy = pickle.loads(pickle.dumps(batch))
    assert all(map(torch.equal, tensors(batch), tensors(copy)))
    assert copy.padding_share == batch.padding_share


def test_worker_process_sends_a_batch_without_shared_memory_or_files() -> None:
    """Where there are none left, PyTorch's loader loses the batch, and waits for it for ever."""
    batch = replace(collate(EXAMPLES), stretch=7)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, most[1]))
    try:
        sent = ForkingPickler.dumps(batch)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, most)
    copy = pickle.loads(sent)
    assert len(tensors(copy)) == len(tensors(batch)) and all(map(torch.equal, tensors(batch), tensors(copy)))
    assert (copy.stretch, copy.padding_share, copy.link_weights) == (7, batch.padding_share, batch.link_weights)
    copy.source[0, 0] = 5  # as a part of a user's own may do


def tensors(batch: Batch) -> list[torch.Tensor]:
    values = [getattr(batch, name) for name in batch.__slots__]
    return [value for value in values if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_example_comes_exactly_once(shuffle: bool) -> None:
    indices = [index for batch in sampler(shuffle=shuffle) for index in batch]
    assert sorted(indices) == list(range(1009))


@pytest.mark.parametrize("shuffle", [True, False])
def test_no_batch_exceeds_the_budget_on_either_side(shuffle: bool) -> None:
    source, target = lengths(1009)
    sizes = [len(batch) * max(source[batch].max(), target[batch].max()) for batch in sampler(shuffle=shuffle)]
    assert max(sizes) <= 401
    assert np.mean(sizes) > 0.9 * 401


def test_pair_alone_over_the_budget_is_a_batch_of_its_own() -> None:
    batches = list(TokenBudgetSampler([3, 50, 4], [3, 3, 3], tokens_per_batch=13, shuffle=False))
    assert batches == [[1], [2, 0]]


def test_number_of_batches_is_known_before_they_are_drawn() -> None:
    assert len(sampler()) == len(list(sampler()))


def test_same_seed_and_epoch_give_the_same_batches() -> None:
    assert list(sampler(seed=3, epoch=5)) == list(sampler(seed=3, epoch=5))


@pytest.mark.parametrize("other", [{"seed": 3, "epoch": 6}, {"seed": 4, "epoch": 5}])
def test_another_epoch_or_seed_makes_other_batches(other: dict[str, int]) -> None:
    batches = {frozenset(batch) for batch in sampler(20011, seed=3, epoch=5)}
    others = {frozenset(batch) for batch in sampler(20011, **other)}
    assert len(batches & others) < 0.1 * len(batches)


def test_batches_of_an_epoch_are_not_in_order_of_length() -> None:
    source, _ = lengths(1009)
    longest = [source[batch].max() for batch in sampler()]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.4


def test_shuffled_batches_hold_pairs_of_similar_length() -> None:
    source, target = lengths(20011)
    batches = list(sampler(20011, tokens_per_batch=4096))
    padded = sum(len(batch) * (int(source[batch].max()) + int(target[batch].max())) for batch in batches)
    assert 1 - (source.sum() + target.sum()) / padded < 0.08


def test_unshuffled_batches_start_with_the_longest() -> None:
    source, target = lengths(1009)
    widths = np.maximum(source, target)[[index for batch in sampler(shuffle=False) for index in batch]]
    assert (np.diff(widths) <= 0).all()


@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_ranks_share_all_examples_in_equally_many_batches(world_size: int) -> None:
    ranks = [list(sampler(rank=rank, world_size=world_size)) for rank in range(world_size)]
    assert len({len(batches) for batches in ranks}) == 1
    assert sorted(index for batches in ranks for batch in batches for index in batch) == list(range(1009))


def test_fewer_examples_than_ranks_is_refused() -> None:
    with pytest.raises(ValueError, match="too few examples for 3 processes"):
        TokenBudgetSampler([5, 5], [5, 5], tokens_per_batch=100, shuffle=True, world_size=3)


def test_what_was_taken_is_left_out_and_the_rest_comes_in_the_same_order() -> None:
    whole = list(sampler(seed=3, epoch=5))
    rest = sampler(seed=3, epoch=5, taken=[Taken(17, 1, 401)])
    assert list(rest) == whole[17:] and len(rest) == len(whole)
    assert list(sampler(seed=3, epoch=5, taken=[Taken(len(whole), 1, 401)])) == []


@settings(max_examples=60, deadline=None)
@given(data=strategies.data(), count=strategies.integers(30, 400))
def test_however_often_an_epoch_is_resumed_every_example_comes_once(data: strategies.DataObject, count: int) -> None:
    """With another number of processes, or smaller batches, each time."""
    source, target = lengths(count)
    seen: list[int] = []
    taken: list[Taken] = []
    for _ in range(data.draw(strategies.integers(1, 4), label="attempts")):
        processes = data.draw(strategies.integers(1, 3), label="processes")
        budget = data.draw(strategies.sampled_from([401, 200, 100]), label="budget")
        ranks = [
            list(
                TokenBudgetSampler(
                    source, target, tokens_per_batch=budget, shuffle=True, rank=rank, world_size=processes, taken=taken
                )
            )
            for rank in range(processes)
        ]
        assert len({len(batches) for batches in ranks}) == 1
        steps = data.draw(strategies.integers(0, len(ranks[0])), label="steps")
        seen += [index for batches in ranks for batch in batches[:steps] for index in batch]
        taken.append(Taken(steps, processes, budget))
        rest = [index for batches in ranks for batch in batches[steps:] for index in batch]
        missing = set(range(count)) - {*seen, *rest}
        assert len(seen + rest) == count - len(missing)  # none comes twice
        assert not missing or (not rest and len(missing) < max(part.processes for part in taken))
