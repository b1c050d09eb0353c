"""Computing beside other work: all cores while they are free, half of them while others want them too.

The threads of a computation meet after every operation. Each waits there for the last by spinning, since that is
fastest, and where another process keeps the last from its core, all wait for that process: two threads on two cores are
then several times slower than one. So as long as a core is missing, the threads, as many as before, share half of the
cores, on which they wait by sleeping. Their number stays, and so does every bit of the result.
"""

import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import torch

PERIOD = 0.2
"""Seconds between two looks."""

CROWDED = 0.2
"""Seconds a second that threads, together, wait for a core. Beside one busy process two threads wait for 0.7."""

LOOKS = 2
"""So many looks in a row must find it crowded."""

SHARED = 0.3
"""The share of the time that others compute on its half of the cores, above which the process looks for another."""

FREE = 0.7
"""The share of the time that the other half of the cores idles, or does work of low priority, when they are free."""

PATIENCE = 1.0, 64.0
"""Seconds until free cores are taken again: at first, and at most. Where that was vain, they double."""

TASKS = Path("/proc/self/task")
STAT = Path("/proc/stat")


@contextmanager
def sharing_cores(device: torch.device, *, processes: int = 1) -> Iterator[None]:
    """Give way to other work on the cores meanwhile.

    Only on a CPU with several threads, and on Linux, which tells how long threads wait for a core. Of several processes
    that train together none does.
    """
    told = sys.platform == "linux" and (TASKS / str(threading.get_native_id()) / "schedstat").exists()
    if (
        device.type != "cpu"
        or processes > 1
        or torch.get_num_threads() == 1
        or not told
        or len(os.sched_getaffinity(0)) == 1
    ):
        yield
        return
    watch = Watch()
    watch.start()
    try:
        yield
    finally:
        watch.end()


class Usage(NamedTuple):
    """What this process used lately and others left, in seconds a second."""

    waited: float  # for a core, by all threads together
    shared: float  # by others, on the cores of its threads
    free: float  # on cores that are left to others


class Plan:
    """What to do about the cores, look by look: "give way", "spread" over all of them again, "move", or nothing."""

    def __init__(self, *, half: int, others: int) -> None:
        self.half = half  # cores that are kept when it gives way
        self.others = others  # cores that are left then
        self.patience = PATIENCE[0]
        self._gave_way = False
        self._since = -PATIENCE[1]  # when all cores were last taken, or half of them
        self._crowded = 0  # looks in a row that found it so

    def next(self, usage: Usage, now: float) -> str | None:
        """Return what to do after what was used since the last look; now is a time in seconds."""
        if not self._gave_way:
            self._crowded = self._crowded + 1 if usage.waited > CROWDED else 0
            if self._crowded < LOOKS:
                return None
            vain = now - self._since < self.patience
            self.patience = min(2 * self.patience, PATIENCE[1]) if vain else PATIENCE[0]
            self._gave_way, self._since = True, now
            return "give way"
        if usage.shared > SHARED * self.half:
            return "move"
        free = usage.free > FREE * self.others
        if now - self._since > (self.patience if free else PATIENCE[1]):
            self._gave_way, self._since, self._crowded = False, now, 0
            return "spread"
        return None


