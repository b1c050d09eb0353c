"""Several processes that train together: which of them this is, and that they are of one mind before they begin."""

import json
import os
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch.distributed
from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.utilities import rank_zero_only
from torch.distributed import PrefixStore, Store, TCPStore

from seq2seq.cli.keys.messages import explain
from seq2seq.cli.keys.quoting import quote
from seq2seq.cli.training.run_folder import bears_time, free_folder
from seq2seq.errors import UserError
from seq2seq.options import composed

Runs = list[list[str] | None]
FOLDER = "hydra.run.dir"
PATIENCE = timedelta(hours=2)
"""How long processes wait for one that still makes its cache."""

STARTING = timedelta(minutes=30)
"""How long SLURM's tasks wait for the one that starts last."""

PLACE = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")
"""What Lightning says in the environment to the processes that it starts, and leaves there."""

READING = 60
"""Seconds after which the others have read what was told, or will not."""


def rank() -> int:
    """Return the number of this process among those that train together, from 0."""
    return getattr(rank_zero_only, "rank", None) or 0


class Meeting:
    """Where the processes of a launch tell each other what they are about to do, over all hosts.

    A process that is alone, or that Lightning has started on the same host, meets nobody.
    """

    def __init__(self, store: Store | None = None, *, number: int = 0, processes: int = 1) -> None:
        self._store, self._number, self._processes = store, number, processes
        self._round = 0

    def agreed(self, decide: Callable[[], Runs], runs: Runs) -> Runs:
        """Return what process 0 decides, in every process: the folders, which bear the time, and what is resumed.

        Args:
            decide: makes of the runs' overrides those that say where each goes on.
            runs: overrides; processes that Lightning starts are told the folder in them.

        Raises:
            UserError: process 0 refuses.
        """
        if self._store is None:
            return decide() if rank() == 0 else runs
        mine: dict[str, Any] = {}
        with self._telling(mine) as told:
            if self._number == 0:
                mine["runs"] = [run and _with_folder(run) for run in decide()]
        return told[0]["runs"]

    @contextmanager
    def alike(self) -> Iterator[dict[str, Any]]:
        """Wait at the end of the block until every process has come there and has noted the same, as JSON data by name.

        Raises:
            UserError: another process failed in its block, or noted something else; it names the host.
        """
        mine: dict[str, Any] = {}
        with self._telling(mine) as told:
            yield mine
        first = told[0]
        for number, other in enumerate(told):
            for name in mine:
                if other[name] != first[name]:
                    fault = f"is not that of process 0 on {first['host']}" if other[name] else "is not there"
                    raise UserError(
                        f"process {number} on {other['host']}: {name} {fault}; give all hosts the same, or a "
                        "folder that they share"
                    )

    @contextmanager
    def _telling(self, mine: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
        """Tell all what is mine at the end of the block, or the error that ended it; then fill what all have told."""
        told: list[dict[str, Any]] = []
        try:
            yield told
        except Exception as error:
            self._exchange({"error": explain(error, "train", [])})
            raise
        told += self._exchange(mine)
        for number, other in enumerate(told):
            if "error" in other:
                raise UserError(f"process {number} on {other['host']}: {other['error']}")

    def _exchange(self, mine: dict[str, Any]) -> list[dict[str, Any]]:
        mine = {"host": socket.gethostname(), **mine}
        if self._store is None:
            return [mine]
        self._round += 1
        store = PrefixStore(str(self._round), self._store)
        store.set(f"from-{self._number}", json.dumps(mine))
        names = [f"from-{number}" for number in range(self._processes)]
        store.wait(names, PATIENCE)
        told = [json.loads(store.get(name)) for name in names]
        store.add("read", 1)
        end = time.monotonic() + READING
        while self._number == 0 and store.add("read", 0) < self._processes and time.monotonic() < end:
            time.sleep(0.01)  # it may be this process, or one that ends with it, that keeps the store
        return told


@contextmanager
def as_program() -> Iterator[None]:
    """Let Lightning start the other processes of a training as the program, where this is a script or a notebook."""
    main = sys.modules["__main__"]
    spec = main.__spec__
    main.__spec__ = find_spec("seq2seq.__main__")  # by which `python -m` is told what to run
    try:
        yield
    finally:
        main.__spec__ = spec


@contextmanager
def parted() -> Iterator[None]:
    """Part, after a training, from the processes that Lightning has started for it: the next one starts its own."""
    before = {name: os.environ.get(name) for name in PLACE}
    try:
        yield
    finally:
        if before["LOCAL_RANK"] is None and "LOCAL_RANK" in os.environ:
            if torch.distributed.is_initialized():
                torch.distributed.destroy_process_group()
            for name in PLACE:
                os.environ.pop(name, None)
            os.environ |= {name: value for name, value in before.items() if value is not None}


def refuse_several(what: str, *, handed_on: bool) -> None:
    """Refuse what only a process that was started alone can do.

    Args:
        what: it is.
        handed_on: whether its work is done elsewhere, as by a launcher that a job's script may well use.

    Raises:
        UserError: torchrun or srun has started several.
    """
    torchrun = TorchElasticEnvironment.detect() and int(os.environ.get("WORLD_SIZE", "1")) > 1
    if torchrun or (_tasks() > 1 and ("SLURM_STEP_ID" in os.environ or not handed_on)):
        starter = "torchrun" if torchrun else "SLURM"
        raise UserError(
            f"{what}: {starter} has started several processes, which train one run together; leave {what} out and give "
            f"each run a command of its own, or start {what} alone: trainer=ddp then starts the processes of one host"
        )


def meeting() -> Meeting:
    """Return where the processes of this launch, of torchrun or SLURM, meet.

    Raises:
        UserError: SLURM was asked for several, and they were not started so that they find each other.
    """
    if TorchElasticEnvironment.detect():
        store, number, processes = next(torch.distributed.rendezvous("env://"))
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # what an earlier one agreed on is still there
        store = PrefixStore(f"seq2seq-{attempt}", store)
        return Meeting(store, number=number, processes=processes) if processes > 1 else Meeting()
    tasks = _tasks()
    if tasks == 1:
        return Meeting()
    remedy = f"start each of SLURM's {tasks} tasks by srun, and ask for them with --ntasks-per-node"
    if "SLURM_STEP_ID" not in os.environ:
        raise UserError(f"this is the job's script, not one of its tasks; {remedy}")
    try:
        slurm = SLURMEnvironment(auto_requeue=False)
        # Lightning meets at the port itself, which follows from the job's number, as do those of jobs beside this.
        port, number = slurm.main_port + 5000, slurm.global_rank()
        store = TCPStore(slurm.main_address, port, tasks, is_master=number == 0, timeout=STARTING)
        return Meeting(store, number=number, processes=tasks)
    except RuntimeError as error:
        raise UserError(f"the tasks did not meet ({str(error).splitlines()[0]}); {remedy}") from error


def _tasks() -> int:
    """Return the number of tasks that SLURM is to start together; 1 where it starts none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's, that srun is there and is not used
        return int(os.environ.get("SLURM_NTASKS", "1")) if SLURMEnvironment.detect() else 1


def _with_folder(overrides: list[str]) -> list[str]:
    if any(override.startswith(f"{FOLDER}=") for override in overrides):
        return overrides
    run = composed("train", tuple(overrides)).hydra.run
    folder = free_folder(Path(run.dir)) if bears_time(run) else run.dir
    return [*overrides, *quote([f"{FOLDER}={folder}"], text_keys=(FOLDER,))]
