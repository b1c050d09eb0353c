"""As many threads as a container may use cores: PyTorch counts those of the host.

Threads beyond the quota use it up early in each period of the scheduler, and all stand still for the rest.
"""

import math
import os
from pathlib import Path

THREADS = "OMP_NUM_THREADS"
"""By which a user says how many threads to take; PyTorch, and what it starts, read it."""

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def keep_to_quota() -> None:
    """Ask for no more threads than the quota has cores, unless the user says how many. Before PyTorch is loaded."""
    cores = granted_cores()
    if cores is not None:
        os.environ.setdefault(THREADS, str(cores))


def share_quota(processes: int) -> int | None:
    """Return how many threads each of several processes of this host may have, and tell those that are started here.

    None where the quota is no limit, or the user says how many threads there are to be.
    """
    cores = granted_cores()
    if processes == 1 or cores is None or os.environ.get(THREADS) != str(cores):
        return None
    threads = max(1, cores // processes)
    os.environ[THREADS] = str(threads)
    return threads


def granted_cores() -> int | None:
    """Return how many cores the control groups of this process grant, rounded up; None where that is no limit."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = min((math.ceil(quota) for quota in _quotas()), default=math.inf)
    return max(1, int(cores)) if cores < len(os.sched_getaffinity(0)) else None


def _quotas() -> list[float]:
    """Return the limit of each control group that this process is in, in cores (cgroups(7), versions 1 and 2)."""
    try:
        lines = [line.split(":", 2) for line in OWN.read_text().splitlines()]
    except OSError:  # no Linux, or nothing is told
        return []
    found: list[float] = []
    for _, controllers, place in lines:
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = CGROUPS / controllers if controllers else CGROUPS
        folder = root / place.lstrip("/")
        for group in (folder, *folder.parents):  # inside a container its own group may be the root
            if group.is_relative_to(root):
                found += _quota(group)
    return found


def _quota(group: Path) -> list[float]:
    try:
        if (group / "cpu.max").exists():
            most, period = (group / "cpu.max").read_text().split()
        else:
            most, period = ((group / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return [] if most in ("max", "-1") else [int(most) / int(period)]
    except (OSError, ValueError):
        return []
