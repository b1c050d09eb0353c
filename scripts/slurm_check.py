"""Train under a real SLURM on this one machine; stop jobs in each way it has; compare their ends with one not stopped.

Its daemons run with settings of their own in a temporary folder, and end with the script. Weights, optimizer, curves
and metrics have to be the same to the last bit. Needs root, and Debian's slurm-wlm and munge; takes about 15 minutes.

    python scripts/slurm_check.py
    python scripts/slurm_check.py signal --epochs 100     # one check; on a fast machine, a longer training
"""

import argparse
import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

from arguments import above_0
from crash_test import SETTINGS, write_text
from two_hosts import Verdict, need, report, same

PROGRAMS = {name: "slurm-wlm" for name in ("slurmctld", "slurmd", "sbatch", "srun", "scontrol")} | {"munged": "munge"}
SMALL = """
loader.num_workers=0 loader.tokens_per_batch=512 trainer.val_check_interval=20 callbacks.early_stopping=null
""".split()  # noqa: SIM905
CONFIGURATION = """
ClusterName=check
SlurmctldHost={host}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
KillWait=600
NodeName={host} CPUs=16 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
SCRIPT = """#!/bin/bash
#SBATCH --nodes=1 --ntasks-per-node=2 --time=600 --requeue --output=job.log --open-mode=append {options}
{launch} {python} -m seq2seq train trainer.devices=2 trainer.strategy=ddp resume=auto {settings}
"""
ENDED = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL")
PATIENCE = 7200
"""Seconds in which whatever is waited for has to come."""


@contextlib.contextmanager
def slurm(folder: Path) -> Iterator[None]:
    """Start SLURM's daemons, with all they write in a folder, and end them and the jobs."""
    host = socket.gethostname().partition(".")[0]
    with socket.socket() as one, socket.socket() as other:
        for place in (one, other):
            place.bind(("", 0))
        ports = one.getsockname()[1], other.getsockname()[1]
    (folder / "slurm.conf").write_text(CONFIGURATION.format(host=host, folder=folder, ports=ports))
    (folder / "spool").mkdir()
    folder.chmod(0o755)
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    files = {option: folder / f"munge.{option.partition('-')[0]}" for option in ("key-file", "pid-file", "log-file")}
    files |= {"seed-file": folder / "munge.seed", "socket": folder / "munge.socket"}
    commands = [
        ["munged", "--foreground", "--force", *(f"--{option}={file}" for option, file in files.items())],
        ["slurmctld", "-D"],
        ["slurmd", "-D"],
    ]
    daemons = []
    try:
        for command in commands:
            log = (folder / f"{command[0]}.out").open("w")
            daemons.append(subprocess.Popen(command, stdout=log, stderr=log))
            if command[0] == "munged":
                wait_for((folder / "munge.socket").exists)
        wait_for(lambda: "idle" in ask("sinfo", "--noheader", "--format=%T"))
        yield
    finally:
        if len(daemons) == len(commands):
            ask("scancel", "--user=root", "--signal=KILL", "--full")
            ask("scancel", "--user=root")
            with contextlib.suppress(TimeoutError):
                wait_for(lambda: not ask("squeue", "--noheader"), patience=30)
        for daemon in reversed(daemons):
            daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(30)
            daemon.kill()


def ask(*command: str) -> str:
    """Return what a program says; nothing where it cannot answer yet."""
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def wait_for(come: Callable[[], object], patience: float = PATIENCE) -> None:
    end = time.monotonic() + patience
    while not come():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {patience} s in vain")
        time.sleep(0.1)


