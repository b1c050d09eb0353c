"""How far a training has come in an epoch, so that a resumed one goes on with the very next batch."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self


class Taken(NamedTuple):
    """Batches that were taken, by each of so many processes; a list of it, where a resumed run has other numbers."""

    batches: int
    processes: int
    tokens_per_batch: int


@dataclass
class EpochProgress:
    """What was taken of an epoch; of a stream by the workers that read it, each of which has stretches of its own."""

    epoch: int = 0
    taken: list[Taken] = field(default_factory=list)
    workers: dict[int, tuple[int, list[Taken]]] = field(default_factory=dict)  # the latest stretch, and what of it
    latest_worker: int = -1  # that gave the latest batch

    def add(self, processes: int, tokens_per_batch: int, *, stretch: int | None = None, worker: int = 0) -> None:
        """Note that each process took a batch, of a stream one of this stretch."""
        _add(self.taken, processes, tokens_per_batch)
        if stretch is not None:
            if self.workers.get(worker, (-1,))[0] != stretch:
                self.workers[worker] = stretch, []
            _add(self.workers[worker][1], processes, tokens_per_batch)
            self.latest_worker = worker

    def state_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "epoch": self.epoch,
            "taken": [list(taken) for taken in self.taken],
            "workers": {worker: [at, [list(taken) for taken in all_]] for worker, (at, all_) in self.workers.items()},
            "latest_worker": self.latest_worker,
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """Return what `state_dict` was taken of."""
        workers = {int(worker): (at, _taken(all_)) for worker, (at, all_) in state["workers"].items()}
        return cls(state["epoch"], _taken(state["taken"]), workers, state["latest_worker"])


def _add(taken: list[Taken], processes: int, tokens_per_batch: int) -> None:
    if not taken or taken[-1][1:] != (processes, tokens_per_batch):
        taken.append(Taken(0, processes, tokens_per_batch))
    taken[-1] = taken[-1]._replace(batches=taken[-1].batches + 1)


def _taken(rows: Iterable[Iterable[int]]) -> list[Taken]:
    return [Taken(*row) for row in rows]
