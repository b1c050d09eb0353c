"""Train a tiny model for long, and see whether memory, open files or disk grow.

python scripts/soak.py --steps 100000
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from arguments import above_0
from crash_test import family, write_text

SETTINGS = """
data=text model.d_model=16 model.d_embedding=16 tokenizer.vocab_size=200 tokenizer.sampling=0.1
loader.tokens_per_batch=256 loader.num_workers=1 callbacks=ema callbacks.last.every_n_steps=500
callbacks.last.every_n_minutes=1 callbacks.early_stopping=null callbacks.pinned.every_head=[] training.test_splits=[]
search.max_length=10 trainer=cpu trainer.max_epochs=-1 trainer.check_val_every_n_epoch=20 trainer.limit_val_batches=1
""".split()  # noqa: SIM905


def measure(number: int, run: Path) -> dict[str, float]:
    """Return what a process and those that it has started hold, and what lies in its folder."""
    members = family(number)
    resident = 0.0
    for member in members:
        for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):  # shared pages are shared out
                resident += int(line.split()[1]) / 1024
    files = [file.stat().st_size for file in run.rglob("*") if file.is_file() and "tfevents" not in file.name]
    events = [file.stat().st_size for file in run.glob("events.out.tfevents.*")]
    return {
        "memory, MiB": resident,
        "processes": len(members),
        "open files": sum(len(os.listdir(f"/proc/{member}/fd")) for member in members),
        "disk without curves and pictures, MiB": sum(files) / 2**20 - pictures(run),
        "curves, MiB": sum(events) / 2**20,
        "pictures, MiB": pictures(run),
        "temporary folders": len(list(Path(tempfile.gettempdir()).glob("seq2seq-sampled-*"))),
    }


def pictures(run: Path) -> float:
    return sum(file.stat().st_size for file in run.rglob("*.png")) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=above_0, default=100_000, help="length of the training (%(default)s)")
    parser.add_argument("--every", type=float, default=60, help="seconds between looks (%(default)s)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    run = folder / "run"
    settings = [*SETTINGS, *write_text(folder, 1), f"trainer.max_steps={options.steps}", f"hydra.run.dir={run}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "seq2seq", "train", *settings, f"loader.cache_dir={folder / 'cache'}"],
            stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        begin = time.time()
        names: list[str] = []
        while process.poll() is None:
            time.sleep(options.every)
            try:
                found = measure(process.pid, run)
            except (OSError, ValueError):  # it has just ended
                break
            if not names:
                names = list(found)
                print(f"{folder}\nseconds  " + "  ".join(names))
            shown = "  ".join(f"{found[name]:>{len(name)}.1f}" for name in names)
            print(f"{time.time() - begin:7.0f}  {shown}", flush=True)
    print(f"exit {process.wait()}")


if __name__ == "__main__":
    main()
