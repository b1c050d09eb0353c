"""A queue in which requests of many users wait for each other, and the one thread that empties it."""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, Protocol


class Full(Exception):
    """There is no room for more sentences."""


class Stopped(Exception):
    """Nothing more is taken."""


class Task(Hashable, Protocol):
    """What can be done for many items at once; jobs whose tasks are equal share one call."""

    def __call__(self, items: list[Any], /) -> list[Any]:
        """Return a result an item, in order."""


class Job(NamedTuple):
    """The items of one request."""

    task: Task
    items: Sequence[Any]
    pieces: int  # of all items
    since: float  # when it came
    result: "Future[list[Any]]"


class Batcher:
    """Runs jobs in one thread, those that wait together in one call: a model is never asked by two threads.

    Args:
        tokens: pieces of a call; a job of more has a call of its own.
        wait: seconds that the first of a call waits for others.
        room: items that may wait.
        observe: is told of each call how many items it had, and how many seconds it took.
    """

    def __init__(self, *, tokens: int, wait: float, room: int, observe: Callable[[int, float], None]) -> None:
        self.tokens = tokens
        self.wait = wait
        self.room = room
        self.observe = observe
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, task: Task, items: Sequence[Any], *, pieces: int) -> "Future[list[Any]]":
        """Queue the items of a request; a future that is cancelled before its turn costs nothing.

        Raises:
            Full: too many items wait.
            Stopped: nothing more is taken.
        """
        job = Job(task, items, pieces, time.monotonic(), Future())
        with self._changed:
            if self._stopping:
                raise Stopped
            if self.waiting + len(items) > self.room:
                raise Full
            self._jobs.append(job)
            self._changed.notify()
        return job.result

    @property
    def waiting(self) -> int:
        """The items in the queue."""
        return sum(len(job.items) for job in tuple(self._jobs) if not job.result.cancelled())

    def stop(self) -> None:
        """Take nothing more, and return when all that was taken is done."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while jobs := self._take():
            live = [job for job in jobs if job.result.set_running_or_notify_cancel()]
            if live:
                begin = time.monotonic()
                self._run(live)
                self.observe(sum(len(job.items) for job in live), time.monotonic() - begin)

    def _take(self) -> list[Job]:
        """Return the jobs of the next call; none where the thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._stopping)
            if not self._jobs:
                return []
            first = self._jobs[0]

            def ready() -> bool:
                return self._stopping or sum(job.pieces for job in self._jobs if job.task == first.task) >= self.tokens

            rest = first.since + self.wait - time.monotonic()
            self._changed.wait_for(ready, timeout=min(max(rest, 0), threading.TIMEOUT_MAX))
            taken: list[Job] = []
            pieces = 0
            for job in self._jobs:
                if job.task == first.task and (not taken or pieces + job.pieces <= self.tokens):
                    taken.append(job)
                    pieces += job.pieces
            chosen = set(map(id, taken))
            self._jobs = deque(job for job in self._jobs if id(job) not in chosen)
            return taken

    def _run(self, jobs: list[Job]) -> None:
        """Run jobs together; where that fails, each alone, so that one that cannot be done harms no other."""
        try:
            results = iter(jobs[0].task([item for job in jobs for item in job.items]))
            shares = [[next(results) for _ in job.items] for job in jobs]
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].result.set_exception(error)
                return
            for job in jobs:
                self._run([job])
            return
        for job, share in zip(jobs, shares, strict=True):
            job.result.set_result(share)
