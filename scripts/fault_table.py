"""Inject faults into trainings; print what a user sees of each, and what was lost once the run was resumed.

Nothing is lost when the resumed run ends with the same checkpoint, curves and metrics, bit for bit, as one that met no
fault. A full disk is a small one in memory, which only root may mount: without, those rows are left out, and said so.

    python scripts/fault_table.py
    python scripts/fault_table.py nan worker      # some of them
"""

import argparse
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from crash_test import SETTINGS, differences, write_text


@dataclass
class Stage:
    """A folder with a corpus, a run that met no fault, and the settings of both."""

    folder: Path
    settings: list[str] = field(default_factory=list)

    def begin(self, *overrides: str, **options: Any) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "seq2seq", "train", *self.settings, *overrides]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
            start_new_session=True, **options,
        )  # fmt: skip

    def train(self, *overrides: str, **options: Any) -> str:
        """Return the lines in which a run speaks of errors and damage, and its exit status."""
        return said(self.begin(*overrides, **options))

    def stop(self, run: Path, number: int, process: "subprocess.Popen[str]") -> str:
        """Send a signal when the first checkpoint is there."""
        wait_for(run / "checkpoints" / "last.ckpt", process)
        process.send_signal(number)
        return said(process)


def said(process: "subprocess.Popen[str]") -> str:
    out, _ = process.communicate(timeout=300)
    words = ("error:", "warning", "stopped", "damaged", "cut off", "going on", "interrupted")
    lines = [line for line in out.splitlines() if any(word in line for word in words)]
    return f"{' / '.join(lines) or out[-300:]} (exit {process.returncode})"


def wait_for(file: Path, process: "subprocess.Popen[str]") -> None:
    while not file.exists() and process.poll() is None:
        time.sleep(0.02)


def small_disk(folder: Path, size: str) -> Path:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    return folder


def full_at_checkpoint(stage: Stage, run: Path) -> str:
    small_disk(run, "2600k")
    line = stage.train(f"hydra.run.dir={run}")
    subprocess.run(["mount", "-o", "remount,size=50m", run], check=True)
    return line


def full_meanwhile(stage: Stage, run: Path) -> str:
    """Fill the disk after the first checkpoint."""
    small_disk(run, "20m")
    process = stage.begin(f"hydra.run.dir={run}")
    wait_for(run / "checkpoints" / "last.ckpt", process)
    process.send_signal(signal.SIGSTOP)
    with (run / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 12))
    process.send_signal(signal.SIGCONT)
    line = said(process)
    (run / "filler").unlink()
    return line


def full_at_cache(stage: Stage, run: Path) -> str:
    disk = small_disk(stage.folder / "small cache", "40k")
    line = stage.train(f"hydra.run.dir={run}", f"loader.cache_dir={disk}")
    subprocess.run(["umount", disk], check=True)
    return line


def damaged_checkpoint(change: Callable[[bytes], bytes], stage: Stage, run: Path) -> str:
    stage.stop(run, signal.SIGTERM, stage.begin(f"hydra.run.dir={run}"))
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(change(last.read_bytes()))
    return stage.train(f"resume={run}")


def damaged_cache(name: str, stage: Stage, run: Path) -> str:
    file = next(stage.folder.glob(f"cache/*/{name}"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return stage.train(f"hydra.run.dir={run}")


def two_build_a_cache(stage: Stage, run: Path) -> str:
    cache = f"loader.cache_dir={stage.folder / 'shared cache'}"
    processes = [stage.begin(f"hydra.run.dir={folder}", cache) for folder in (run, stage.folder / "beside")]
    lines = [said(process) for process in processes]
    same = not differences(run, stage.folder / "beside")
    built = len(list((stage.folder / "shared cache").glob("pairs-*/")))
    exits = " and ".join(line.rpartition("(")[2].rstrip(")") for line in lines)
    return f"nothing: {exits}; {built} splits built, each once; the runs {'are equal' if same else 'DIFFER'}"


def two_in_a_folder(stage: Stage, run: Path) -> str:
    first = stage.begin(f"hydra.run.dir={run}")
    wait_for(run / "config.yaml", first)
    line = stage.train(f"hydra.run.dir={run}")
    said(first)
    return line


def dead_worker(stage: Stage, run: Path) -> str:
    process = stage.begin(f"hydra.run.dir={run}")
    wait_for(run / "checkpoints" / "last.ckpt", process)
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    return said(process)


def no_memory(stage: Stage, run: Path) -> str:

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))

    large = ["loader.tokens_per_batch=60000", "loader.num_workers=0", "encoder.d_feedforward=20000"]
    return stage.train(f"hydra.run.dir={run}", *large, "trainer.val_check_interval=null", preexec_fn=limit)


