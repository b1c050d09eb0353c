"""How long a user waits: for help, for the line about a slip, for the first step of the default, for one translation.

Each is a process of its own, from its start to its end, so the first step counts with all that a run does around it.

    python scripts/benchmark_start.py
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from arguments import above_0

FIRST_STEP = ["train", "trainer.max_steps=1", "trainer.limit_val_batches=0", "training.test_splits=[]"]
FIRST_STEP += ["callbacks.best=null", "callbacks.early_stopping=null"]
MISTYPED = ["train", "batch_size=64"]
CHECKPOINT = "checkpoint=run/checkpoints/last.ckpt"
COMMANDS = {
    "--help": ["--help"],
    "train --help": ["train", "--help"],
    "train --cfg job": ["train", "--cfg", "job"],
    "a mistyped option": MISTYPED,
    "the first step": FIRST_STEP,
    "one translation": ["translate", CHECKPOINT, "input=sentence", "search.max_length=5"],
    "one page": ["visualize", CHECKPOINT, "source=The wolf sleeps .", "search=greedy", "search.max_length=5"],
}


def seconds(arguments: list[str], folder: str) -> float:
    """Return the wall time of a command."""
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "seq2seq", *arguments], cwd=folder, capture_output=True, text=True)
    took = time.perf_counter() - begin
    if done.returncode != (arguments is MISTYPED):
        sys.exit(f"error: seq2seq {' '.join(arguments)} ended with status {done.returncode}: {done.stderr}")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=above_0, default=5, help="runs of each command, in turns (%(default)s)")
    rounds = parser.parse_args().rounds
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sentence").write_text("The wolf sleeps .\n", encoding="utf-8")
        seconds([*FIRST_STEP, "hydra.run.dir=run"], folder)
        for _ in range(rounds + 1):
            for name, arguments in COMMANDS.items():
                found[name].append(seconds(arguments, folder))
    print(f"| seconds, median of {rounds} | |\n|---|---|")
    for name, times in found.items():
        print(f"| {name} | {statistics.median(times[1:]):.2f} |")  # the first fills caches


if __name__ == "__main__":
    main()
