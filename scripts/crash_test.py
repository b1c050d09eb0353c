"""Kill a training at random moments, resume it each time, and compare its end with that of one never stopped.

Weights, optimizer, schedule, averaged weights, early stopping, best checkpoints, loops and every logged curve have to
be the same to the last bit; only times and places of files may differ. The training has BPE-dropout, dropout, averaged
weights, validations within epochs, and two processes that load data.

    python scripts/crash_test.py                       # 20 kills of one process
    python scripts/crash_test.py --kills 5 --ddp       # two processes that train together
    python scripts/crash_test.py --kills 5 --streaming
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from arguments import above_0
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from seq2seq.data.grammar import generate

TIMES = ("train/target_tokens_per_second", "train/waiting_share", "train/flops_utilization", "train/peak_memory_mib")
"""What is measured in seconds or depends on what else the process has done."""

SETTINGS = """
data=text model=transformer model.d_model=32 model.num_layers=2 encoder.num_heads=2 decoder.num_heads=2
tokenizer.vocab_size=300 tokenizer.sampling=0.1 loader.num_workers=2 scheduler.scheduler.warmup_steps=20
callbacks=ema callbacks.pinned=null callbacks.last.every_n_steps=7 callbacks.best.save_top_k=2
callbacks.best.filename=best-{step} training.test_splits=[] search.max_length=12
trainer=cpu trainer.val_check_interval=40 trainer.log_every_n_steps=3 trainer.limit_val_batches=2
""".split()  # noqa: SIM905
LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def write_text(folder: Path, copies: int) -> list[str]:
    """Write a corpus; return the overrides that name it."""
    names = []
    for split, pairs in {"train": generate("train")[:3000] * copies, "val": generate("val")[:60]}.items():
        for side in ("source", "target"):
            (folder / f"{split}.{side}").write_text("".join(f"{getattr(pair, side)}\n" for pair in pairs))
            names.append(f"data.{split}.{side}={folder / f'{split}.{side}'}")
    return names


def run(command: list[str], folder: Path, life: float | None, log: Path) -> int | None:
    """Return the exit status of a command; None where it was killed, with all its children, at the end of its life."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, cwd=folder, stdout=file, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            return process.wait(life)
        except subprocess.TimeoutExpired:
            for number in family(process.pid):
                os.kill(number, signal.SIGKILL)
            process.wait()
            return None


def family(number: int) -> list[int]:
    """Return a process and all that it has started, and they."""
    children = subprocess.run(["pgrep", "-P", str(number)], capture_output=True, text=True).stdout.split()
    return [number, *(member for child in children for member in family(int(child)))]


def leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of nested dicts and lists with its place."""
    if isinstance(tree, dict | list | tuple):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, value in items:
            yield from leaves(value, f"{name}/{key}")
    else:
        yield name, tree


def state(folder: Path) -> dict[str, Any]:
    """Return what a run's last checkpoint holds, without times, and with paths relative to the run."""
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    content["callbacks"].pop("Throughput")
    content["callbacks"]["LastCheckpoint"].pop("events")
    content["seq2seq"]["config"] = None  # names the folder
    for name, callback in content["callbacks"].items():
        if name.startswith("ModelCheckpoint"):
            callback.pop("current_score")  # which Lightning writes, but neither reads back nor uses
    for loops in content["loops"].values():  # how often a validation was begun
        loops.pop("epoch_loop.val_loop.batch_progress", None)
    found = dict(leaves(content))
    return {
        name.replace(str(folder), ""): value.replace(str(folder), "") if isinstance(value, str) else value
        for name, value in found.items()
    }


def curves(folder: Path) -> list[tuple[str, int, float]]:
    """Return every logged scalar: tag, step, value."""
    points = []
    for file in folder.glob("events.out.tfevents.*"):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars" and value.tag not in TIMES:
                    points.append((value.tag, event.step, value.tensor.float_val[0]))
    return sorted(points)


def first_step(folder: Path) -> float:
    """Return the time at which the first scalar was logged."""
    files = folder.glob("events.out.tfevents.*")
    return min(event.wall_time for file in files for event in EventFileLoader(str(file)).Load() if event.summary.value)


def differences(one: Path, other: Path) -> list[str]:
    """Return in what two runs differ."""
    (a, b), found = (state(one), state(other)), []
    found += [f"checkpoint: {name} is in one alone" for name in a.keys() ^ b.keys()]
    for name in a.keys() & b.keys():
        tensors = torch.is_tensor(a[name]) and torch.is_tensor(b[name])
        if not (torch.equal(a[name], b[name]) if tensors else a[name] is b[name] or a[name] == b[name]):
            found.append(f"checkpoint: {name}: {a[name]} and {b[name]}"[:200])
    here, there = curves(one), curves(other)
    if here != there:
        found.append(f"curves: {len(here)} and {len(there)} points, {len(set(here) ^ set(there))} in one alone")
    metrics = [json.loads((run / "metrics.json").read_text()) for run in (one, other)]
    for name in metrics[0].keys() | metrics[1].keys():
        values = [found.get(name) for found in metrics]
        if name not in TIMES and "second" not in name and values[0] != values[1]:
            found.append(f"metrics: {name}: {values[0]} and {values[1]}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=above_0, default=20, help="how often to kill the training (%(default)s)")
    parser.add_argument("--epochs", type=above_0, default=6, help="length of the training (%(default)s)")
    parser.add_argument("--ddp", action="store_true", help="two processes")
    parser.add_argument("--streaming", action="store_true", help="data.streaming=true")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (%(default)s)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="crash-"))
    copies = 8 if options.streaming else 1  # a stretch for each of the processes that load
    settings = [*SETTINGS, *write_text(folder, copies), f"trainer.max_epochs={options.epochs}"]
    settings += [f"loader.cache_dir={folder}", f"loader.tokens_per_batch={256 * copies}"]
    if options.ddp:
        settings += ["trainer.devices=2", "trainer.strategy=ddp"]
    if options.streaming:
        settings += ["data.streaming=true", "scheduler=inverse_square_root"]
    train = [sys.executable, *(LAUNCHER if options.ddp else []), "-m", "seq2seq", "train", *settings]

    begin = time.time()
    status = run([*train, f"hydra.run.dir={folder / 'whole'}"], folder, None, folder / "whole.log")
    length = time.time() - begin
    start = first_step(folder / "whole") - begin
    print(f"a training of {length:.0f} s, {start:.0f} of them to begin (exit {status}); logs in {folder}", flush=True)
    random = Random(options.seed)
    kills = 0
    while True:
        life = start + random.uniform(-0.1 * start, 1.8 * (length - start) / options.kills)
        begun = (folder / "killed" / "config.yaml").exists()
        goal = f"resume={folder / 'killed'}" if begun else f"hydra.run.dir={folder / 'killed'}"
        status = run([*train, goal], folder, life if kills < options.kills else None, folder / "killed.log")
        if status is not None:
            break
        kills += 1
        print(f"kill {kills} after {life:.1f} s", flush=True)
    found = differences(folder / "whole", folder / "killed") if status == 0 else [f"exit status {status}"]
    print(f"{kills} kills; {'bit-identical' if not found else 'DIFFERENT'}")
    print("\n".join(found[:20]))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
