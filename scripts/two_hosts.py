"""Train on two hosts that a cable joins; break one, or the cable, and go on; compare with two processes of one host.

A host is a network namespace with a name and an address of its own. Weights, optimizer, curves and metrics have to be
the same to the last bit. Needs root, and Debian's iproute2 and util-linux; takes about ten minutes of two cores.

    python scripts/two_hosts.py
    python scripts/two_hosts.py same separate       # some of the checks
"""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from crash_test import LAUNCHER, SETTINGS, differences, write_text

SMALL = [*SETTINGS, "loader.num_workers=0", "loader.tokens_per_batch=512", "loader.cache_dir=cache"]
SMALL += ["trainer.max_epochs=2", "trainer.val_check_interval=20", "trainer.strategy=ddp"]
ADDRESSES = {"alpha": "10.77.0.1", "beta": "10.77.0.2"}
TORCHRUN = """
-m torch.distributed.run --nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-endpoint alpha
""".split()  # noqa: SIM905
PATIENCE = 600
"""Seconds in which a host has to end by itself when something is amiss."""


class Verdict(NamedTuple):
    """What a check found."""

    passed: bool
    numbers: str


def need(programs: dict[str, str], *, root: bool) -> None:
    """Leave, with one line, where this machine lacks something; programs go with the Debian package that has them."""
    lacking = sorted({package for program, package in programs.items() if not shutil.which(program)})
    if lacking:
        sys.exit(f"needs {', '.join(lacking)}: apt-get install {' '.join(lacking)}")
    if root and os.geteuid() != 0:
        sys.exit("needs root: start it as root")
    for number in (signal.SIGTERM, signal.SIGHUP):  # so that what was made is taken away then, too
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def report(checks: dict[str, Callable[[], Verdict]]) -> int:
    """Make the checks one after another; print a line of a table for each; return how many failed."""
    failed = 0
    print("| check | result | numbers |\n|---|---|---|", flush=True)
    for name, check in checks.items():
        try:
            passed, numbers = check()
        except (subprocess.SubprocessError, OSError, LookupError, ValueError) as error:
            passed, numbers = False, f"{type(error).__name__}: {error}"
        failed += not passed
        print(f"| {name} | {'pass' if passed else 'FAIL'} | {' '.join(numbers.split())} |", flush=True)
    return failed


def same(one: Path, other: Path, said: str) -> Verdict:
    """Compare two runs; what was said on the way is told where they differ, or the other was not finished."""
    found = differences(one, other) if (other / "metrics.json").exists() else ["not finished"]
    return Verdict(not found, f"{said}; {len(found)} differences: {found[0]}" if found else f"{said}; bit-identical")


