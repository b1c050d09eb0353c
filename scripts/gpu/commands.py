"""The commands as a user gives them: each in a process of its own, in which nothing has used the device before."""

import os
import subprocess
import sys
import time
from pathlib import Path

from gpu.parts import SMALL, Setting, small_text
from gpu.report import Report

MODELS = {"transformer": ["model=transformer"], "luong": ["model=luong", "encoder=transformer"]}
"""What is trained: both have heads that can go, and the second a decoder that steps."""


def run(setting: Setting, report: Report) -> None:
    """Train, go on; then everything that takes a checkpoint, side by side."""
    folder = setting.folder / "commands"
    text = [
        word
        for word in small_text(folder / "text", 100 if setting.rehearsal else 400)
        if not word.startswith(("~", "callbacks."))
    ]
    device = "gpu" if setting.device.type == "cuda" else "cpu"
    cache = f"loader.cache_dir={folder / 'cache'}"
    train = ["train", f"trainer={device}", "callbacks.progress_bar=null", *text, *SMALL, "search.max_length=9", cache]
    trainings = [[*train, *options, "trainer.max_epochs=1", f"hydra.run.dir={folder / name}"]
                 for name, options in MODELS.items()]  # fmt: skip
    if not _all(setting, report, folder, trainings[:1] if setting.rehearsal else trainings) or setting.rehearsal:
        return
    _all(setting, report, folder, [
        [*train, *options, "trainer.max_epochs=2", f"resume={folder / name}"] for name, options in MODELS.items()
    ])  # fmt: skip
    source, target = folder / "text" / "test.source", folder / "text" / "test.target"
    first = source.read_text(encoding="utf-8").splitlines()[0]
    for name in MODELS:
        out = folder / f"{name}-results"
        out.mkdir()
        checkpoint = f"checkpoint={folder / name}/checkpoints/last.ckpt"
        _all(setting, report, folder, [
            ["evaluate", checkpoint, cache],
            ["translate", checkpoint, f"input={source}", f"output={out / 'translated'}", "search=mbr_sample"],
            ["align", checkpoint, f"source={source}", f"target={target}", f"output={out / 'links'}"],
            ["score", checkpoint, f"source={source}", f"target={target}", f"output={out / 'scores'}"],
            ["visualize", checkpoint, f"source={first}", f"output={out / 'pictures'}"],
            ["explain", checkpoint, f"source={first}", f"output={out / 'explained'}"],
            ["heads", checkpoint, "sentences=10", cache, f"output={out / 'heads'}"],
            ["prune", checkpoint, "heads=2" if name == "luong" else "heads=3", "sentences=10", cache,
             f"output={out / 'pruned.ckpt'}"],
        ])  # fmt: skip


def _all(setting: Setting, report: Report, folder: Path, commands: list[list[str]]) -> bool:
    """Run commands side by side; return whether all ended well."""
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    begin = time.perf_counter()
    running = [
        subprocess.Popen([sys.executable, "-m", "seq2seq", *command], cwd=folder, env=os.environ | {"PYTHONPATH": path},
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for command in commands
    ]  # fmt: skip
    well = True
    try:
        for command, child in zip(commands, running, strict=True):
            said = child.communicate(timeout=max(setting.left, 1))[0]
            print(f"{' '.join(command)}\n{said}", flush=True)
            lines = said.strip().splitlines() or [""]
            found = f"{time.perf_counter() - begin:.0f} s" if child.returncode == 0 else lines[-1]
            what = f"seq2seq {command[0]}{' resume=' if command[-1].startswith('resume=') else ''}"
            report.check(f"{what} ends well", child.returncode == 0, found)
            well &= child.returncode == 0
    finally:
        for child in running:  # where the time was over
            child.kill()
    return well