class Watch(threading.Thread):
    """Looks for others on this process's cores, and moves its threads to half of them and back."""

    def __init__(self) -> None:
        super().__init__(name="watch of the cores", daemon=True)
        self.cores = os.sched_getaffinity(0)
        self.moves = 0
        """How often all threads went to other cores."""
        self._half = max(1, len(self.cores) // 2)
        self._on = self.cores  # those on which the threads are now
        self._policy = os.sched_getscheduler(0)
        self._ended = threading.Event()
        self._short_waits: _ShortWaits | None = None
        os.register_at_fork(after_in_child=self._leave_child_alone)

    def run(self) -> None:
        """Look, until the end."""
        plan = Plan(half=self._half, others=len(self.cores) - self._half)
        steps = {"give way": self.give_way, "spread": self.spread, "move": self._move_to_some}
        before = self._count()
        while not self._ended.wait(PERIOD):
            now = self._count()
            step = plan.next(now.since(before), now.time)
            if step:
                steps[step]()
                now = self._count()
            before = now

    def _count(self) -> "_Counts":
        return _Counts.now(self._on, left=self.cores - self._on)

    def end(self) -> None:
        """Give the threads back their cores, and stop."""
        self._ended.set()
        self.join()
        if self._short_waits:
            self.spread()

    def give_way(self) -> None:
        """Compute on half of the cores."""
        self._short_waits = _ShortWaits()
        self._move_to_some(policy=os.SCHED_BATCH if self._policy == os.SCHED_OTHER else None)

    def spread(self) -> None:
        """Compute on all cores again."""
        self._move(self.cores, policy=self._policy)
        if self._short_waits:
            self._short_waits.end()
        self._short_waits = None

    def _move_to_some(self, policy: int | None = None) -> None:
        """Move to half of the cores. Which is chance, so that two processes that do the same come apart."""
        self._move(set(random.SystemRandom().sample(sorted(self.cores), self._half)), policy=policy)

    def _move(self, cores: set[int], *, policy: int | None = None) -> None:
        """Put every thread on cores; in batches it does not interrupt a thread that it wakes on its own core."""
        self.moves += 1
        self._on = cores
        for task in TASKS.iterdir():
            with suppress(OSError):  # a thread has ended, or its cores were taken from the process meanwhile
                os.sched_setaffinity(int(task.name), cores)
                if policy is not None:
                    os.sched_setscheduler(int(task.name), policy, os.sched_param(0))

    def _leave_child_alone(self) -> None:
        """Give a process that loads data all cores: it is not watched."""
        if self._short_waits:
            with suppress(OSError):
                os.sched_setaffinity(0, self.cores)
                os.sched_setscheduler(0, self._policy, os.sched_param(0))


class _Counts(NamedTuple):
    """What is counted since ever, in seconds: see `Usage`."""

    time: float
    waited: float
    shared: float
    free: float

    @classmethod
    def now(cls, cores: set[int], *, left: set[int]) -> "_Counts":
        """Return the counts; cores are those of this process, and left those that are left to others."""
        waited = 0
        for task in os.listdir(TASKS):  # not with pathlib, which takes four times as long: the others wait meanwhile
            with suppress(OSError), open(f"{TASKS}/{task}/schedstat", "rb", buffering=0) as file:  # it may have ended
                waited += int(file.read().split()[1])
        now, shared, free = time.monotonic(), 0.0, 0.0
        if left:
            spent = _spent()
            shared = len(cores) * now - time.process_time() - sum(spent[core].idle for core in cores)
            free = sum(sum(spent[core]) for core in left)
        return cls(now, waited / 1e9, shared, free)

    def since(self, before: "_Counts") -> Usage:
        """Return what was used since, a second."""
        seconds = self.time - before.time
        return Usage(*((now - then) / seconds for now, then in zip(self[1:], before[1:], strict=True)))


class _Spent(NamedTuple):
    """Seconds of a core without work of ordinary priority."""

    idle: float  # or waiting for a disk
    nice: float  # at work of low priority


def _spent() -> dict[int, _Spent]:
    """Return what the cores spent since ever (proc_stat(5))."""
    spent = {}
    for line in STAT.read_text().splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name[3:].isdecimal():
            _, nice, _, idle, disk = (int(count) / os.sysconf("SC_CLK_TCK") for count in counts[:5])
            spent[int(name[3:])] = _Spent(idle + disk, nice)
    return spent


class _ShortWaits:
    """Makes the OpenMP library wait by sleeping: so it does where it has more threads than the process has cores.

    Here it has them because a second team of threads exists, which does nothing.
    """

    def __init__(self) -> None:
        self._ended, ready = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep_team, args=(ready,), name="second team", daemon=True)
        self._thread.start()
        ready.wait()

    def _keep_team(self, ready: threading.Event) -> None:
        torch.ones(1 << 20).add_(1)  # large enough to be shared out among threads, which makes the team
        ready.set()
        self._ended.wait()

    def end(self) -> None:
        """Let the team go."""
        self._ended.set()
        self._thread.join()
