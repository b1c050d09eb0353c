"""Speed beside other work: of a training alone, beside a busy process, beside another such training, and in a quota.

The measure is one free core: the same work with one thread on a core of its own. Every row is measured in turns within
one run. The busy process is a loop of the same priority. The quota is one core's time, by a control group where one
may be made (as root), else by leaving the process one core. `--before DIR` measures a checkout of another version too.

    python scripts/benchmark_contention.py
    python scripts/benchmark_contention.py --data multi30k --work default transformer luong translate
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from arguments import above_0

ROOT = Path(__file__).parents[1]
SHORT = ["trainer=cpu", "trainer.limit_val_batches=0", "training.test_splits=[]", "pinned=[]"]
SHORT += ["callbacks.early_stopping=null", "callbacks.best=null"]
WORK = {
    "default": [],
    "transformer": ["experiment=multi30k_transformer_tiny"],
    "luong": ["experiment=multi30k_luong"],
    "translate": [],
}
GROUPS = {"cpu.max": "100000 100000", "cpu/cpu.cfs_quota_us": "100000"}
"""One core's time, in the control groups of version 2 and of version 1."""


class Job(NamedTuple):
    """Some work, by one version of the program, in a folder of its own."""

    work: str
    version: Path
    folder: Path
    options: argparse.Namespace

    def start(self, name: str = "one", *, prefix: tuple[str, ...] = (), threads: int | None = None) -> "Started":
        """Start it; prefix is a command that starts another."""
        run = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))
        if self.work == "translate":
            arguments = ["translate", f"checkpoint={self.folder}/model/checkpoints/last.ckpt", "search.max_length=30"]
            arguments += [f"input={self.folder}/lines", f"output={run}/translations"]
        else:
            arguments = ["train", f"hydra.run.dir={run}", *WORK[self.work], *SHORT]
            arguments += [f"trainer.max_steps={self.options.steps}"]
            arguments += [f"data.root={self.options.data.resolve()}"] if WORK[self.work] else []
        environment = {**os.environ, "PYTHONPATH": str(self.version)}
        environment.pop("OMP_NUM_THREADS", None)
        if threads:
            environment["OMP_NUM_THREADS"] = str(threads)
        command = [*prefix, sys.executable, "-m", "seq2seq", *arguments]
        begin = time.perf_counter()
        with (run / "log").open("w") as log:
            process = subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)
        return Started(self, run, process, begin)


class Started(NamedTuple):
    job: Job
    run: Path
    process: "subprocess.Popen[bytes]"
    begin: float

    def rate(self) -> float:
        """Wait for its end; return target tokens a second, or lines a second with the program's start."""
        if self.process.wait():
            sys.exit((self.run / "log").read_text())
        if self.job.work == "translate":
            return self.job.options.lines / (time.perf_counter() - self.begin)
        return json.loads((self.run / "metrics.json").read_text())["train/target_tokens_per_second"]


@contextmanager
def busy() -> Iterator[None]:
    """A process that always computes."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@contextmanager
def quota(core: str) -> Iterator[tuple[str, ...]]:
    """What starts a command with one core's time."""
    for limit, value in GROUPS.items():
        file = Path("/sys/fs/cgroup") / limit
        group = file.parent / "seq2seq-benchmark"
        if not (file.parent / "cgroup.procs").exists():
            continue
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / file.name).exists():
                (group / file.name).write_text(value)
                yield ("sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh")
                return
        finally:
            group.rmdir()
    yield ("taskset", "-c", core)


def measure(job: Job) -> dict[str, float]:
    """Return the rate of every situation, once; of two at once, that of the slower."""
    core = str(max(os.sched_getaffinity(0)))

    def say(found: dict[str, float]) -> None:
        print(f"{job.work} {job.version} {found}", file=sys.stderr, flush=True)

    found = {"one free core": job.start(prefix=("taskset", "-c", core), threads=1).rate(), "alone": job.start().rate()}
    with busy():
        found["beside a busy process"] = job.start().rate()
    both = [job.start("one"), job.start("other")]
    found["two at once"] = min(started.rate() for started in both)
    say(found)
    with quota(core) as prefix:
        found["quota of one core"] = job.start(prefix=prefix).rate()
    say(found)
    return found


def prepare(options: argparse.Namespace, folder: Path) -> None:
    """Fill the cache, and train what `translate` uses."""
    first = argparse.Namespace(**{**vars(options), "steps": 1})
    for work in options.work:
        if work != "translate":
            Job(work, ROOT, folder, first).start().rate()
    if "translate" in options.work:
        sys.path.insert(0, str(ROOT))
        from seq2seq.data.grammar import generate

        lines = [pair.source for pair in generate("train")[: options.lines]]
        (folder / "lines").write_text("".join(f"{line}\n" for line in lines))
        command = [sys.executable, "-m", "seq2seq", "train", "hydra.run.dir=model", *SHORT, "trainer.max_steps=300"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", nargs="+", choices=WORK, default=["default", "translate"], metavar="WORK",
                        help=f"any of {', '.join(WORK)} (default translate)")  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="DIR", help="Multi30k, for transformer and luong")
    parser.add_argument("--before", type=Path, metavar="DIR", help="a checkout of an earlier version")
    parser.add_argument("--steps", type=above_0, default=300, help="updates of a training (%(default)s)")
    parser.add_argument("--lines", type=above_0, default=3000, help="lines to translate (%(default)s)")
    parser.add_argument("--rounds", type=above_0, default=1, help="of which medians are shown (%(default)s)")
    options = parser.parse_args()
    if options.data is None and {"transformer", "luong"} & set(options.work):
        parser.error("--work transformer and luong need --data DIR, the folder of Multi30k")
    if len(os.sched_getaffinity(0)) < 2:
        parser.error("this needs two cores")
    versions = {"now": ROOT} | ({"before": options.before.resolve()} if options.before else {})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(options, folder)
        header = ("one free core", "alone", "beside a busy process", "two at once", "quota of one core")
        print(f"| a second; share of one free core | {' | '.join(header)} |\n{'|---' * 6}|", flush=True)
        for work in options.work:
            rounds: dict[str, list[dict[str, float]]] = {version: [] for version in versions}
            for _ in range(options.rounds):
                for version, place in versions.items():
                    rounds[version].append(measure(Job(work, place, folder, options)))
            for version, found in rounds.items():
                rates = {title: statistics.median(one[title] for one in found) for title in header}
                cells = [f"{rates[title]:,.0f}, {rates[title] / rates[header[0]]:.0%}" for title in header]
                print(f"| {work}, {version} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
