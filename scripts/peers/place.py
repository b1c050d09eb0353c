"""Where programs that are compared run, and what they left."""

import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import torch


class Place(NamedTuple):
    """Where and how everything runs."""

    data: Path
    folder: Path
    threads: int


class Log(NamedTuple):
    """What a program wrote, and the most memory it held."""

    text: str
    mebibytes: float


def execute(command: list[str], place: Place) -> Log:
    """Return all that a command wrote; end the program with its last words if it failed."""
    environment = os.environ | {"OMP_NUM_THREADS": str(place.threads)}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(command, cwd=place.folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)}\nfailed:\n{text[-2000:]}")
    return Log(text, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))


def processor() -> str:
    """Return the processor's name, and the instructions that PyTorch uses of it: ATEN_CPU_CAPABILITY limits them."""
    table = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", table.read_text(), re.MULTILINE) if table.exists() else None
    name = found[1].strip() if found else platform.processor() or platform.machine()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"