class Job:
    """A training as a job of two tasks, with a working folder of its own."""

    def __init__(self, folder: Path, settings: list[str], *, options: str = "", launch: str = "srun") -> None:
        self.folder = folder
        folder.mkdir()
        script = SCRIPT.format(options=options, launch=launch, python=sys.executable, settings=" ".join(settings))
        (folder / "job.sh").write_text(script)
        self.submit()

    def submit(self) -> None:
        done = subprocess.run(["sbatch", "--parsable", "job.sh"], cwd=self.folder, text=True, capture_output=True)
        if done.returncode:
            raise ValueError(done.stderr)
        self.number = done.stdout.strip()

    def about(self, name: str) -> str:
        """Return what SLURM says of a job under a name, such as JobState."""
        found = re.search(rf"\b{name}=(\S+)", ask("scontrol", "show", "job", self.number))
        return found[1] if found else ""

    def begun(self) -> None:
        """Wait for its first checkpoint."""
        wait_for(
            lambda: any(self.folder.glob("outputs/*/*/*/checkpoints/last.ckpt")) or self.about("JobState") in ENDED
        )

    def ended(self) -> str:
        """Wait for its end; return its state, and how often it was started again."""
        wait_for(lambda: self.about("JobState") in ENDED)
        return f"{self.about('JobState')}, {self.about('Restarts')} restarts"

    def shorten(self, minutes: int) -> None:
        """Let its time be over in some minutes, counted up from what has gone of the present one."""
        clock = [int(part) for part in re.split("[-:]", self.about("RunTime"))]
        self.limit(max(clock[-2] + 60 * clock[-3] + minutes, 1))

    def limit(self, minutes: int) -> None:
        subprocess.run(["scontrol", "update", f"JobId={self.number}", f"TimeLimit={minutes}"], check=True)

    def said(self) -> str:
        """Return the lines in which it speaks of its end."""
        lines = (self.folder / "job.log").read_text().splitlines()
        return " / ".join(line for line in lines if line.startswith(("stopped by", "error:")))

    def run(self) -> Path:
        (run,) = self.folder.glob("outputs/*/*/*")
        return run


def stopped(whole: Job, job: Job, stop: Callable[[Job], None], *, anew: bool, reason: str) -> Verdict:
    """Stop a job when it has a checkpoint; submit it again where SLURM does not; compare the end."""
    job.begun()
    stop(job)
    states = [job.ended()]
    if anew:
        job.submit()
        states.append(job.ended())
    whole.ended()
    passed, numbers = same(whole.run(), job.run(), f"{', then '.join(states)}; {job.said()}")
    right = (
        reason in job.said() and states[-1].startswith("COMPLETED") and (anew or states[-1] != "COMPLETED, 0 restarts")
    )
    return Verdict(passed and right, numbers)


def beginning(check: Callable[[], Verdict]) -> Callable[[], Verdict]:
    """Begin a check beside others, in a thread that ends with the program; return what waits for its verdict."""
    verdict: Future[Verdict] = Future()

    def run() -> None:
        try:
            verdict.set_result(check())
        except Exception as error:
            verdict.set_exception(error)

    Thread(target=run, daemon=True).start()
    return verdict.result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["signal", "time-limit", "scancel", "requeue", "no-srun"]
    parser.add_argument("checks", nargs="*", metavar="check", help=f"some of {', '.join(names)}; all by default")
    parser.add_argument(
        "--epochs", type=above_0, default=5, help="of a training; it has to last 2 minutes (%(default)s)"
    )
    options = parser.parse_args()
    wanted = options.checks or names
    if unknown := set(wanted) - set(names):
        parser.error(f"{min(unknown)} is no check; there are {', '.join(names)}")
    need(PROGRAMS, root=True)
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as name, slurm(Path(name)):
        folder = Path(name)
        settings = [
            *SETTINGS,
            *SMALL,
            *write_text(folder, 1),
            f"trainer.max_epochs={options.epochs}",
            f"loader.cache_dir={folder}",
        ]
        os.environ["OMP_NUM_THREADS"] = "1"
        whole = Job(folder / "whole", settings)

        def check(name: str, stop: Callable[[Job], None], reason: str, *, anew: bool, options: str = "") -> Verdict:
            return stopped(whole, Job(folder / name, settings, options=options), stop, anew=anew, reason=reason)

        def no_srun() -> Verdict:
            job = Job(folder / "no-srun", settings, launch="")
            state = job.ended()
            return Verdict(state.startswith("FAILED") and "srun" in job.said(), f"{state}; {job.said()}")

        def cancel(job: Job) -> None:
            subprocess.run(["scancel", job.number], check=True)

        def requeue(job: Job) -> None:
            subprocess.run(["scontrol", "requeue", job.number], check=True)

        def warn(job: Job) -> None:
            job.shorten(1)
            wait_for(lambda: job.about("Restarts") == "1" or job.about("JobState") in ENDED)
            job.limit(600)

        early = "--signal=SIGUSR1@30"
        checks = {
            "signal": lambda: check("signal", warn, "SIGUSR1", anew=False, options=early),
            "time-limit": lambda: check("time-limit", lambda job: job.shorten(0), "SIGTERM", anew=True),
            "scancel": lambda: check("scancel", cancel, "SIGTERM", anew=True),
            "requeue": lambda: check("requeue", requeue, "SIGTERM", anew=False),
            "no-srun": no_srun,
        }
        # SLURM is told of more cores than there are: all jobs run at once.
        return report({name: beginning(made) for name, made in checks.items() if name in wanted})


if __name__ == "__main__":
    sys.exit(main())
