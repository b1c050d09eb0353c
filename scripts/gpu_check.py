"""Everything that only a GPU can show, in one go: is it right, how fast is it, where does the time go.

Stages run one after another, the most telling first, each in a process of its own and for a limited time: one that
hangs, crashes or runs out of memory takes no other with it. What was found is in DIR/results.md and DIR/results.json
after every stage, and DIR/STAGE.log has what a stage said. The status is 1 if a stage failed or a check did not hold.

On a CPU all stages are rehearsed with tiny sizes. Without an argument:

    python scripts/gpu_check.py --data multi30k --output gpu-check --minutes 8

    commands    train, resume, evaluate, translate, align and visualize, each in a fresh process
    agreement   every model with every part of attention beside the CPU; in half precision, under every mask
    precision   bf16-mixed, 16-mixed: trained a few steps; what waits for the device in a step
    speed       the base Transformer on WMT14's shapes: tokens a second, utilisation, where the time goes
    grammar     the embedded default until BLEU 95
    recurrent   the speed of the Luong and Bahdanau recipes
    decoding    sentences a second, beam 5
    kernels     attention against length, to 32,768
    resume      a run in two parts beside a run in one, with deterministic algorithms
    multi30k    Transformer-Tiny on the text in --data, for as many epochs as there is time for; BLEU on test
    compiled    training.compile=true: the same losses, tokens a second
"""

import argparse
import faulthandler
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

import torch
from gpu.parts import Setting
from gpu.report import TAIL, Report, Stage, markdown, read_rows, write


class Plan(NamedTuple):
    """A stage: the function that runs it, and the most seconds it gets of eight minutes."""

    function: str
    seconds: float


STAGES = {
    "commands": Plan("gpu.commands.run", 90),
    "agreement": Plan("gpu.agreement.run", 90),
    "precision": Plan("gpu.precision.run", 90),
    "speed": Plan("gpu.speed.run_transformer", 90),
    "grammar": Plan("gpu.learning.run_grammar", 60),
    "recurrent": Plan("gpu.speed.run_recurrent", 45),
    "decoding": Plan("gpu.decoding.run", 40),
    "kernels": Plan("gpu.kernels.run", 40),
    "resume": Plan("gpu.resume.run", 45),
    "multi30k": Plan("gpu.learning.run_multi30k", 480),
    "compiled": Plan("gpu.compiled.run", 120),
}
LEAST = 15.0
"""Seconds without which a stage is not begun."""

GRACE = 8.0
"""Seconds beyond its own time after which a stage is ended."""


def main() -> int:
    options = _options()
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    device = torch.device(options.device)
    if options.stage:  # in a fresh process, where a forked one could not use the driver
        seconds = float(options.seconds)
        return _work(options.stage, _setting(device, Path(options.folder), options.data, seconds), output)
    end = time.monotonic() + 60 * options.minutes
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # a stage is not left behind
    head = {"device": options.device, "torch": torch.__version__, "Python": sys.version.split()[0]}
    stages: list[Stage] = []
    folder = Path(tempfile.mkdtemp(prefix="gpu-check-"))
    try:
        for name in options.stages.split(","):
            stage = Stage(name, "running")
            stages.append(stage)
            write(output, head, stages)
            left = end - time.monotonic() - GRACE
            share = STAGES[name].seconds * (options.minutes / 8 if device.type != "cpu" else 1)
            if left < LEAST:
                stage.status = "no time was left"
            else:
                _run(stage, device, folder, options, min(share, left))
            head |= _device_of(output)
            write(output, head, stages)
            print(f"{name}: {stage.status}, {stage.seconds:.0f} s{', FAILED' if stage.failed else ''}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        write(output, head, stages)
    print(f"\n{markdown(head, stages)}")
    return int(any(stage.failed for stage in stages))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="DIR", help="Multi30k, as data.root")
    parser.add_argument("--output", metavar="DIR", default="gpu-check", help="where results go (%(default)s)")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all stages together (%(default)s)")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cuda or cpu (%(default)s)"
    )
    parser.add_argument("--stages", default=",".join(STAGES), help="which, in which order (%(default)s)")
    for internal in ("--stage", "--seconds", "--folder"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = [name for name in options.stages.split(",") if name not in STAGES]
    if unknown:
        parser.error(f"there is no stage {unknown[0]}; choose among {', '.join(STAGES)}")
    if options.data is not None and not Path(options.data).is_dir():
        parser.error(f"--data {options.data} is no folder")
    return options


def _setting(device: torch.device, folder: Path, data: str | None, seconds: float) -> Setting:
    root = None if data is None else Path(data).resolve()
    return Setting(device, folder, root, time.monotonic() + seconds)


def _run(stage: Stage, device: torch.device, folder: Path, options: argparse.Namespace, seconds: float) -> None:
    """Run a stage in a child process, and end it and all its own children when its time is over."""
    output, begin = Path(options.output), time.monotonic()
    rows, log = output / f"{stage.name}.jsonl", output / f"{stage.name}.log"
    rows.unlink(missing_ok=True)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setsid()
            with log.open("wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            status = _begin(stage.name, device, folder, options, seconds)
        finally:
            os._exit(status)  # whatever happened, what follows is the parent's
    ended: int | None = None
    try:
        while ended is None and time.monotonic() - begin < seconds + GRACE:
            time.sleep(0.05)
            ended = _status(child)
    finally:
        if ended is None:  # its time is over, or somebody pressed Ctrl-C
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
    stage.seconds = time.monotonic() - begin
    stage.rows = read_rows(rows)
    stage.status = "done" if ended == 0 else "failed"
    if stage.failed:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        last = "its time was over" if ended is None else f"it ended with status {ended}"
        stage.log = "\n".join([*lines[-TAIL:], last])


def _status(child: int) -> int | None:
    """Return the exit status of a child, or minus the signal that ended it; None while it runs."""
    found, status = os.waitpid(child, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _begin(name: str, device: torch.device, folder: Path, options: argparse.Namespace, seconds: float) -> int:
    """Run a stage in this process, or in a fresh one if a forked one cannot use the device."""
    begin = time.monotonic()
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        seconds -= time.monotonic() - begin
        internal = ["--stage", name, "--seconds", f"{seconds}", "--folder", str(folder)]
        given = ["--device", options.device, "--output", options.output]
        given += ["--data", options.data] if options.data is not None else []
        os.execv(sys.executable, [sys.executable, str(Path(__file__).resolve()), *given, *internal])
    return _work(name, _setting(device, folder, options.data, seconds), Path(options.output))


def _work(name: str, setting: Setting, output: Path) -> int:
    """Run a stage; return the exit status."""
    faulthandler.enable()
    # It says where it stands. (By a signal it would not: Triton's compiler takes those for itself.)
    faulthandler.dump_traceback_later(max(setting.left, 0) + GRACE / 2)
    try:
        if setting.device.type == "cuda":
            (output / "device.txt").write_text(torch.cuda.get_device_name(setting.device), encoding="utf-8")
        module, function = STAGES[name].function.rsplit(".", 1)
        getattr(importlib.import_module(module), function)(setting, Report(output / f"{name}.jsonl"))
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _device_of(output: Path) -> dict[str, str]:
    """Return the name of the device, as a stage has found it."""
    file = output / "device.txt"
    return {"device": file.read_text(encoding="utf-8")} if file.exists() else {}


if __name__ == "__main__":
    sys.exit(main())
