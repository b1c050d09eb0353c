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

PERIOD = 0.1
"""Seconds between two looks."""

CROWDED = 0.2
"""Seconds a second that threads, together, wait for a core. Beside one busy process two threads wait for 0.7."""

LOOKS = 2
"""So many looks in a row must find it crowded."""

OWN = 0.9
"""The share of half of the cores below which others compute there too."""

FREE = 0.7
"""The share of the time that the other half of the cores idles, or does work of low priority, when they are free."""

PATIENCE = 1.0, 64.0
"""Seconds until free cores are taken again: at first, and at most. Where that was vain, they double."""

TASKS = Path("/proc/self/task")
STAT = Path("/proc/stat")


@contextmanager
def sharing_cores(device: torch.device) -> Iterator[None]:
    """Give way to other work on the cores meanwhile.

    Only on a CPU with several threads, and on Linux, which tells how long threads wait for a core.
    """
    told = sys.platform == "linux" and all((task / "schedstat").exists() for task in TASKS.iterdir())
    if device.type != "cpu" or torch.get_num_threads() == 1 or not told or len(os.sched_getaffinity(0)) == 1:
        yield
        return
    watch = Watch()
    watch.start()
    try:
        yield
    finally:
        watch.end()


class Watch(threading.Thread):
    """Looks for others on this process's cores, and moves its threads to half of them and back."""

    def __init__(self) -> None:
        super().__init__(name="watch of the cores", daemon=True)
        self.cores = os.sched_getaffinity(0)
        self._on = self.cores  # those on which the threads are now
        self._policy = os.sched_getscheduler(0)
        self.moves = 0
        """How often all threads went to other cores."""
        self._ended = threading.Event()
        self._narrow: _ShortWaits | None = None
        os.register_at_fork(after_in_child=self._leave_child_alone)

    def run(self) -> None:
        """Look, until the end."""
        patience, since, looks = PATIENCE[0], -PATIENCE[1], 0
        before = _Usage.of(set())
        while not self._ended.wait(PERIOD):
            others = self.cores - self._on
            now = _Usage.of(others)
            waited, computed, free = now.a_second_since(before)
            before = now
            if not others:
                looks = looks + 1 if waited > CROWDED else 0
                if looks == LOOKS:
                    vain = now.time - since < patience
                    patience, since = (min(2 * patience, PATIENCE[1]) if vain else PATIENCE[0]), now.time
                    self._give_way()
                    before = _Usage.of(self.cores - self._on)
            elif now.time - since > (patience if free > FREE * len(others) else PATIENCE[1]):
                self._spread()
                since, looks = now.time, 0
            elif computed < OWN * len(self._on):
                self._move(self._some())
                before = _Usage.of(self.cores - self._on)

    def end(self) -> None:
        """Give the threads back their cores, and stop."""
        self._ended.set()
        self.join()
        if self._narrow:
            self._spread()

    def _some(self) -> set[int]:
        """Return half of the cores. Which ones is chance, so that two processes that do the same come apart."""
        return set(random.SystemRandom().sample(sorted(self.cores), max(1, len(self.cores) // 2)))

    def _give_way(self) -> None:
        self._narrow = _ShortWaits()
        self._move(self._some(), policy=os.SCHED_BATCH if self._policy == os.SCHED_OTHER else self._policy)

    def _spread(self) -> None:
        self._move(self.cores, policy=self._policy)
        assert self._narrow
        self._narrow.end()
        self._narrow = None

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
        if self._narrow:
            with suppress(OSError):
                os.sched_setaffinity(0, self.cores)
                os.sched_setscheduler(0, self._policy, os.sched_param(0))


class _Usage(NamedTuple):
    """What this process has used so far, and others have not, in seconds."""

    time: float
    waited: float  # for a core, by all threads that live
    computed: float  # by all threads
    free: float  # on some cores

    @classmethod
    def of(cls, cores: set[int]) -> "_Usage":
        """Return what was used until now, and how long these cores were free."""
        waited = 0
        for task in TASKS.iterdir():
            with suppress(OSError):  # a thread that has ended
                waited += int((task / "schedstat").read_text().split()[1])
        return cls(time.monotonic(), waited / 1e9, time.process_time(), _free(cores) if cores else 0.0)

    def a_second_since(self, before: "_Usage") -> tuple[float, float, float]:
        """Return the seconds waited, computed and free, a second."""
        seconds = self.time - before.time
        waited, computed, free = ((now - then) / seconds for now, then in zip(self[1:], before[1:], strict=True))
        return waited, computed, free


def _free(cores: set[int]) -> float:
    """Return the seconds in which cores idled, waited for a disk, or did work of low priority (proc_stat(5))."""
    ticks = 0
    for line in STAT.read_text().splitlines():
        name, *counts = line.split()
        if name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in cores:
            _, nice, _, idle, disk = map(int, counts[:5])
            ticks += nice + idle + disk
    return ticks / os.sysconf("SC_CLK_TCK")


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
