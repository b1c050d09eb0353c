"""Several processes that train together: which of them this is, and that they are of one mind before they begin."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch.distributed
from lightning.fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch.utilities import rank_zero_only
from torch.distributed import PrefixStore, Store, TCPStore

from seq2seq.cli.options import compose_hydra, quote
from seq2seq.cli.run_folder import bears_time, free_folder

Runs = list[list[str] | None]
FOLDER = "hydra.run.dir"


def rank() -> int:
    """Return the number of this process among those that train together, from 0."""
    return getattr(rank_zero_only, "rank", None) or 0


def agreed(decide: Callable[[], Runs], runs: Runs) -> Runs:
    """Return what process 0 decides, in every process: the folders, which bear the time, and what is resumed.

    Args:
        decide: makes of the runs' overrides those that say where each goes on.
        runs: overrides; processes that Lightning starts are told the folder in them.
    """
    store, number, processes = _meeting()
    if store is None:
        return decide() if rank() == 0 else runs
    if number == 0:
        store.set("runs", json.dumps([run and _with_folder(run) for run in decide()]))
    found = json.loads(store.get("runs"))
    store.add("read", 1)
    while number == 0 and store.add("read", 0) < processes:  # it may be this process that keeps the store
        time.sleep(0.01)
    return found


def _meeting() -> tuple[Store | None, int, int]:
    """Return where the processes of a launch meet, which of them this is, and how many they are."""
    if TorchElasticEnvironment.detect():
        store, number, processes = next(torch.distributed.rendezvous("env://"))
        attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # what an earlier one agreed on is still there
        return (PrefixStore(f"seq2seq-{attempt}", store), number, processes) if processes > 1 else (None, 0, 1)
    if SLURMEnvironment.detect():
        slurm = SLURMEnvironment(auto_requeue=False)
        number, processes = slurm.global_rank(), slurm.world_size()
        if processes > 1:
            port = slurm.main_port + 1  # Lightning meets at the port itself, later
            return TCPStore(slurm.main_address, port, processes, is_master=number == 0), number, processes
    return None, 0, 1


def _with_folder(overrides: list[str]) -> list[str]:
    if any(override.startswith(f"{FOLDER}=") for override in overrides):
        return overrides
    run = compose_hydra("train", overrides).hydra.run
    folder = free_folder(Path(run.dir)) if bears_time(run) else run.dir
    return [*overrides, *quote([f"{FOLDER}={folder}"], text_keys=(FOLDER,))]