LIMIT = 4 << 30


def not_finite(stage: Stage, run: Path) -> str:
    return stage.train(f"hydra.run.dir={run}", "optimizer.lr=1e30", "trainer.gradient_clip_val=null")


def changed_data(stage: Stage, run: Path) -> str:
    stage.stop(run, signal.SIGTERM, stage.begin(f"hydra.run.dir={run}"))
    files = [stage.folder / "train.source", stage.folder / "train.target"]
    before = [file.read_bytes() for file in files]
    for file, content in zip(files, before, strict=True):
        file.write_bytes(content + b"one more line .\n")
    line = stage.train(f"resume={run}")
    for file, content in zip(files, before, strict=True):
        file.write_bytes(content)
    return line


def stopped(number: int, stage: Stage, run: Path) -> str:
    return stage.stop(run, number, stage.begin(f"hydra.run.dir={run}"))


def flip(content: bytes) -> bytes:
    return content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 1]) + content[len(content) // 2 + 1 :]


FAULTS: dict[str, tuple[str, Callable[[Stage, Path], str]]] = {
    "full-checkpoint": ("the disk is full at a checkpoint", full_at_checkpoint),
    "full-meanwhile": ("another program fills the disk", full_meanwhile),
    "full-cache": ("the disk is full at a cache", full_at_cache),
    "cut-checkpoint": ("last.ckpt is cut in half", partial(damaged_checkpoint, lambda c: c[: len(c) // 2])),
    "flipped-checkpoint": ("a bit of last.ckpt is flipped", partial(damaged_checkpoint, flip)),
    "arrow": ("a bit of the cached pairs is flipped", partial(damaged_cache, "pairs.arrow")),
    "sentencepiece": ("a bit of the cached tokenizer is flipped", partial(damaged_cache, "joint.model")),
    "two-caches": ("two runs build one cache at once", two_build_a_cache),
    "two-runs": ("two runs in one folder at once", two_in_a_folder),
    "worker": ("a process that loads data gets SIGKILL", dead_worker),
    "memory": ("memory of the process is limited", no_memory),
    "nan": ("optimizer.lr=1e30", not_finite),
    "data": ("a line is added to the data while the run is stopped", changed_data),
    "sigterm": ("SIGTERM", partial(stopped, signal.SIGTERM)),
    "sigusr1": ("SIGUSR1", partial(stopped, signal.SIGUSR1)),
    "ctrl-c": ("Ctrl-C", partial(stopped, signal.SIGINT)),
}
MOUNTED = ("full-checkpoint", "full-meanwhile", "full-cache")
OTHERS = ("full-cache", "memory", "nan")
"""After these there is nothing to resume: the run had not begun, or has other settings on purpose."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", help=f"some of {', '.join(FAULTS)}; all by default")
    names = parser.parse_args().faults or list(FAULTS)
    if unknown := set(names) - set(FAULTS):
        parser.error(f"{min(unknown)} is no fault; there are {', '.join(FAULTS)}")
    stage = Stage(Path(tempfile.mkdtemp(prefix="faults-")))
    stage.settings = [*SETTINGS, *write_text(stage.folder, 1), "trainer.max_epochs=1", "loader.tokens_per_batch=1024"]
    stage.settings += [f"loader.cache_dir={stage.folder / 'cache'}"]
    stage.train(f"hydra.run.dir={stage.folder / 'whole'}")
    lost = 0
    print("| fault | what is seen | lost |\n|---|---|---|")
    for name in names:
        what, inject = FAULTS[name]
        if name in MOUNTED and os.geteuid() != 0:
            print(f"| {what} | left out: only root may mount a small disk | |")
            continue
        run = stage.folder / f"run-{name}"
        line = inject(stage, run).replace(str(stage.folder), "")
        verdict = "nothing"
        if name not in OTHERS:
            if not (run / "metrics.json").exists():
                resumed = stage.train(f"resume={run}")
                verdict = "nothing" if "exit 0" in resumed else f"NOT RESUMED: {resumed}"
            found = differences(stage.folder / "whole", run) if verdict == "nothing" else []
            verdict = f"DIFFERENT: {found[0]}" if found else verdict
            lost += verdict != "nothing"
        print(f"| {what} | {line} | {verdict} |", flush=True)
        if run.is_mount():
            subprocess.run(["umount", run], check=True)
    shutil.rmtree(stage.folder)
    return lost


if __name__ == "__main__":
    sys.exit(main())