class Host:
    """A network namespace with a name, and a cable to the other one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.space = f"{name}-{os.getpid()}"
        self.cable = f"{name[0]}{os.getpid()}"

    def ip(self, *words: str) -> None:
        subprocess.run(["ip", "-n", self.space, *words], check=True)

    def connect(self) -> None:
        """Bring its end of the cable up, and make it give up on a cut one in seconds, not in a quarter of an hour."""
        self.ip("address", "add", f"{ADDRESSES[self.name]}/24", "dev", self.cable)
        self.ip("link", "set", self.cable, "up")
        self.ip("link", "set", "lo", "up")
        retries = "echo 5 > /proc/sys/net/ipv4/tcp_retries2"
        subprocess.run(["ip", "netns", "exec", self.space, "sh", "-c", retries], check=True)

    def start(self, folder: Path, overrides: list[str]) -> "subprocess.Popen[str]":
        named = ["unshare", "--uts", "sh", "-c", f'hostname {self.name} && exec "$@"', "sh"]
        train = [sys.executable, *TORCHRUN, "-m", "seq2seq", "train", *SMALL, "trainer.num_nodes=2", *overrides]
        return subprocess.Popen(
            ["ip", "netns", "exec", self.space, *named, *train],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def kill(self) -> None:
        """Kill all that runs on it."""
        found = subprocess.run(["ip", "netns", "pids", self.space], capture_output=True, text=True).stdout.split()
        for number in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)


@contextlib.contextmanager
def network() -> Iterator[list[Host]]:
    """Make two hosts and the cable between them, and take them away."""
    hosts = [Host(name) for name in ADDRESSES]
    names = Path("/etc/netns")
    fresh = not names.exists()
    try:
        for host in hosts:
            (names / host.space).mkdir(parents=True)
            known = {"localhost": "127.0.0.1", **ADDRESSES}
            (names / host.space / "hosts").write_text("".join(f"{address} {name}\n" for name, address in known.items()))
            subprocess.run(["ip", "netns", "add", host.space], check=True)
        one, other = hosts
        one.ip("link", "add", one.cable, "type", "veth", "peer", "name", other.cable, "netns", other.space)
        for host in hosts:
            host.connect()
        yield hosts
    finally:
        for host in hosts:
            host.kill()
            subprocess.run(["ip", "netns", "delete", host.space], stderr=subprocess.DEVNULL)
            shutil.rmtree(names / host.space, ignore_errors=True)
        if fresh:
            names.rmdir()


class Stage:
    """Two hosts, text, and a run of two processes on one host to compare with."""

    def __init__(self, folder: Path, hosts: list[Host]) -> None:
        self.folder, self.hosts = folder, hosts
        self.shared, self.whole = folder / "shared", folder / "shared" / "whole"
        self.shared.mkdir()
        self.text = [name.replace(f"{self.shared}/", "") for name in write_text(self.shared, 1)]
        train = [sys.executable, *LAUNCHER, "-m", "seq2seq", "train", *SMALL, *self.text, "trainer.devices=2"]
        subprocess.run([*train, "hydra.run.dir=whole"], cwd=self.shared, check=True, capture_output=True)

    def own_folders(self, name: str) -> list[Path]:
        """Make a working folder for each host, with the text in it."""
        folders = [self.folder / name / host.name for host in self.hosts]
        for folder in folders:
            folder.mkdir(parents=True)
            for file in [*self.shared.glob("*.source"), *self.shared.glob("*.target")]:
                shutil.copy(file, folder)
        return folders

    def train(
        self, folders: list[Path], *overrides: str, at_checkpoint: Callable[[], None] | None = None, run: str = ""
    ) -> str:
        """Train on both hosts; return what each said of errors, with its exit status, and when the last one ended."""
        begin = time.time()
        processes = [
            host.start(folder, [*self.text, *overrides]) for host, folder in zip(self.hosts, folders, strict=True)
        ]
        if at_checkpoint:
            file = folders[0] / run / "checkpoints" / "last.ckpt"
            while not file.exists() and all(process.poll() is None for process in processes):
                time.sleep(0.02)
            begin = time.time()
            at_checkpoint()
        said = []
        for host, process in zip(self.hosts, processes, strict=True):
            try:
                out, _ = process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                process.terminate()
                out = process.communicate()[0] + "\nerror: it waited, and had to be ended"
            errors = [line for line in out.splitlines() if line.startswith("error:")] or [""]
            said.append(f"{host.name}: {errors[0] * bool(process.returncode)} (exit {process.returncode})")
        return f"after {time.time() - begin:.0f} s {'; '.join(said)}".replace(str(self.folder), "")

    def one_folder(self) -> Verdict:
        said = self.train([self.shared] * 2, "hydra.run.dir=two")
        return same(self.whole, self.shared / "two", said)

    def broken(self, name: str, breaks: Callable[[], None], mend: Callable[[], None]) -> Verdict:
        """Break something when a checkpoint is there, mend it, go on, and compare the end."""
        said = self.train([self.shared] * 2, f"hydra.run.dir={name}", at_checkpoint=breaks, run=name)
        mend()
        return same(self.whole, self.shared / name, f"{said}; {self.train([self.shared] * 2, f'resume={name}')}")

    def separate(self) -> Verdict:
        """Nothing is shared: every host has the text, and makes the vocabulary and the token ids, itself."""
        folders = self.own_folders("separate")
        said = self.train(folders, "hydra.run.dir=run")
        made = [{file.parent.name: file.read_text() for file in folder.glob("cache/*/sums.json")} for folder in folders]
        passed, numbers = same(self.whole, folders[0] / "run", said)
        alike = made[0] == made[1] and len(made[0]) == 3
        return Verdict(passed and alike, f"caches {'alike' if alike else 'DIFFERENT'}; {numbers}")

    def refused(self, name: str, change: Callable[[Path], object], reason: str) -> Verdict:
        """Change the second host's folder; both have to end soon and say why."""
        folders = self.own_folders(name)
        change(folders[1])
        said = self.train(folders, "hydra.run.dir=run")
        left = [str(path) for folder in folders for path in folder.glob("run/checkpoints")]
        return Verdict(said.count(reason) == 2 and "waited" not in said and not left, said)

    def no_checkpoint(self, first: Host) -> Verdict:
        """The first host, which writes, dies; the other has no checkpoint until it is copied there."""
        folders = self.own_folders("checkpoint")
        self.train(folders, "hydra.run.dir=run", at_checkpoint=first.kill, run="run")
        refused = self.train(folders, "resume=run")
        shutil.rmtree(folders[1] / "run", ignore_errors=True)
        shutil.copytree(folders[0] / "run", folders[1] / "run")
        passed, numbers = same(self.whole, folders[0] / "run", self.train(folders, "resume=run"))
        return Verdict(
            passed and refused.count("beta: the checkpoint to go on from is not there") == 2, f"{refused}; {numbers}"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["same", "killed", "cable", "separate", "no-data", "other-data", "no-checkpoint"]
    parser.add_argument("checks", nargs="*", metavar="check", help=f"some of {', '.join(names)}; all by default")
    wanted = parser.parse_args().checks or names
    if unknown := set(wanted) - set(names):
        parser.error(f"{min(unknown)} is no check; there are {', '.join(names)}")
    need({"ip": "iproute2", "unshare": "util-linux"}, root=True)
    with tempfile.TemporaryDirectory(prefix="hosts-") as name, network() as (alpha, beta):
        stage = Stage(Path(name), [alpha, beta])

        def cut(state: str) -> None:
            beta.ip("link", "set", beta.cable, state)

        def change(folder: Path) -> None:
            text = (folder / "train.target").read_text()
            (folder / "train.target").write_text(text.replace(" .", " !", 1))

        checks = {
            "same": stage.one_folder,
            "killed": lambda: stage.broken("killed", beta.kill, lambda: None),
            "cable": lambda: stage.broken("cable", lambda: cut("down"), lambda: cut("up")),
            "separate": stage.separate,
            "no-data": lambda: stage.refused("no-data", lambda folder: (folder / "val.target").unlink(), "val.target"),
            "other-data": lambda: stage.refused("other-data", change, "the training data is not that of process 0"),
            "no-checkpoint": lambda: stage.no_checkpoint(alpha),
        }
        return report({name: check for name, check in checks.items() if name in wanted})


if __name__ == "__main__":
    sys.exit(main())
