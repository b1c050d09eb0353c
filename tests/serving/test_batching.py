"""Requests that wait together share a call; what cannot be done, or is not wanted any more, harms no other."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from seq2seq.serving.batching import Batcher, Full, Stopped


@dataclass(frozen=True)
class Doubles:
    """Doubles numbers, remembers its calls, and waits before the first until it is let go."""

    name: str = "a"
    calls: list[list[int]] = field(default_factory=list, compare=False)
    begun: threading.Event = field(default_factory=threading.Event, compare=False)
    go: threading.Event = field(default_factory=threading.Event, compare=False)

    def __call__(self, items: list[int], /) -> list[int]:
        self.begun.set()
        assert self.go.wait(60)
        self.calls.append(items)
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


@pytest.fixture
def batcher() -> Iterator[Batcher]:
    batcher = Batcher(tokens=10, wait=0.0, room=8, observe=lambda *_: None)
    yield batcher
    batcher.stop()


@pytest.fixture
def task(batcher: Batcher) -> Iterator[Doubles]:
    """A task in the middle of its first call."""
    task = Doubles()
    batcher.submit(task, [0], pieces=1)
    assert task.begun.wait(60)
    yield task
    task.go.set()


def test_what_waits_together_is_one_call_and_each_gets_its_own(batcher: Batcher, task: Doubles) -> None:
    results = [batcher.submit(task, items, pieces=len(items)) for items in ([1, 2], [3], [4])]
    task.go.set()
    assert [result.result(60) for result in results] == [[2, 4], [6], [8]]
    assert task.calls == [[0], [1, 2, 3, 4]]


def test_call_has_no_more_pieces_than_allowed_unless_one_request_has(batcher: Batcher, task: Doubles) -> None:
    results = [batcher.submit(task, [i], pieces=pieces) for i, pieces in enumerate([6, 6, 3, 40], 1)]
    task.go.set()
    assert [result.result(60) for result in results] == [[2], [4], [6], [8]]
    assert task.calls == [[0], [1, 3], [2], [4]]


def test_other_tasks_do_not_share_a_call_and_keep_their_turn(batcher: Batcher, task: Doubles) -> None:
    other = Doubles("b", calls=task.calls, go=task.go)
    results = [batcher.submit(t, [i], pieces=1) for t, i in ((other, 1), (task, 2), (other, 3))]
    task.go.set()
    assert [result.result(60) for result in results] == [[2], [4], [6]]
    assert task.calls == [[0], [1, 3], [2]]


def test_one_that_fails_harms_no_other(batcher: Batcher, task: Doubles) -> None:
    good, bad, last = (batcher.submit(task, [i], pieces=1) for i in (1, 13, 2))
    task.go.set()
    assert (good.result(60), last.result(60)) == ([2], [4])
    with pytest.raises(ValueError, match="13"):
        bad.result(60)


def test_one_that_nobody_waits_for_is_not_done(batcher: Batcher, task: Doubles) -> None:
    gone, result = (batcher.submit(task, [i], pieces=1) for i in (1, 2))
    assert gone.cancel()
    task.go.set()
    assert result.result(60) == [4]
    assert task.calls == [[0], [2]]


def test_queue_has_room_for_so_many_items(batcher: Batcher, task: Doubles) -> None:
    kept = batcher.submit(task, list(range(8)), pieces=8)
    with pytest.raises(Full):
        batcher.submit(task, [1], pieces=1)
    assert kept.cancel()
    batcher.submit(task, [1], pieces=1)


def test_first_of_a_call_waits_for_others(task: Doubles) -> None:
    calls: list[Any] = []
    patient = Batcher(tokens=3, wait=30.0, room=8, observe=lambda items, _: calls.append(items))
    quick = Doubles()
    quick.go.set()
    results = [patient.submit(quick, [i], pieces=1) for i in range(3)]
    assert [result.result(60) for result in results] == [[0], [2], [4]]  # full, so at once
    patient.stop()
    assert calls == [3]


def test_stop_finishes_what_was_taken_and_takes_nothing_more(task: Doubles, batcher: Batcher) -> None:
    result = batcher.submit(task, [1], pieces=1)
    stopping = threading.Thread(target=batcher.stop)
    stopping.start()
    task.go.set()
    stopping.join(60)
    assert result.done() and result.result() == [2]
    with pytest.raises(Stopped):
        batcher.submit(task, [1], pieces=1)


def test_wait_without_end_is_ended_by_a_full_call() -> None:
    batcher = Batcher(tokens=2, wait=1e30, room=8, observe=lambda *_: None)
    task = Doubles()
    task.go.set()
    results = [batcher.submit(task, [i], pieces=1) for i in (1, 2)]
    assert [result.result(60) for result in results] == [[2], [4]]
    batcher.stop()
