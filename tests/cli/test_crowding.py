"""A training gives way to other work on its cores, and takes them back; no bit of its result depends on it."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from seq2seq.cli.process.crowding import LOOKS, PATIENCE, PERIOD, Plan, Usage, Watch, sharing_cores

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) == 1, reason="needs Linux and two cores"
)

QUIET, CROWDED = Usage(0.01, 0.0, 0.0), Usage(0.7, 0.0, 0.0)  # on all cores
BUSY, LEFT = Usage(0.9, 0.0, 0.0), Usage(0.9, 0.0, 1.0)  # on half of them: others use the other half, or have left it
SHARED = Usage(0.9, 0.5, 0.3)  # others are on both halves


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


@pytest.fixture
def watch(two_threads: None) -> Iterator[Watch]:
    """Of a process that its test moves by hand."""
    watch = Watch()
    yield watch
    watch.spread()


def follow(plan: Plan, *looks: tuple[Usage, float]) -> list[str | None]:
    """Return what a plan does when what was seen lasts for so many seconds."""
    said: list[str | None] = []
    now = 100.0
    for usage, seconds in looks:
        for _ in range(round(seconds / PERIOD)):
            now += PERIOD
            said.append(plan.next(usage, now))
    return [step for step in said if step]


def test_a_quiet_machine_changes_nothing() -> None:
    assert follow(Plan(half=1, others=1), (QUIET, 60)) == []


def test_one_crowded_look_is_chance_and_several_are_not() -> None:
    plan = Plan(half=1, others=1)
    assert follow(plan, *[(CROWDED, PERIOD), (QUIET, PERIOD)] * 10) == []
    assert follow(plan, (CROWDED, PERIOD * LOOKS)) == ["give way"]


def test_all_cores_are_taken_again_soon_after_others_have_left() -> None:
    plan = Plan(half=1, others=1)
    assert follow(plan, (CROWDED, PERIOD * LOOKS), (BUSY, 30)) == ["give way"]
    assert follow(Plan(half=1, others=1), (CROWDED, PERIOD * LOOKS), (BUSY, 30), (LEFT, PERIOD), (QUIET, 5)) == [
        "give way",
        "spread",
    ]


def test_vain_attempts_become_rare() -> None:
    """Where the other half looks free but is not, most of the time must not go into finding out."""
    plan, steps, wide = Plan(half=1, others=1), 0, 0
    usage, now = CROWDED, 100.0
    for _ in range(6000):
        now += PERIOD
        wide += usage is CROWDED
        step = plan.next(usage, now)
        steps += step is not None
        usage = {"give way": LEFT, "spread": CROWDED, None: usage}[step]
    assert plan.patience == PATIENCE[1] and wide < 0.02 * 6000 and steps > 4


def test_two_processes_on_one_core_come_apart() -> None:
    """Even where the other core is not quite free: else they share one of two for as long as that is so."""
    assert follow(Plan(half=1, others=1), (CROWDED, PERIOD * LOOKS), (SHARED, PERIOD * 2)) == [
        "give way",
        "move",
        "move",
    ]


def test_cores_that_others_use_are_left_before_all_are_taken_again() -> None:
    """The other half is free because all are on this one: who then takes both finds it crowded at once."""
    together = Usage(0.9, 0.5, 1.0)
    assert set(follow(Plan(half=1, others=1), (CROWDED, PERIOD * LOOKS), (together, 30))) == {"give way", "move"}


def test_a_process_that_has_a_core_leaves_its_neighbour_alone() -> None:
    """Small work on its core is no reason to look for another, which would be no better."""
    helped = Usage(0.9, 0.2, 0.1)
    assert follow(Plan(half=1, others=1), (CROWDED, PERIOD * LOOKS), (helped, 30)) == ["give way"]


def test_every_thread_moves_and_comes_back(watch: Watch) -> None:
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    before, policy = os.sched_getaffinity(0), os.sched_getscheduler(0)
    watch.give_way()
    half = [os.sched_getaffinity(int(task.name)) for task in Path("/proc/self/task").iterdir()]
    assert len(half) > 2 and {len(cores) for cores in half} == {max(1, len(before) // 2)}
    watch.spread()
    for task in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # a thread of another test may end meanwhile
            assert os.sched_getaffinity(int(task.name)) == before
    assert os.sched_getscheduler(0) == policy
    ended.set()
    thread.join()


def test_results_are_the_same_to_the_bit(watch: Watch) -> None:
    def results() -> list[torch.Tensor]:
        x = torch.linspace(-1, 1, 700 * 300).view(700, 300).requires_grad_()
        loss = (x @ x.mT).softmax(-1).logsumexp(0).sum() + x.square().mean()
        loss.backward()
        assert x.grad is not None
        return [loss.detach(), x.grad]

    wide = results()
    watch.give_way()
    narrow = results()
    assert torch.get_num_threads() == 2 and all(map(torch.equal, wide, narrow))


def affinity(answer: "multiprocessing.SimpleQueue[set[int]]") -> None:
    answer.put(os.sched_getaffinity(0))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forking with threads, as loaders do
def test_a_process_that_loads_data_may_use_all_cores(watch: Watch) -> None:
    watch.give_way()
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    child = context.Process(target=affinity, args=(answer,))
    child.start()
    child.join(60)
    assert child.exitcode == 0 and answer.get() == watch.cores != os.sched_getaffinity(0)


def test_busy_processes_are_noticed(two_threads: None) -> None:
    watch = Watch()
    busy = [sys.executable, "-c", "while True: pass"]
    with subprocess.Popen(busy) as one, subprocess.Popen(busy) as other:
        watch.start()
        x, end = torch.ones(300, 300), time.monotonic() + 60
        while not watch.moves and time.monotonic() < end:
            x = x @ x
        one.kill()
        other.kill()
    watch.end()
    assert watch.moves and os.sched_getaffinity(0) == watch.cores


def test_nothing_is_watched_with_one_thread_or_beside_a_gpu(two_threads: None) -> None:
    def watched(device: str) -> bool:
        with sharing_cores(torch.device(device)):
            return any(isinstance(thread, Watch) for thread in threading.enumerate())

    assert watched("cpu") and not watched("cuda")
    assert not any(isinstance(thread, Watch) for thread in threading.enumerate())
    torch.set_num_threads(1)
    assert not watched("cpu")


@pytest.mark.parametrize(("idle", "shared", "free"), [(1.0, 0.0, 1.0), (0.5, 0.5, 1.0), (0.0, 1.0, 1.0)])
def test_work_of_others_on_its_cores_is_counted_and_no_pause(
    watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, idle: float, shared: float, free: float
) -> None:
    """Work of low priority yields, yet takes its share of a core where this process's has low priority too."""

    def stand(seconds: float) -> None:
        nice, idles = (round(100 * seconds * share) for share in (1 - idle, idle))
        stat.write_text("".join(f"cpu{core} 7 {nice} 0 {idles} 0 0 0\n" for core in watch.cores))

    monkeypatch.setattr("seq2seq.cli.process.crowding.STAT", stat := tmp_path / "stat")
    watch.give_way()
    stand(0)
    before = watch._count()
    time.sleep(0.3)
    stand(time.monotonic() - before.time)
    usage = watch._count().since(before)
    assert usage.shared == pytest.approx(shared, abs=0.2) and usage.free == pytest.approx(free, abs=0.2)
